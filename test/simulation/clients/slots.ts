import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';

/** Keys by who writes them. Each lives in one scope, so that what the bot shows of it is what was written last. */
export const KEYS = {
  inject: [
    { key: 'i0', scope: 'session' },
    { key: 'i1', scope: 'session' },
    { key: 'i2', scope: 'user' },
    { key: 'i3', scope: 'global' },
  ],
  sync: ['s0', 's1', 's2'],
  leaves: ['a', 'b', 'c'],
  dialog: [
    { key: 'd0', scope: 'session' },
    { key: 'd1', scope: 'session' },
    { key: 'd2', scope: 'user' },
  ],
  crm: ['c0', 'c1'],
  webhook: ['last_user_message', 'webhook_timestamp', 'custom_data'],
  /** Everybody writes to it, the bot too: nobody knows what it should hold. */
  shared: 'x0',
} as const;

const SCOPES = new Map<string, string>([...KEYS.inject, ...KEYS.dialog].map(({ key, scope }) => [key, scope]));

/** A key's place, or that of one of its leaves, with the scope it lives in. */
export function slotOf(key: string, leaf?: string): string {
  return `${SCOPES.get(key) ?? 'session'}:/${key}${leaf === undefined ? '' : `/${leaf}`}`;
}

const isSynced = (key: string) => KEYS.sync.some((name) => name === key);
const isFollowed = (key: string) =>
  isSynced(key) ||
  SCOPES.has(key) ||
  KEYS.crm.some((name) => name === key) ||
  KEYS.webhook.some((name) => name === key);

/** What a context, or any part of one, has at these places. */
export function slotsIn(context: JsonObject): Map<string, JsonValue> {
  const slots = new Map<string, JsonValue>();
  for (const [key, value] of Object.entries(context)) {
    if (!isFollowed(key)) continue;
    if (!isSynced(key)) slots.set(slotOf(key), value);
    else if (isJsonObject(value)) {
      for (const [leaf, inner] of Object.entries(value)) if (inner !== undefined) slots.set(slotOf(key, leaf), inner);
    }
  }
  return slots;
}
