import type { Broken, Evidence } from './evidence.ts';

/** I6: every operation that anybody has tried has its entries, one of them says how it ended, and the chain verifies. */
export function checkTrail({ sessions, sightings, callsById }: Evidence, broken: Broken): void {
  for (const { session, lane, audit, effects } of sessions) {
    if (audit === undefined) {
      if (lane.committed.length > 0) broken(`I6 ${session} has no audit trail`);
      continue;
    }
    if (!audit.chain.valid) broken(`I6 the chain of ${session} is broken at ${audit.chain.brokenAt}`);
    const committed = new Set(lane.committed.map(({ operationId }) => operationId));
    const ended = new Set<string>();
    const told = new Set<string>();
    let version = 0;
    for (const { operationId, payload } of audit.records.toReversed()) {
      told.add(operationId);
      if (payload === undefined || payload.outcome === 'pending') continue;
      // A request that was refused, and never became an operation, may be noted twice: its acknowledgement was lost.
      if (ended.has(operationId) && committed.has(operationId))
        broken(`I6 ${operationId} of ${session} has ended twice`);
      ended.add(operationId);
      if (payload.outcome !== 'confirmed' || payload.operation === 'erase') continue;
      if (lane.life === 0 && (payload.versionBefore ?? 0) < version) {
        broken(`I6 an entry of ${session} goes back from version ${version} to ${payload.versionBefore}`);
      }
      version = payload.versionAfter ?? 0;
    }
    for (const sighting of sightings) {
      if (sighting.session !== session) continue;
      const own = effects.of(sighting.slot, sighting.value);
      if (own.length > 0 && own.every(({ by }) => by.erasedAtMs === undefined && !told.has(by.operationId))) {
        broken(`I6 ${own[0]?.by.operationId} of ${session} was tried, and has no entry`);
      }
    }
    for (const { operationId, correlationId, erasedAtMs } of lane.committed) {
      const kind = callsById.get(correlationId)?.kind;
      if (kind !== undefined && erasedAtMs === undefined && !ended.has(operationId))
        broken(`I6 ${operationId} of ${session} has no end`);
    }
  }
}
