import { type Effect, nameOf } from './effects.ts';
import type { Broken, Evidence, SessionEvidence } from './evidence.ts';

/** I3: what a CRM tells late is not put over what has occurred later and was committed before it (SCENARIOS 6). */
export function checkLate({ sessions, sightings }: Evidence, broken: Broken): void {
  for (const at of sessions) {
    const lastArrivedMs = new Map<string, number>();
    for (const { session, slot, value, atMs } of sightings) {
      if (session === at.session && atMs !== undefined) lastArrivedMs.set(nameOf(slot, value), atMs);
    }
    for (const [slot, all] of at.effects.bySlot) {
      for (const late of all) {
        if (late.value === undefined || !isConfirmed(late, at)) continue;
        // An earlier try of the same event may have put it there, when nothing later had been told.
        if ((lastArrivedMs.get(nameOf(slot, late.value)) ?? 0) < late.by.atMs) continue;
        const newer = all.find((each) => isConfirmed(each, at) && comesAfter(each, late));
        if (newer === undefined) continue;
        broken(
          `I3 ${slot} of ${at.session}: an event was put over a later one, version ${late.by.version} over ${newer.by.version}`,
        );
      }
    }
  }
}

/** Committed before it, in the same life of the session, and occurred after it, to the same record. */
function comesAfter(newer: Effect, late: Effect): boolean {
  const [before, after] = [late.call.occurrence, newer.call.occurrence];
  if (before === undefined || after === undefined || before.recordId !== after.recordId) return false;
  return newer.by.life === late.by.life && newer.by.version < late.by.version && after.stamp > before.stamp;
}

function isConfirmed({ by }: Effect, { endings }: SessionEvidence): boolean {
  return endings.get(by.operationId)?.outcome === 'confirmed';
}
