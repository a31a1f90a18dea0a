import { isJsonObject } from '../../lib/context/json.ts';

/** Of what anybody may have sent, as much as fits on a line. */
const MAX_CHARACTERS = 200;

/** What a terminal may show of a text from outside: no control character, and not too much. */
export function printable(text: string): string {
  const shown = text.replace(/\p{C}/gu, '?');
  return shown.length > MAX_CHARACTERS ? `${shown.slice(0, MAX_CHARACTERS)}…` : shown;
}

/** One line about an outbound event, `{ type, data: { sessionId, paths } }`: what has happened where. Never a value. */
export function eventLine(event: unknown): string {
  const { type, data } = isJsonObject(event) ? event : {};
  const { sessionId, code, paths } = isJsonObject(data) ? data : {};
  const places = Array.isArray(paths) ? paths.filter((path) => typeof path === 'string') : [];
  const parts = [type, sessionId, code].filter((part) => typeof part === 'string');
  return printable([...parts, places.join(' ')].join('  ').trim());
}
