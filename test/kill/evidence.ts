import type { JournalEntry } from '../../infra/local/tenant/journal.ts';
import type { SessionView } from '../../infra/local/tenant/sessions.ts';
import type { JsonObject } from '../../lib/context/json.ts';
import type { Scope } from '../../lib/context/variables.ts';
import type { Departure, Exchange } from './exchange.ts';

/** An entry of `GET …/audit`, as far as accounts need it. */
export interface TrailEntry {
  readonly seq: number;
  readonly operationId: string;
  readonly operation: string;
  readonly client: string;
  readonly correlationId: string;
  readonly outcome: 'confirmed' | 'pending' | 'refused' | 'failed';
  readonly code?: string;
  /** Absent for a request that was refused before it became an operation. */
  readonly versionBefore?: number;
  readonly versionAfter?: number;
  readonly changes?: readonly { readonly cause?: string }[];
  /** What had expired before it could be pushed. */
  readonly expired?: readonly { readonly path: string; readonly scope: Scope }[];
}

export interface SessionEvidence {
  readonly sessionId: string;
  /** Oldest first. */
  readonly trail: readonly TrailEntry[];
  readonly chain: { readonly valid: boolean; readonly brokenAt: number | null };
  readonly pendingOperations: number;
  /** What the bridge says that the bot has. */
  readonly context: JsonObject;
  /** What the bot has. */
  readonly tenant: SessionView | undefined;
}

/** Somebody who has gone, and what is still to be found of his session. */
export interface DepartureEvidence extends Departure, Pick<SessionEvidence, 'trail' | 'chain'> {
  /** Whether the bridge shows it. */
  readonly isKnown: boolean;
}

/** A line of `npm run receiver`. */
export interface Delivery {
  readonly verified: boolean;
  /** `webhook-id`. */
  readonly id: string;
  readonly type: string;
  readonly sessionId: string;
  /** Code and paths. */
  readonly rest: string;
}

/** Where a `202` has sent its client, and what is told there. */
export interface FollowedAnswer {
  readonly location: string;
  readonly outcomes: readonly TrailEntry['outcome'][];
}

/** Everything that anybody outside knows when all has come to rest. */
export interface Evidence {
  /** Epoch milliseconds: what is to expire before has expired. */
  readonly takenAtMs: number;
  readonly ratePerMinute: number;
  readonly exchanges: readonly Exchange[];
  readonly sessions: readonly SessionEvidence[];
  readonly departures: readonly DepartureEvidence[];
  /** Every request that the tenant got, oldest first, from its first on. */
  readonly journal: readonly JournalEntry[];
  readonly deliveries: readonly Delivery[];
  /** Whether an outcome that has not been delivered is missing, or only late. */
  readonly areDeliveriesComplete: boolean;
  readonly followed: readonly FollowedAnswer[];
}
