import { hasGrant } from '../../lib/http/admission.ts';
import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import type { ContextDiff } from '../../lib/operations/history.ts';
import type { Inspection, PastInspection, ShownContext } from '../../lib/operations/inspect.ts';
import type { AuditPage, AuditQuery, AuditRecord } from '../../lib/operations/ports/sessionStore.ts';

const AUDIT_LIMIT_DEFAULT = 50;
const AUDIT_LIMIT_MAX = 500;

type Unknown = 'unknown' | 'ended' | 'unknown-version';

function shownOrThrow<Found extends object>(found: Found | Unknown): Found {
  if (found === 'unknown') throw new Problem('unknown-session');
  if (found === 'ended') throw new Problem('session-ended');
  if (found === 'unknown-version') throw new Problem('unknown-version');
  return found;
}

export function answerInspect(request: BridgeRequest, answer: Inspection | Unknown, limitBytes: number): Answer {
  const found = shownOrThrow(answer);
  return {
    status: 200,
    body: {
      sessionId: request.sessionId,
      version: found.version,
      confirmedVersion: found.confirmedVersion,
      freshness: 'mirror',
      ...contextBody(found, limitBytes),
      pendingOperations: found.pendingOperations,
      recentAudit: found.recentAudit.map(entryOf),
    },
  };
}

export function answerPast(request: BridgeRequest, answer: PastInspection | Unknown, limitBytes: number): Answer {
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
      ...contextBody(found, limitBytes),
    },
  };
}

function contextBody({ context, variables, sizeBytes, schemaErrors, nowMs }: ShownContext, limitBytes: number): object {
  return {
    context,
    variables: variables.map(({ path, scope, value, expiresAtMs, updatedAtMs, source, version }) => ({
      path,
      scope,
      value,
      expiresAt: expiresAtMs === undefined ? null : instant(expiresAtMs),
      ttlSecondsLeft: expiresAtMs === undefined ? null : Math.ceil((expiresAtMs - nowMs) / 1_000),
      updatedAt: instant(updatedAtMs),
      source,
      version,
    })),
    sizeBytes,
    limitBytes,
    schemaValid: schemaErrors.length === 0,
    schemaErrors,
  };
}

/** @throws {Problem} `invalid-query` */
export function readVersion({ query }: BridgeRequest): number | undefined {
  const { version } = query;
  if (version === undefined) return undefined;
  return readVersions({ version }).version;
}

/** @throws {Problem} `invalid-query`, naming every parameter that is missing or wrong. */
export function readVersions<Name extends string>(
  given: Readonly<Record<Name, string | undefined>>,
): Record<Name, number> {
  const entries = Object.entries<string | undefined>(given);
  const errors = entries
    .filter(([, text]) => text === undefined || !/^\d{1,12}$/.test(text))
    .map(([name, text]) => ({
      pointer: `/${name}`,
      code: 'invalid-parameter',
      message: text === undefined ? 'is missing' : 'must be a version, a whole number from 0',
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
  const body = { sessionId: request.sessionId, ...versions, added, removed, changed };
  return { status: 200, body: mayRead ? { ...body, values: Object.fromEntries(values) } : body };
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
  return {
    status: 200,
    body: {
      entries: records.map(entryOf),
      nextCursor: nextBeforeSeq === undefined ? null : cursorOf(nextBeforeSeq),
      chain,
    },
  };
}

/** One entry as it is shown. Where the payload can no longer be read, the chain's own members remain. */
function entryOf(record: AuditRecord): object {
  const { seq, operationId, atMs, hash, prevHash, payload } = record;
  return { seq, at: instant(atMs), operationId, ...payload, hash, prevHash };
}

function instant(epochMs: number): string {
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
