import type { BelievedDialog, DialogBefore, DialogChange } from '../../context/dialogState.ts';
import type { JsonObject, JsonValue } from '../../context/json.ts';
import type { Variable } from '../../context/variables.ts';

/** What a dialect can do. Use cases ask for these and never for a dialect's name (SPEC 3). */
export interface CognigyCapabilities {
  /** The live context can be read back. */
  readonly canRead: boolean;
  /** Reads and writes carry a version (ETag). */
  readonly hasVersion: boolean;
  /** A write touches only the variables it names. */
  readonly mergesServerSide: boolean;
  /** A single variable can be removed. */
  readonly canUnset: boolean;
  /** Largest body of one inject request, in UTF-8 bytes of the JSON sent. */
  readonly injectMaxBytes: number;
  /** Largest body of one change of a dialog, in UTF-8 bytes of the JSON sent. */
  readonly dialogMaxBytes: number;
}

/** One permit of the shared upstream budget: good for exactly one request. */
export interface Permit {
  /** Gives the permit back when nothing was sent with it. Never throws. */
  release(): Promise<void>;
  /** Epoch milliseconds until which the permit may be used; later it has lapsed and another one is needed. Absent = for ever. */
  readonly usableUntilMs?: number;
}

export type PermitAnswer =
  | { readonly granted: true; readonly permit: Permit }
  /** No permit fits before the deadline; the next chance is at `retryAtMs` (epoch milliseconds). */
  | { readonly granted: false; readonly retryAtMs: number };

/** Clients and the bot's webhooks (`interactive`) go before the schedule (DESIGN 3). */
export type Priority = 'interactive' | 'scheduled';

/** What every upstream call needs to know about its caller. */
export interface UpstreamCall {
  /** Epoch milliseconds after which nothing is sent any more and what is under way is given up. */
  readonly deadlineMs: number;
  readonly correlationId: string;
  /** Epoch milliseconds after which nothing more is sent, because what it says would no longer hold. Absent = the deadline. */
  readonly sendByMs?: number;
  /** `interactive` unless told otherwise. */
  readonly priority?: Priority;
  /** A permit asked for earlier (beside the commit), used for the first request. */
  readonly firstPermit?: Promise<PermitAnswer>;
}

export interface InjectRequest {
  /** The session's raw id, as the upstream knows it. */
  readonly sessionId: string;
  /** Absolute values, so that sending them again is harmless. */
  readonly variables: readonly Variable[];
  /** Variables that were injected once and that the bot is to forget. The dialect decides how; sending it again is harmless. */
  readonly expired?: readonly ExpiredVariable[];
  /**
   * `webhook` for what derives from a message that the bot has not understood yet: variables of the session, without an expiry.
   * `inject` unless told otherwise.
   */
  readonly surface?: 'inject' | 'webhook';
}

/** A variable whose time is over. */
export type ExpiredVariable = Pick<Variable, 'key' | 'scope'> & { readonly expiresAtMs: number };

export interface ContextRequest {
  /** The session's raw id, as the upstream knows it. */
  readonly sessionId: string;
  /**
   * Told what the bot has now (`undefined` where the dialect cannot read), says what it is to have. Asked again whenever the bot
   * turned out to have changed, or what it said has become too old to send: it must not assume to be asked once.
   */
  readonly merge: (theirs: JsonObject | undefined) => Promise<ContextDecision>;
}

export type ContextDecision =
  | {
      readonly kind: 'put';
      /** The whole context as it is to be. */
      readonly context: JsonObject;
      /** Epoch milliseconds after which this must not leave any more: something in it expires then. Absent = never. */
      readonly sendByMs?: number;
    }
  /** There is nothing to send: the bot has it already, or nobody may have it. */
  | { readonly kind: 'leave' };

/** What the bridge remembers of a dialog, from the last answer about it. */
export type KnownDialog = DialogBefore;

export interface DialogRequest {
  /** The dialog's raw id, as the upstream knows it. */
  readonly sessionId: string;
  readonly change: DialogChange;
  /** The entity tag that the client insists on. */
  readonly ifMatch?: string;
  /** What is known from before. */
  readonly known?: KnownDialog;
  /** The change may have been sent before, and nobody knows how that ended: the dialog is read before anything is sent. */
  readonly isUnknown?: boolean;
  /** We have written to the session since `known`, so that it cannot be right any more: the dialog is read first. */
  readonly isOutdated?: boolean;
  /**
   * What the bridge believes the dialog's variables to be; asked for only where the dialog has to be read. Undefined where it has
   * no business to believe anything: the session begins anew.
   */
  readonly believed: () => Promise<BelievedDialog | undefined>;
}

/** Scopes of variables upstream: those that clients may write, and the bot's own. */
export const SNAPSHOT_SCOPES = ['global', 'bot', 'session', 'user'] as const;
export type SnapshotScope = (typeof SNAPSHOT_SCOPES)[number];

/** Which of a session's variables to read. */
export interface VariablesRequest {
  /** The session's raw id, as the upstream knows it. */
  readonly sessionId: string;
  readonly name?: string;
  readonly scope?: SnapshotScope;
  /** Also those whose names begin with `_`. */
  readonly includeSystem?: boolean;
  /** How many pages it took the last time: where their numbers can be guessed, they are asked for together. */
  readonly expectedPages?: Promise<number>;
}

/** One variable as the upstream tells it: an untyped text as a rule. */
export interface UpstreamVariable {
  readonly name: string;
  readonly value: JsonValue;
  readonly scope: SnapshotScope;
  /** As the upstream calls it, where it does. */
  readonly type?: string;
}

/** Why the upstream could not take a request now. The operation stays pending. */
export type UnavailableReason = 'throttled' | 'down' | 'timeout' | 'deadline' | 'budget';

/** An answer that ends an operation: it is not a failure of the transport, so it is not retried. */
export type RefusalCode =
  | 'session-ended'
  | 'conflict'
  /** The dialog is not at the version that the client insists on. */
  | 'version-mismatch'
  | 'upstream-unauthorized'
  | 'upstream-forbidden'
  | 'upstream-rejected'
  | 'upstream-bad-response'
  /** The token endpoint cannot be reached and no valid token is held: nothing was sent (SCENARIOS 19). */
  | 'upstream-unavailable';

interface Sent {
  /** Requests made to the surface (token requests are not counted). */
  readonly attempts: number;
  /** Requests that were answered 429. */
  readonly throttled?: number;
  /** HTTP status of the last answer, where there was one. */
  readonly upstreamStatus?: number;
}

/** How a write to the bot ended. */
export type WriteResult =
  /** The upstream's answer, where it says anything that concerns the client. */
  | (Sent & { readonly kind: 'confirmed'; readonly result: JsonObject })
  | (Sent & {
      readonly kind: 'unavailable';
      readonly reason: UnavailableReason;
      /** Not before this moment (epoch milliseconds), where the upstream or the budget said so. */
      readonly retryAtMs?: number;
      /** True when a request may have been applied although no answer came. */
      readonly outcomeUnknown: boolean;
    })
  | (Sent & {
      readonly kind: 'refused';
      readonly code: RefusalCode;
      readonly paths?: readonly string[];
      /** True when a request before the one that was refused may have been applied. */
      readonly outcomeUnknown?: boolean;
    });

/** How a change of a dialog ended, and what is known of the dialog since. */
export type DialogResult = WriteResult & {
  readonly dialog?: KnownDialog;
  /** The tag that the dialog has, where it is not the one that the client insists on. */
  readonly currentEtag?: string;
};

/** What became of a read: all of it, or nothing. */
export type ReadResult =
  | (Sent & {
      readonly kind: 'read';
      readonly variables: readonly UpstreamVariable[];
      /** Answers that it took: what lies on one page is of one moment, what lies on several may not be. */
      readonly pages: number;
      /** Characters of their names and texts, together. */
      readonly characters: number;
    })
  /** More than any answer could hold. */
  | (Sent & { readonly kind: 'too-large' })
  | Exclude<WriteResult, { kind: 'confirmed' }>;

/** The ways to write to a session. */
export type PushSurface = 'inject' | 'webhook' | 'context' | 'dialog';

/** The Cognigy tenant as the use cases see it. */
export interface CognigyPort {
  readonly capabilities: CognigyCapabilities;
  /** Bytes of the request body that {@link inject} would send, exactly. */
  injectBytes(request: Omit<InjectRequest, 'sessionId'>): number;
  /** Puts variables into the live session: one request unless the upstream asks for more (409, 401, 5xx). Never throws for an upstream's answer. */
  inject(request: InjectRequest, call: UpstreamCall): Promise<WriteResult>;
  /**
   * Reads the bot's whole context, merges, and writes it back; reads and merges again, a bounded number of times, when the bot
   * has changed it meanwhile. `confirmed` also where there was nothing to send. Never throws for an upstream's answer.
   */
  replaceContext(request: ContextRequest, call: UpstreamCall): Promise<WriteResult>;
  /** Bytes of the request body that {@link updateDialog} would send, exactly. */
  dialogBytes(change: DialogChange): number;
  /**
   * Changes a dialog's variables and moves it on, with optimistic concurrency. A transition is never sent again once it may have
   * happened. Never throws for an upstream's answer.
   */
  updateDialog(request: DialogRequest, call: UpstreamCall): Promise<DialogResult>;
  /**
   * Asks for a token and a permit ahead of the request, so that both overlap with the commit. Never rejects.
   *
   * Whoever does not know yet whether it will send anything must not wait (`mayWait: false`): it gets a permit only if one is free
   * right now, so that nobody queues in front of those who do send. Not granted with a `retryAtMs` before the deadline decides nothing
   * then; {@link inject} queues for its own. Release what is not used.
   */
  prepare(call: {
    readonly deadlineMs: number;
    readonly mayWait: boolean;
    /** Which token will be wanted first; `inject` unless told otherwise. */
    readonly surface?: PushSurface;
    readonly priority?: Priority;
  }): Promise<PermitAnswer>;
}

/** The Cognigy tenant as those see it who only look. */
export interface CognigyReads {
  /** Reads a session's variables, all pages of them. Never throws for an upstream's answer. */
  readVariables(request: VariablesRequest, call: UpstreamCall): Promise<ReadResult>;
  /** As {@link CognigyPort.prepare}. */
  prepare(call: { readonly deadlineMs: number; readonly mayWait: boolean }): Promise<PermitAnswer>;
}
