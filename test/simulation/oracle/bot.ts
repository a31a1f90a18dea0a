import { isPossible, mayBeHidden, possibleAt } from './effects.ts';
import type { Broken, Evidence } from './evidence.ts';

/** I1, I3, I5: in the end the bot has at each place what was confirmed last, and nothing that has expired. */
export function checkBot({ sessions, endMs }: Evidence, broken: Broken): void {
  for (const { session, lane, effects, endings, bot } of sessions) {
    for (const [slot, value] of bot) {
      if (effects.of(slot, value).length === 0) broken(`I1 the bot of ${session} has ${slot} from nowhere`);
    }
    for (const [slot, all] of effects.bySlot) {
      if (mayBeHidden(slot, lane)) continue;
      const ofThisLife = all.filter(({ by }) => by.life === lane.life);
      // The bot keeps what it had when its session was erased here (SPEC 2, erase).
      const erased = all.filter(({ by }) => by.life < lane.life);
      const possible = possibleAt(ofThisLife, endings, () => true, erased);
      if (isPossible(bot.get(slot), possible, { fromMs: endMs, toMs: endMs })) continue;
      const has = JSON.stringify(bot.get(slot))?.slice(0, 24);
      const expected = possible.map((each) => JSON.stringify(each.value)?.slice(0, 24) ?? 'nothing').join(' or ');
      broken(`I3 in the end the bot of ${session} has ${has ?? 'nothing'} at ${slot}, and not ${expected}`);
    }
  }
}
