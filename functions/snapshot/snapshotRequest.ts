import type { Answer, BridgeRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import { SNAPSHOT_SCOPES } from '../../lib/operations/ports/cognigy.ts';
import type { SnapshotAnswer, SnapshotCommand } from '../../lib/operations/takeSnapshot.ts';
import { CHANGES_MAX_BESIDE_CONTEXT, entryOf, instant } from './request.ts';

const NAME_MAX_CHARACTERS = 256;

export type SnapshotQuery = Pick<SnapshotCommand, 'filter' | 'coercion'>;

/** @throws {Problem} `invalid-query`, naming every parameter that is wrong. */
export function readSnapshotQuery({ query }: BridgeRequest): SnapshotQuery {
  const { name, scope, includeSystem = 'false', coerce: coercion = 'auto' } = query;
  const errors: { pointer: string; code: string; message: string }[] = [];
  const refuse = (parameter: string, message: string) =>
    errors.push({ pointer: `/${parameter}`, code: 'invalid-parameter', message });
  if (name !== undefined && (name === '' || name.length > NAME_MAX_CHARACTERS || !name.isWellFormed())) {
    refuse('name', `must have 1 to ${NAME_MAX_CHARACTERS} characters`);
  }
  const inScope = SNAPSHOT_SCOPES.find((known) => known === scope);
  if (scope !== undefined && inScope === undefined) refuse('scope', `must be one of ${SNAPSHOT_SCOPES.join(', ')}`);
  if (includeSystem !== 'true' && includeSystem !== 'false') refuse('includeSystem', 'must be true or false');
  if (coercion !== 'auto' && coercion !== 'none') refuse('coerce', 'must be auto or none');
  if (errors.length > 0) throw new Problem('invalid-query', { errors });
  return {
    filter: {
      includeSystem: includeSystem === 'true',
      ...(name !== undefined && { name }),
      ...(inScope !== undefined && { scope: inScope }),
    },
    coercion: coercion === 'none' ? 'none' : 'auto',
  };
}

/** @throws {Problem} for a session that has ended, an upstream that cannot be read, and more than one answer holds. */
export function answerSnapshot({ sessionId }: BridgeRequest, answer: SnapshotAnswer, nowMs: number): Answer {
  switch (answer.kind) {
    case 'ended':
      throw new Problem('session-ended');
    case 'too-large':
      throw new Problem('payload-too-large', {
        detail: 'The snapshot is larger than an answer can be; filter it by name or scope.',
      });
    case 'busy':
      throw new Problem('session-busy', {
        detail: 'The session kept changing while it was read, and there is no mirror of it yet.',
        headers: { 'retry-after': '1' },
      });
    case 'unreadable': {
      const { code, retryAtMs = nowMs } = answer;
      if (code !== 'upstream-unavailable' && code !== 'upstream-timeout') throw new Problem(code);
      const seconds = Math.max(1, Math.ceil((retryAtMs - nowMs) / 1_000));
      throw new Problem(code, { headers: { 'retry-after': String(seconds) } });
    }
    case 'taken': {
      const { takenAtMs, freshness, variables, metrics, auditTrail } = answer.snapshot;
      const body = {
        sessionId,
        takenAt: instant(takenAtMs),
        freshness,
        variables,
        metrics,
        auditTrail: auditTrail.map((record) => entryOf(record, CHANGES_MAX_BESIDE_CONTEXT)),
      };
      return { status: 200, body };
    }
  }
}
