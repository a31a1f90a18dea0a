import { TOLD_AS } from '../../fixtures/toldAs.ts';
import type { Call } from '../clients/calls.ts';
import { nameOf } from './effects.ts';
import type { Broken, Evidence, SessionEvidence } from './evidence.ts';
import type { Committed } from './lanes.ts';

/** I1: every operation that was accepted has ended in the bot, or in a recorded refusal that was told; or was erased. */
export function checkAccepted(evidence: Evidence, broken: Broken): void {
  const byOperation = new Map<string, { readonly at: SessionEvidence; readonly by: Committed }>();
  for (const at of evidence.sessions) for (const by of at.lane.committed) byOperation.set(by.operationId, { at, by });
  const firstSeen = new Map<string, number>();
  for (const { session, slot, value, atMs } of evidence.sightings) {
    const name = `${session} ${nameOf(slot, value)}`;
    if (atMs !== undefined && !firstSeen.has(name)) firstSeen.set(name, atMs);
  }

  for (const call of evidence.calls) {
    for (const { operationId, isConfirmed, version } of acceptedIn(call)) {
      const found = byOperation.get(operationId);
      if (found === undefined) {
        broken(`I1 ${call.id} was accepted as ${operationId}, and nobody has committed that`);
        continue;
      }
      const { at, by } = found;
      // Whose commit was acknowledged only when others had settled it may be told a later version than its own.
      if (version !== undefined && (isConfirmed ? version !== by.version : version < by.version)) {
        broken(`I1 ${call.id} was told version ${version}, and is version ${by.version}`);
      }
      if (!isConfirmed || by.erasedAtMs !== undefined) continue;
      if ((by.endedAtMs ?? Number.POSITIVE_INFINITY) > (call.endMs ?? 0)) {
        broken(`I1 ${call.id} was told that it is confirmed before it was settled`);
      }
      const ending = at.endings.get(operationId);
      if (ending?.outcome !== 'confirmed')
        broken(`I1 ${call.id} was told that it is confirmed, and is ${ending?.outcome}`);
    }
  }

  for (const at of evidence.sessions) {
    for (const by of at.lane.committed) {
      if (by.erasedAtMs !== undefined) continue;
      if (by.endedBy === undefined) {
        broken(`I1 ${by.kind} ${by.operationId} (version ${by.version}) has never ended`);
        continue;
      }
      const ending = at.endings.get(by.operationId);
      if (ending === undefined) {
        if (by.kind !== 'expire') broken(`I6 ${by.kind} ${by.operationId} has ended, and has no entry that says so`);
        continue;
      }
      if (ending.outcome === 'confirmed') checkEffect(at, by, firstSeen, evidence, broken);
      checkTold(at, by, evidence, broken);
    }
  }
}

/** Operations that a call's answer has called accepted. */
function acceptedIn({ said, kind }: Call): { operationId: string; isConfirmed: boolean; version?: number }[] {
  if (said === undefined) return [];
  if (kind === 'crm') {
    return (said.sessions ?? []).flatMap(({ operationId, status }) =>
      operationId === null || (status !== 'injected' && status !== 'pending')
        ? []
        : [{ operationId, isConfirmed: status === 'injected' }],
    );
  }
  if (said.kind === 'pending' && said.operationId !== undefined) {
    return [
      {
        operationId: said.operationId,
        isConfirmed: false,
        ...(said.version !== undefined && { version: said.version }),
      },
    ];
  }
  if (said.kind !== 'settled' || said.outcome?.kind !== 'confirmed') return [];
  const { operationId, version } = said.outcome;
  return [{ operationId, version, isConfirmed: true }];
}

/** What a confirmed operation has put was in the bot before it was settled; unless it had expired, or was overtaken. */
function checkEffect(
  { session, effects }: SessionEvidence,
  by: Committed,
  firstSeen: ReadonlyMap<string, number>,
  { callsById }: Evidence,
  broken: Broken,
): void {
  const endedMs = by.endedAtMs ?? 0;
  for (const { slot, value } of callsById.get(by.correlationId)?.writes ?? []) {
    if (value === undefined) continue;
    const seenMs = firstSeen.get(`${session} ${nameOf(slot, value)}`) ?? Number.POSITIVE_INFINITY;
    if (seenMs <= endedMs) continue;
    const own = effects.of(slot, value).find((effect) => effect.by === by);
    if (own === undefined || own.isDoubtful) continue;
    const isExpired = own.expiresAtMs <= endedMs + 200;
    const isOvertaken = (effects.bySlot.get(slot) ?? []).some(
      (other) => other.by.version > by.version && (other.by.endedAtMs ?? Number.POSITIVE_INFINITY) <= endedMs,
    );
    if (!isExpired && !isOvertaken) {
      broken(
        `I1 ${by.kind} ${by.operationId} (version ${by.version}) is confirmed, and the bot has never had its ${slot}`,
      );
    }
  }
}

/** How it ended was told to the bus and to the endpoint as what it was, or given up and put where people look. */
function checkTold({ session, endings }: SessionEvidence, by: Committed, { told }: Evidence, broken: Broken): void {
  const ending = endings.get(by.operationId);
  const isGivenUp = told.letters.some(({ eventId }) => eventId === by.operationId);
  if (ending === undefined || isGivenUp) return;
  const type = ending.outcome === 'confirmed' ? TOLD_AS[by.kind] : 'context.failed';
  for (const [whom, heard] of Object.entries({ bus: told.bus, endpoint: told.endpoint })) {
    const said = heard.get(by.operationId);
    if (said !== type) {
      broken(`I1 how ${by.kind} ${by.operationId} of ${session} ended was told to the ${whom} as ${said ?? 'nothing'}`);
    }
  }
}
