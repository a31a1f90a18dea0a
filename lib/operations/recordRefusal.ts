import type { SessionId } from '../context/sessionId.ts';
import type { AuditPayload } from './ports/sessionStore.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { type LaneDeps, pushLane } from './push.ts';

export interface RefusalCommand {
  readonly sessionId: SessionId;
  /** What was refused. */
  readonly operation: AuditPayload['operation'];
  readonly client: string;
  /** Problem code. */
  readonly code: string;
  readonly pointers: readonly string[];
  readonly correlationId: string;
  readonly telemetry: Telemetry;
}

/** The schedule links a refusal into the chain after this, when nobody has done so before. */
const LINK_AFTER_MS = 60_000;
const LEASE_MS = 5_000;
/** So that one absurd request cannot fill the trail. */
const POINTERS_MAX = 20;

/**
 * Refused requests are audited too (SPEC 6). This changes neither version nor mirror, and never the answer: when it cannot be
 * recorded, that is counted and logged.
 */
export async function recordRefusal(deps: LaneDeps, command: RefusalCommand): Promise<void> {
  const { store, clock, random } = deps;
  const { sessionId, telemetry, correlationId } = command;
  const atMs = clock.now();
  const operationId = random.ulid(atMs);
  telemetry.count('OperationRefused');
  try {
    const payload = {
      auditId: random.ulid(atMs),
      operation: command.operation,
      client: command.client,
      correlationId,
      outcome: 'refused',
      code: command.code,
      changes: [],
      pointers: command.pointers.slice(0, POINTERS_MAX),
      attempts: 0,
      latencyMs: 0,
    } as const;
    const wasNoted = await store.noteRefusal(sessionId, { operationId, atMs, payload }, atMs + LINK_AFTER_MS);
    if (!wasNoted) {
      telemetry.count('RefusalNotAudited');
      telemetry.log('warn', 'a refusal found no room in the lane');
    }
    const lane = await store.readLane({ sessionId });
    // Who is at work in the lane links it, or who comes after somebody that has left it; only where nobody is, we do.
    if (lane === undefined || lane.lease !== undefined) return;
    const lease = { fence: operationId, untilMs: atMs + LEASE_MS };
    const taken = await store.takeLease({ sessionId }, lease, clock.now());
    if (taken === undefined) return;
    const deadlineMs = lease.untilMs;
    await pushLane(deps, { lane: taken, lease, deadlineMs, correlationId, telemetry, linkOnly: true });
  } catch (error) {
    telemetry.count('RefusalNotAudited');
    telemetry.log('error', 'a refusal could not be audited', {}, error);
  }
}
