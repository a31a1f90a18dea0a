import type { JsonValue } from '../../../lib/context/json.ts';
import type { Read } from '../clients/calls.ts';
import { type Effect, isLeftToBot, isPossible, isUnaccounted, possibleAt } from './effects.ts';
import type { Broken, Evidence, SessionEvidence } from './evidence.ts';

/** I5 and I8: what readers are shown has not expired, and is one version of the session, whole. */
export function checkReaders({ reads, sessions, mayIdle }: Evidence, broken: Broken): void {
  const bySession = new Map(sessions.map((each) => [each.session, each]));
  for (const read of reads) {
    const at = bySession.get(read.session);
    if (at === undefined) continue;
    checkLive(read, at, broken);
    const isOfThisLife = at.lane.erasedAtMs.every((erasedMs) => erasedMs < read.startMs);
    if (!isOfThisLife || mayIdle) continue;
    if (read.kind === 'inspect') checkState(read, at, broken);
    // What the bot takes away itself moves the rest up by one: what lay first on the next page is on no page that is read (ADR 0014).
    const isShifted = at.botChangesMs.some((atMs) => read.startMs <= atMs && atMs <= read.endMs);
    if (read.kind === 'mirror snapshot' || (read.kind === 'snapshot' && !isShifted)) checkWhole(read, at, broken);
  }
}

function describe({ kind, session, startMs, endMs }: Read): string {
  return `a reader (${kind}) of ${session}, from ${Math.round(startMs)} to ${Math.round(endMs)},`;
}

function checkLive(read: Read, { lane, effects, endings }: SessionEvidence, broken: Broken): void {
  const shownVersion = lane.committed.find(({ version }) => version === read.version);
  for (const [slot, value] of read.shown) {
    const own = effects.of(slot, value);
    const what = `${slot} = ${JSON.stringify(value).slice(0, 24)}`;
    if (!own.some(({ by }) => by.atMs <= read.endMs))
      broken(`I8 ${describe(read)} was shown ${what}, which nobody has committed`);
    else if (
      own.every(
        (effect) =>
          effect.expiresAtMs <= read.askedAtMs &&
          (effect.by.erasedAtMs ?? Infinity) > read.endMs &&
          !isLeftToBot(effect, effects.bySlot.get(slot) ?? [], endings),
      )
    ) {
      // What a sync that is not settled has left in the bot nobody else knows of yet (SPEC 2, snapshot).
      const isUnsettled = own.some(
        ({ by }) => by.kind === 'sync' && (by.endedAtMs ?? Number.POSITIVE_INFINITY) > read.startMs,
      );
      if (read.kind !== 'snapshot' || !isUnsettled) broken(`I5 ${describe(read)} was shown ${what}, which had expired`);
    }
    // What an attempt that was refused has left in the bot is the bot's own: who reads the bot after that takes it for granted.
    const isFromBot = ({ by }: Effect) =>
      isUnaccounted(endings.get(by.operationId)) &&
      (by.endedAtMs ?? Number.POSITIVE_INFINITY) <= (shownVersion?.endedAtMs ?? 0);
    const isLater = (effect: Effect) => effect.by.version > (read.version ?? 0) && !isFromBot(effect);
    if (read.kind === 'inspect version' && own.every(isLater)) {
      broken(`I8 ${describe(read)} was shown ${what}, which came after version ${read.version}`);
    }
  }
}

/** The mirror after one of the settles that were the last at some moment of the read. */
function checkState(read: Read, at: SessionEvidence, broken: Broken): void {
  const { lane, effects, endings } = at;
  const { startMs, endMs, askedAtMs, shown, version } = read;
  const before = lane.settles.filter(({ atMs }) => atMs < startMs).length;
  const after = lane.settles.filter(({ atMs }) => atMs <= endMs).length;
  const moment = { fromMs: askedAtMs, toMs: askedAtMs + Math.ceil(endMs - startMs) };
  let wrong = '';
  for (let settles = before; settles <= after; settles += 1) {
    const counts = (by: { life: number; endedBy?: number }) =>
      by.life === lane.life && (by.endedBy ?? Infinity) <= settles;
    const confirmed = lane.committed.filter((by) => counts(by) && endings.get(by.operationId)?.outcome === 'confirmed');
    const newest = Math.max(0, ...confirmed.map((by) => by.version));
    const slots = new Set([...effects.bySlot.keys(), ...shown.keys()]);
    const bad = [...slots].filter((slot) => {
      if (isOfUnknownScope(slot, at)) return false;
      const all = effects.bySlot.get(slot) ?? [];
      const erased = all.filter(({ by }) => by.life < lane.life);
      return !isPossible(shown.get(slot), possibleAt(all, endings, counts, erased), moment);
    });
    if (bad.length === 0 && (lane.life > 0 || newest === version)) return;
    wrong ||=
      bad.length === 0 ? `version ${version} instead of ${newest}` : bad.map((slot) => seenAt(slot, shown)).join();
  }
  broken(`I8 ${describe(read)} was shown no state that the session has ever had: ${wrong}`);
}

/** What a session has kept from before an erase, or from an answer that made no sense, nobody can tell the scope of. */
function isOfUnknownScope(slot: string, { lane, effects, endings }: SessionEvidence): boolean {
  const all = effects.bySlot.get(slot) ?? [];
  const isOfBot = lane.life > 0 || all.some(({ by }) => isUnaccounted(endings.get(by.operationId)));
  return isOfBot && !slot.startsWith('session:');
}

function seenAt(slot: string, shown: ReadonlyMap<string, JsonValue>): string {
  return `${slot} ${JSON.stringify(shown.get(slot))?.slice(0, 24) ?? 'nothing'}`;
}

/** Of whose values one is there, all are, unless something later has taken their places. */
function checkWhole(read: Read, at: SessionEvidence, broken: Broken): void {
  const { effects, endings } = at;
  const untilMs = read.askedAtMs + Math.ceil(read.endMs - read.startMs);
  for (const [slot, value] of read.shown) {
    const all = effects.of(slot, value);
    // Asked for again after an answer that made no sense: until then it is what that attempt has left, and its temporary half is over.
    const mayBeLeft = all.some(({ by }) => isUnaccounted(endings.get(by.operationId)));
    for (const { by, call } of all) {
      if (endings.get(by.operationId)?.outcome !== 'confirmed') continue;
      if (mayBeLeft && (by.endedAtMs ?? Number.POSITIVE_INFINITY) >= read.startMs) continue;
      for (const other of call.writes) {
        const shown = read.shown.get(other.slot);
        const own = (effects.bySlot.get(other.slot) ?? []).find((effect) => effect.by === by);
        if (other.slot === slot || own === undefined || own.isDoubtful || own.expiresAtMs <= untilMs) continue;
        if (read.kind === 'mirror snapshot' && isOfUnknownScope(other.slot, at)) continue;
        const later = (effects.bySlot.get(other.slot) ?? []).some(
          (effect) => effect.by.version > by.version && effect.by.atMs <= read.endMs,
        );
        if (!later && JSON.stringify(shown) !== JSON.stringify(other.value)) {
          broken(`I8 ${describe(read)} was shown half of ${by.operationId}: ${slot}, but not ${other.slot}`);
        }
      }
    }
  }
}
