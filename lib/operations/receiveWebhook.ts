import { valueHash } from '../context/canonicalJson.ts';
import { isJsonObject, type JsonObject } from '../context/json.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { Variable } from '../context/variables.ts';
import type { Vault } from '../platform/vault.ts';
import { bindingBeside } from './binding.ts';
import { type LaneAnswer, runOperation, type TooLarge } from './lane.ts';
import { newOperation } from './newOperation.ts';
import type { Bindings } from './ports/crm.ts';
import type { Telemetry } from './ports/telemetry.ts';
import type { LaneDeps } from './push.ts';

export interface WebhookDeps extends LaneDeps {
  readonly vault: Vault;
  readonly bindings: Bindings;
}

/** A message on its way to the bot, as the web-messaging endpoint tells it (SPEC 2 "webhook"). */
export interface WebMessage {
  readonly sessionId: SessionId;
  /** The raw id, which is kept sealed. */
  readonly userId: string;
  readonly message: string;
  readonly channel: string;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly custom?: JsonObject;
}

export interface WebhookCommand {
  readonly message: WebMessage;
  readonly correlationId: string;
  /** Epoch milliseconds. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export type WebhookAnswer = LaneAnswer | TooLarge;

/** Who the endpoint is in the audit trail. */
export const WEBHOOK_CLIENT = 'webhook';

/**
 * What the bot is to know about a message before it understands it: variables of the session. Each message says all of them, so
 * that nothing of an earlier one is taken for this one's.
 */
export function derivedVariables({ message, timestamp, channel, custom }: WebMessage): Variable[] {
  const values = {
    last_user_message: message,
    webhook_timestamp: timestamp,
    channel_type: channel,
    custom_data: JSON.stringify(custom ?? {}),
  };
  return Object.entries(values).map(([key, value]) => ({ key, value, scope: 'session' }));
}

/**
 * Puts what derives from a message into its session. The same payload has one effect, however often and from wherever it
 * comes: it is its own idempotency key (SCENARIOS 13).
 * @throws {StoreError} when the operation could not be recorded; nothing was sent then.
 */
export async function receiveWebhook(deps: WebhookDeps, command: WebhookCommand): Promise<WebhookAnswer> {
  const { cognigy, clock, vault } = deps;
  const { message, deadlineMs, telemetry, correlationId } = command;
  const { sessionId, userId } = message;
  const variables = derivedVariables(message);
  const bytes = cognigy.injectBytes({ variables, surface: 'webhook' });
  const maxBytes = cognigy.capabilities.injectMaxBytes;
  if (bytes > maxBytes) return { kind: 'too-large', bytes, maxBytes };

  // As for an inject: the permit's way to the table overlaps with the commit's.
  const permit = cognigy.prepare({ deadlineMs, mayWait: false, surface: 'webhook' });
  await clock.turn();
  // By its hash: the message may be large.
  const fingerprint = vault.fingerprint(['webhook', valueHash({ ...message })]);
  const crm = message.custom?.['crm'];
  return bindingBeside(deps, { sessionId, ...(isJsonObject(crm) && { crm }) }, () =>
    runOperation(deps, {
      sessionId,
      deadlineMs,
      telemetry,
      permit,
      operation: newOperation(deps, {
        kind: 'webhook',
        client: WEBHOOK_CLIENT,
        correlationId,
        fingerprint,
        idempotencyHash: fingerprint,
        userId,
        payload: { kind: 'webhook', variables },
      }),
    }),
  );
}
