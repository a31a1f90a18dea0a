import { valueHash } from '../context/canonicalJson.ts';
import { withoutInternal } from '../context/internalKeys.ts';
import type { JsonObject } from '../context/json.ts';
import { contextOf, visibleVariables } from '../context/mirror.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { Vault } from '../platform/vault.ts';
import { unlessErased } from './history.ts';
import { type LaneAnswer, type LaneRequest, runOperation } from './lane.ts';
import { idempotencyOf, newOperation } from './newOperation.ts';
import type { Outcome } from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import type { LaneDeps } from './push.ts';

export interface SyncDeps extends LaneDeps {
  readonly vault: Vault;
}

export interface SyncCommand {
  readonly sessionId: SessionId;
  /** Name of the client; its idempotency keys are its own. */
  readonly client: string;
  /** A JSON Merge Patch (RFC 7396) of the context. */
  readonly data: JsonObject;
  /** Life of what lies at these JSON Pointers, in seconds. */
  readonly ttlSeconds: Readonly<Record<string, number>>;
  /** Life of leaves of which nothing else is said, in seconds; 0 = they stay. */
  readonly defaultTtlSeconds: number;
  readonly idempotencyKey?: string;
  readonly correlationId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export type SyncAnswer =
  | Exclude<LaneAnswer, { kind: 'settled' }>
  | {
      readonly kind: 'settled';
      readonly outcome: Outcome;
      readonly replayed: boolean;
      /** The context after the sync, without what has expired since. Empty where that is not known any more. */
      readonly context: JsonObject;
    };

/**
 * Brings a patch into the bot's context: what the bot has, what it had when it was last confirmed and what the patch says are
 * merged (`docs/merging.md`).
 * @throws {StoreError} when the operation could not be recorded; nothing was sent then.
 */
export async function sync(deps: SyncDeps, command: SyncCommand): Promise<SyncAnswer> {
  const { cognigy, clock } = deps;
  // As for an inject: the permit's way to the table overlaps with the commit's.
  const permit = cognigy.prepare({ deadlineMs: command.deadlineMs, mayWait: false, surface: 'context' });
  await clock.turn();
  const answer = await runOperation(deps, { ...laneRequestOf(deps, command), permit });
  if (answer.kind !== 'settled') return answer;
  return { ...answer, context: answer.context ?? (await contextAfter(deps, command.sessionId, answer.outcome)) };
}

function laneRequestOf(deps: SyncDeps, command: SyncCommand): LaneRequest {
  const nowMs = deps.clock.now();
  const { client, data, ttlSeconds, defaultTtlSeconds } = command;
  const expiries = Object.entries(ttlSeconds).map(([pointer, seconds]) => [pointer, nowMs + seconds * 1_000]);
  return {
    sessionId: command.sessionId,
    deadlineMs: command.deadlineMs,
    telemetry: command.telemetry,
    operation: newOperation(deps, {
      kind: 'sync',
      client,
      correlationId: command.correlationId,
      // By its hash: the data may be large.
      fingerprint: deps.vault.fingerprint(['sync', valueHash(data), { ...ttlSeconds }]),
      payload: {
        kind: 'sync',
        data,
        expiries: Object.fromEntries(expiries),
        ...(defaultTtlSeconds > 0 && { defaultExpiresAtMs: nowMs + defaultTtlSeconds * 1_000 }),
      },
      ...idempotencyOf(deps.vault, command),
    }),
  };
}

/** Somebody else has pushed for us, or long ago: the mirror of that moment tells. What has expired since is not told again. */
async function contextAfter({ store, clock }: SyncDeps, sessionId: SessionId, outcome: Outcome): Promise<JsonObject> {
  const stateRef = outcome.kind === 'confirmed' ? outcome.sync?.stateRef : undefined;
  const lane = stateRef === undefined ? undefined : await store.readLane({ sessionId });
  if (lane === undefined || stateRef === undefined) return {};
  if (outcome.kind === 'confirmed' && outcome.version <= lane.erasedVersion) return {};
  const mirror = await unlessErased(store, lane, async () => {
    const stored = await store.readMirror(lane, stateRef);
    return stored && store.loadValues(lane, stored.mirror);
  });
  return mirror === undefined ? {} : withoutInternal(contextOf(visibleVariables(mirror, clock.now())));
}
