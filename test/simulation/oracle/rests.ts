import { isLeftToBot, mayBeHidden } from './effects.ts';
import type { Broken, Evidence } from './evidence.ts';

/** The schedule comes every minute, and has some time to get round. */
const BY_SCHEDULE_MS = 2 * 60_000;

/** I5: what has expired leaves the bot with the next schedule, and not only some time. */
export function checkRests({ rests, sessions, mayIdle }: Evidence, broken: Broken): void {
  if (mayIdle) return;
  const bySession = new Map(sessions.map((each) => [each.session, each]));
  for (const { session, atMs, bot } of rests) {
    const at = bySession.get(session);
    if (at === undefined) continue;
    for (const [slot, value] of bot) {
      const own = at.effects.of(slot, value);
      const all = at.effects.bySlot.get(slot) ?? [];
      if (own.length === 0 || mayBeHidden(slot, at.lane)) continue;
      const isOver = own.every(
        (effect) =>
          effect.expiresAtMs + BY_SCHEDULE_MS < atMs &&
          (effect.by.erasedAtMs ?? Number.POSITIVE_INFINITY) > atMs &&
          !isLeftToBot(effect, all, at.endings),
      );
      if (isOver) broken(`I5 ${slot} of ${session} is still in the bot, minutes after it has expired`);
    }
  }
}
