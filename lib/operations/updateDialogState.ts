import { valueHash } from '../context/canonicalJson.ts';
import type { DialogChange } from '../context/dialogState.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { Vault } from '../platform/vault.ts';
import { type LaneAnswer, runOperation, type TooLarge } from './lane.ts';
import { idempotencyOf, newOperation } from './newOperation.ts';
import type { Telemetry } from './ports/telemetry.ts';
import type { LaneDeps } from './push.ts';

export interface DialogDeps extends LaneDeps {
  readonly vault: Vault;
}

export interface DialogCommand {
  /** A dialog goes by the id of its session. */
  readonly sessionId: SessionId;
  /** Name of the client; its idempotency keys are its own. */
  readonly client: string;
  readonly change: DialogChange;
  /** The entity tag that the client insists on (RFC 9110 section 13.1.1). */
  readonly ifMatch?: string;
  readonly idempotencyKey?: string;
  readonly correlationId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export type DialogAnswer = LaneAnswer | TooLarge;

/**
 * Sets variables of a dialog and moves it on, all of it together or nothing (SPEC 2 "dialog-state").
 * @throws {StoreError} when the operation could not be recorded; nothing was sent then.
 */
export async function updateDialogState(deps: DialogDeps, command: DialogCommand): Promise<DialogAnswer> {
  const { cognigy, clock, vault } = deps;
  const { change, ifMatch, deadlineMs, telemetry } = command;
  const bytes = cognigy.dialogBytes(change);
  const maxBytes = cognigy.capabilities.dialogMaxBytes;
  if (bytes > maxBytes) return { kind: 'too-large', bytes, maxBytes };

  // As for an inject: the permit's way to the table overlaps with the commit's.
  const permit = cognigy.prepare({ deadlineMs, mayWait: false, surface: 'dialog' });
  await clock.turn();
  return runOperation(deps, {
    sessionId: command.sessionId,
    deadlineMs,
    telemetry,
    permit,
    operation: newOperation(deps, {
      kind: 'dialog-state',
      client: command.client,
      correlationId: command.correlationId,
      // By its hash: the values may be large.
      fingerprint: vault.fingerprint(['dialog-state', valueHash({ ...change })]),
      payload: { kind: 'dialog-state', change, ...(ifMatch !== undefined && { ifMatch }) },
      ...idempotencyOf(vault, command),
    }),
  });
}
