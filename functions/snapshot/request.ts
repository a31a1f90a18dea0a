import { hasGrant } from '../../lib/http/admission.ts';
import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import type { ContextDiff } from '../../lib/operations/history.ts';
import type { Inspection, PastInspection, ShownContext } from '../../lib/operations/inspect.ts';
import type { AuditPage, AuditQuery, AuditRecord } from '../../lib/operations/ports/sessionStore.ts';

const AUDIT_LIMIT_DEFAULT = 50;
const AUDIT_LIMIT_MAX = 500;
/** A function may answer 6 MB. What follows keeps every answer below that. */
const AUDIT_PAGE_MAX_CHARACTERS = 3_000_000;
const CHANGES_MAX = 8_000;
export const CHANGES_MAX_BESIDE_CONTEXT = 100;
const VARIABLES_MAX = 5_000;
const DIFFERENCES_MAX = 8_000;

type Unknown = 'unknown' | 'ended' | 'unknown-version';

function shownOrThrow<Found extends object>(found: Found | Unknown): Found {
  if (found === 'unknown') throw new Problem('unknown-session');
  if (found === 'ended') throw new Problem('session-ended');
  if (found === 'unknown-version') throw new Problem('unknown-version');
  return found;
}

/** What of a context is asked for. */
export interface InspectQuery {
  readonly version?: number;
  /** How many variables to leave out at the beginning of the list. */
  readonly offset: number;
}

export function answerInspect(
  request: BridgeRequest,
  { offset }: InspectQuery,
  answer: Inspection | Unknown,
  limitBytes: number,
): Answer {
  const found = shownOrThrow(answer);
  return {
    status: 200,
    body: {
      sessionId: request.sessionId,
      version: found.version,
      confirmedVersion: found.confirmedVersion,
      freshness: 'mirror',
      // Whose session it is, without saying who that is: the same for all sessions of one user.
      userKey: found.userKey ?? null,
      ...contextBody(found, offset, limitBytes),
      pendingOperations: found.pendingOperations,
      recentAudit: found.recentAudit.map((record) => entryOf(record, CHANGES_MAX_BESIDE_CONTEXT)),
    },
  };
}

export function answerPast(
  request: BridgeRequest,
  { offset }: InspectQuery,
  answer: PastInspection | Unknown,
  limitBytes: number,
): Answer {
  const found = shownOrThrow(answer);
  const { version, atMs } = found;
  return {
    status: 200,
    body: {
      sessionId: request.sessionId,
      version,
      confirmedVersion: version,
      asOf: atMs === 0 ? null : instant(atMs),
      freshness: 'mirror',
      ...contextBody(found, offset, limitBytes),
    },
  };
}

function contextBody(
  { context, variables, sizeBytes, schemaErrors, nowMs }: ShownContext,
  offset: number,
  limitBytes: number,
): object {
  const end = offset + VARIABLES_MAX;
  return {
    context,
    variables: variables
      .slice(offset, end)
      .map(({ path, scope, value, expiresAtMs, updatedAtMs, source, version }) => ({
        path,
        scope,
        value,
        expiresAt: expiresAtMs === undefined ? null : instant(expiresAtMs),
        ttlSecondsLeft: expiresAtMs === undefined ? null : Math.ceil((expiresAtMs - nowMs) / 1_000),
        updatedAt: instant(updatedAtMs),
        source,
        version,
      })),
    // The context is whole in any case; of very many variables the rest is asked for with this offset.
    nextOffset: end < variables.length ? end : null,
    sizeBytes,
    limitBytes,
    schemaValid: schemaErrors.length === 0,
    schemaErrors,
  };
}

/** @throws {Problem} `invalid-query`, naming every parameter that is wrong. */
export function readInspectQuery({ query }: BridgeRequest): InspectQuery {
  const { version, offset = '0' } = query;
  if (version === undefined) return readNumbers({ offset });
  return readNumbers({ version, offset });
}

/** @throws {Problem} `invalid-query`, naming every parameter that is missing or wrong. */
export function readNumbers<Name extends string>(
  given: Readonly<Record<Name, string | undefined>>,
): Record<Name, number> {
  const entries = Object.entries<string | undefined>(given);
  const errors = entries
    .filter(([, text]) => text === undefined || !/^\d{1,12}$/.test(text))
    .map(([name, text]) => ({
      pointer: `/${name}`,
      code: 'invalid-parameter',
      message: text === undefined ? 'is missing' : 'must be a whole number from 0',
    }));
  if (errors.length > 0) throw new Problem('invalid-query', { errors });
  return Object.fromEntries(entries.map(([name, text]) => [name, Number(text)])) as Record<Name, number>;
}

export function answerDiff(
  request: BridgeRequest,
  versions: { readonly from: number; readonly to: number },
  answer: ContextDiff | Unknown,
): Answer {
  const { added, removed, changed, values } = shownOrThrow(answer);
  const mayRead = hasGrant(request.client, 'values');
  const told = [added, removed, changed].map((paths) => paths.slice(0, DIFFERENCES_MAX));
  const omitted = added.length + removed.length + changed.length - told.flat().length;
  const body = {
    sessionId: request.sessionId,
    ...versions,
    added: told[0],
    removed: told[1],
    changed: told[2],
    ...(omitted > 0 && { omitted }),
  };
  if (!mayRead) return { status: 200, body };
  return {
    status: 200,
    body: { ...body, values: Object.fromEntries(told.flat().map((path) => [path, values.get(path)])) },
  };
}

/** @throws {Problem} `invalid-query`, naming the parameter. */
export function readAuditQuery({ query }: BridgeRequest, nowMs: number): AuditQuery {
  const { limit, cursor, operationId } = query;
  const errors: { pointer: string; code: string; message: string }[] = [];
  const refuse = (name: string, message: string) => {
    errors.push({ pointer: `/${name}`, code: 'invalid-parameter', message });
    return undefined;
  };
  const isLimit =
    limit === undefined || (/^\d{1,4}$/.test(limit) && Number(limit) >= 1 && Number(limit) <= AUDIT_LIMIT_MAX);
  if (!isLimit) refuse('limit', `must be a whole number from 1 to ${AUDIT_LIMIT_MAX}`);
  const beforeSeq =
    cursor === undefined ? undefined : (seqOf(cursor) ?? refuse('cursor', 'is not a cursor of this trail'));
  const isId = operationId === undefined || /^[0-9A-HJKMNP-TV-Z]{26}$/.test(operationId);
  if (!isId) refuse('operationId', 'must be a ULID');
  if (errors.length > 0) throw new Problem('invalid-query', { errors });
  return {
    nowMs,
    limit: limit === undefined ? AUDIT_LIMIT_DEFAULT : Number(limit),
    ...(beforeSeq !== undefined && { beforeSeq }),
    ...(operationId !== undefined && { operationId }),
  };
}

export function answerAudit(page: AuditPage | undefined): Answer {
  if (page === undefined) throw new Problem('unknown-session');
  const { records, nextBeforeSeq, chain } = page;
  const entries: object[] = [];
  let characters = 0;
  let next = nextBeforeSeq;
  for (const record of records) {
    const entry = entryOf(record, CHANGES_MAX);
    characters += JSON.stringify(entry).length;
    if (entries.length > 0 && characters > AUDIT_PAGE_MAX_CHARACTERS) break;
    entries.push(entry);
    next = entries.length < records.length ? record.seq : nextBeforeSeq;
  }
  return { status: 200, body: { entries, nextCursor: next === undefined ? null : cursorOf(next), chain } };
}

/** One entry as it is shown. Where the payload can no longer be read, the chain's own members remain. */
export function entryOf({ seq, operationId, atMs, hash, prevHash, payload }: AuditRecord, changesMax: number): object {
  const { crm: _crm, changes = [], ...said } = payload ?? {};
  const shown = payload !== undefined && {
    ...said,
    changes: changes.slice(0, changesMax),
    ...(changes.length > changesMax && { changesOmitted: changes.length - changesMax }),
  };
  return { seq, at: instant(atMs), operationId, ...shown, hash, prevHash };
}

export function instant(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

const CURSOR = /^before:(\d{1,12})$/;

function cursorOf(seq: number): string {
  return Buffer.from(`before:${seq}`, 'utf8').toString('base64url');
}

function seqOf(cursor: string): number | undefined {
  const match = CURSOR.exec(Buffer.from(cursor, 'base64url').toString('utf8'));
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
