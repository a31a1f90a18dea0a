/** Where the stack is, first message of its process. Every question after it means one run of the schedule. */
export interface StackAddress {
  readonly url: string;
  readonly upstreamUrl: string;
}
