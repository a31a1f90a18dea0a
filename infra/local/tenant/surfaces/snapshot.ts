import * as z from 'zod';
import type { JsonObject, JsonValue } from '../../../../lib/context/json.ts';
import { invalid } from '../bodies.ts';
import { type Answer, jsonAnswer } from '../messages.ts';
import type { Settings } from '../settings.ts';
import { positionOf, SCOPES, type StoredVariable } from '../variables.ts';
import type { SurfaceHandler } from './call.ts';

const querySchema = z
  .strictObject({
    name: z.exactOptional(z.string()),
    scope: z.exactOptional(z.enum(SCOPES)),
    includeSystem: z.exactOptional(z.enum(['true', 'false'])),
    page: z.coerce.number().int().positive().default(1),
    cursor: z.exactOptional(z.base64url()),
  })
  .refine(({ page, cursor }) => page === 1 || cursor === undefined, 'page and cursor exclude each other');
type Query = z.infer<typeof querySchema>;

/** `GET /api/v2/botsessions/{id}/variables`: all scopes side by side, values as untyped strings, page by page. */
export const snapshot: SurfaceHandler = ({ request, session, settings }) => {
  const parsed = querySchema.safeParse(Object.fromEntries(request.query));
  if (!parsed.success) return invalid(parsed.error);
  const query = parsed.data;
  return page(
    session.variables.filter((variable) => isWanted(variable, query)),
    query,
    settings,
  );
};

function isWanted(variable: StoredVariable, query: Query): boolean {
  return (
    (query.name === undefined || variable.key === query.name) &&
    (query.scope === undefined || variable.scope === query.scope) &&
    (query.includeSystem === 'true' || !variable.key.startsWith('_'))
  );
}

function page(wanted: readonly StoredVariable[], query: Query, settings: Settings): Answer {
  const { pageSize, pagination } = settings;
  const start = query.cursor === undefined ? (query.page - 1) * pageSize : positionAfter(wanted, query.cursor);
  const shown = wanted.slice(start, start + pageSize);
  const last = shown.at(-1);
  const variables = shown.map((variable) => render(variable, settings.includeTypes));
  if (last === undefined || start + pageSize >= wanted.length) return jsonAnswer(200, { variables });
  const next = pagination === 'page' ? { nextPage: query.page + 1 } : { nextCursor: cursorOf(last) };
  return jsonAnswer(200, { variables, pagination: next });
}

/** A cursor names the last variable shown, so a variable that comes or goes on an earlier page shifts nothing. */
function cursorOf(variable: StoredVariable): string {
  return Buffer.from(positionOf(variable)).toString('base64url');
}

function positionAfter(wanted: readonly StoredVariable[], cursor: string): number {
  const last = Buffer.from(cursor, 'base64url').toString('utf8');
  const next = wanted.findIndex((variable) => positionOf(variable) > last);
  return next < 0 ? wanted.length : next;
}

function render({ key, value, scope }: StoredVariable, includeType: boolean): JsonObject {
  const variable = { name: key, value: asText(value), scope };
  return includeType ? { ...variable, type: typeName(value) } : variable;
}

function asText(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function typeName(value: JsonValue): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
