import { type Effect, isExpiredOnItsWay, isLeftToBot, isUnaccounted, mayBeHidden } from './effects.ts';
import type { Broken, Evidence, SessionEvidence } from './evidence.ts';
import type { Sighting } from './sightings.ts';

/** I3: nothing leaves that was not committed, and nothing that something later and confirmed has replaced. I5: nothing that has expired. */
export function checkOrder({ sightings, sessions }: Evidence, broken: Broken): void {
  const bySession = new Map(sessions.map((each) => [each.session, each]));
  for (const sighting of sightings) {
    const at = bySession.get(sighting.session);
    if (at !== undefined) checkSighting(sighting, at, broken);
  }
}

function checkSighting(sighting: Sighting, { lane, effects, endings }: SessionEvidence, broken: Broken): void {
  const { session, slot, value, leftMs, byClockMs } = sighting;
  const own = effects.of(slot, value);
  const what = `${slot} = ${JSON.stringify(value).slice(0, 24)} of ${session}`;
  if (!own.some(({ by }) => by.atMs <= leftMs)) {
    broken(`I1 ${what} was sent, and nobody had committed it`);
    return;
  }
  if (mayBeHidden(slot, lane)) return;
  // What the bot has kept of an erased session is the bot's own.
  const all = effects.bySlot.get(slot) ?? [];
  const isOurs = (effect: Effect) =>
    (effect.by.erasedAtMs ?? Number.POSITIVE_INFINITY) > leftMs && !isLeftToBot(effect, all, endings);
  if (own.every((effect) => effect.expiresAtMs <= byClockMs && isOurs(effect)))
    broken(`I5 ${what} was sent after it had expired`);
  // So is what was refused, and has reached the bot all the same. What has been replaced since an erase is in nobody's hands.
  if (own.every(({ by }) => by.erasedAtMs === undefined && isUnaccounted(endings.get(by.operationId)))) return;
  // What an erase has left in another scope than the session's is found in none: what is put over it hides it while that lives.
  const isLeftByErase = ({ by }: Effect) => by.erasedAtMs !== undefined && by.erasedAtMs < leftMs;
  if (!slot.startsWith('session:') && own.every(isLeftByErase)) return;
  const version = Math.max(...own.map(({ by }) => by.version));
  const later = all.find(
    (effect) =>
      effect.by.version > version &&
      (effect.by.endedAtMs ?? Number.POSITIVE_INFINITY) < leftMs &&
      !isExpiredOnItsWay(effect) &&
      !effect.isDoubtful &&
      endings.get(effect.by.operationId)?.outcome === 'confirmed',
  );
  if (later !== undefined)
    broken(`I3 ${what} (version ${version}) was sent after version ${later.by.version} was confirmed`);
}
