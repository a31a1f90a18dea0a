import { isJsonObject, type JsonObject, type JsonValue } from '../../../lib/context/json.ts';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import { slotsIn } from '../clients/slots.ts';
import type { Arrival, Crossing } from '../world/network.ts';

/** One value of ours on its way to the bot. */
export interface Sighting {
  readonly session: SessionId;
  readonly slot: string;
  readonly value: JsonValue;
  /** When its request left, by the world's clock and by its instance's, epoch milliseconds. */
  readonly leftMs: number;
  readonly byClockMs: number;
  readonly isRewrite: boolean;
  /** When it was in the bot; absent as long as it is not. */
  atMs?: number;
}

/** What of ours a request holds, by slot. */
export function valuesIn({ method, path, body }: Pick<Crossing, 'method' | 'path' | 'body'>): Map<string, JsonValue> {
  if (body === '' || method === 'GET' || path.endsWith('/token')) return new Map();
  const said: JsonValue = JSON.parse(body);
  if (!isJsonObject(said)) return new Map();
  if (path.startsWith('/api/v2/')) return slotsIn(contextOf(said['variables']));
  if (path.startsWith('/runtime/')) return slotsIn({ ...objectIn(said['session']), ...objectIn(said['user']) });
  if (method === 'POST') return slotsIn(objectIn(said['variables']));
  return slotsIn(said);
}

/** Variables to forget are sent as `null`, which is no value of ours. */
function contextOf(variables: JsonValue | undefined): JsonObject {
  if (!Array.isArray(variables)) return {};
  const entries = variables.flatMap((each: JsonValue): [string, JsonValue][] => {
    if (!isJsonObject(each) || each['value'] === null || each['value'] === undefined) return [];
    return [[String(each['key']), each['value']]];
  });
  return Object.fromEntries(entries);
}

function objectIn(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

export interface Transition {
  readonly session: SessionId;
  readonly nextStep: string;
}

/** The transition that a request has made, if it has. */
export function transitionIn({ path, body, applied }: Arrival): string | undefined {
  if (!applied || !path.startsWith('/runtime/') || body === '') return undefined;
  const said: JsonValue = JSON.parse(body);
  const transition = isJsonObject(said) ? said['transition'] : undefined;
  return isJsonObject(transition) ? String(transition['nextStep']) : undefined;
}
