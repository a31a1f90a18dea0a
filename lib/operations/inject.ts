import { valueHash } from '../context/canonicalJson.ts';
import type { JsonObject, JsonValue } from '../context/json.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { Variable } from '../context/variables.ts';
import type { Vault } from '../platform/vault.ts';
import { bindingBeside } from './binding.ts';
import { type LaneAnswer, type LaneRequest, repeatIfKnown, runOperation, type TooLarge } from './lane.ts';
import { idempotencyOf, newOperation } from './newOperation.ts';
import type { Bindings } from './ports/crm.ts';
import type { Telemetry } from './ports/telemetry.ts';
import type { LaneDeps } from './push.ts';

export interface InjectDeps extends LaneDeps {
  readonly vault: Vault;
  readonly bindings: Bindings;
}

export interface InjectCommand {
  readonly sessionId: SessionId;
  /** Name of the client; its idempotency keys are its own. */
  readonly client: string;
  readonly variables: readonly Variable[];
  /** What the client asked for, before `ttlSeconds` was turned into a moment: a repeat must compare equal. */
  readonly requested: {
    readonly variables: readonly ({ readonly value: JsonValue } & JsonObject)[];
    readonly mergeStrategy: string;
    readonly crm: JsonObject | null;
  };
  readonly crm?: JsonObject;
  readonly idempotencyKey?: string;
  readonly correlationId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export type InjectAnswer = LaneAnswer | TooLarge;

/**
 * Puts variables into a live session.
 * @throws {StoreError} when the operation could not be recorded; nothing was sent then.
 */
export async function inject(deps: InjectDeps, command: InjectCommand): Promise<InjectAnswer> {
  const { cognigy, clock } = deps;
  const bytes = cognigy.injectBytes({ variables: command.variables });
  const maxBytes = cognigy.capabilities.injectMaxBytes;
  if (bytes > maxBytes) return { kind: 'too-large', bytes, maxBytes };

  // The permit first, on the wire before the commit is even made: it is the lighter of the two, and both are needed to push.
  const permit = cognigy.prepare({ deadlineMs: command.deadlineMs, mayWait: false });
  await clock.turn();
  return bindingBeside(deps, command, () => runOperation(deps, { ...laneCommandOf(deps, command), permit }));
}

/**
 * The first answer again, where the command's idempotency key was used before; `undefined` where it is new.
 * @throws {StoreError} when that cannot be known.
 */
export async function repeatInject(deps: InjectDeps, command: InjectCommand): Promise<LaneAnswer | undefined> {
  return repeatIfKnown(deps, laneCommandOf(deps, command));
}

function laneCommandOf(deps: InjectDeps, command: InjectCommand): LaneRequest {
  const { client, variables, crm } = command;
  return {
    sessionId: command.sessionId,
    deadlineMs: command.deadlineMs,
    telemetry: command.telemetry,
    operation: newOperation(deps, {
      kind: 'inject',
      client,
      correlationId: command.correlationId,
      fingerprint: fingerprintOf(deps.vault, command),
      payload: { kind: 'inject', variables, ...(crm !== undefined && { crm }) },
      ...idempotencyOf(deps.vault, command),
    }),
  };
}

/** The same for the same request. Values go in by their hashes: together they may be large. */
function fingerprintOf(vault: Vault, { requested }: InjectCommand): string {
  const variables = requested.variables.map((variable) => ({ ...variable, value: valueHash(variable.value) }));
  return vault.fingerprint(['inject', { ...requested, variables }]);
}
