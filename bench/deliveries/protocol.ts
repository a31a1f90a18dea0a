/** Where the events' way out begins, first message of its process: what is set for a function that prompts it. */
export interface WayOutAddress {
  readonly environment: Readonly<Record<string, string>>;
}

export type WayOutQuestion =
  /** From now on the endpoint takes its time, instead of answering at once. */
  | { readonly kind: 'hang' }
  /** What has been delivered, and what has not. */
  | { readonly kind: 'tell' };

export interface WayOutReport {
  /** Events that the bus has got. */
  readonly onBus: number;
  /** Requests to the endpoint, each from its head to the end of its connection, or until now. Epoch milliseconds. */
  readonly toEndpoint: readonly { readonly fromMs: number; readonly untilMs: number; readonly status?: number }[];
}
