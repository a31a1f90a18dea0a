import type { JsonValue } from '../../../lib/context/json.ts';
import type { AuditPayload } from '../../../lib/operations/ports/sessionStore.ts';
import type { Call } from '../clients/calls.ts';
import type { Committed, LaneHistory } from './lanes.ts';

/** What one operation of one session does to one place. */
export interface Effect {
  readonly by: Committed;
  readonly call: Call;
  readonly slot: string;
  /** `undefined` takes the place away. */
  readonly value: JsonValue | undefined;
  /** Epoch milliseconds by the clock of the instance that took it; infinite where it stays. */
  readonly expiresAtMs: number;
  /** It may have come too late to say anything. */
  readonly isDoubtful: boolean;
}

/** How an operation ended, as its audit trail has it at the end. */
export interface Ending {
  readonly outcome: AuditPayload['outcome'];
  readonly code: string | undefined;
  /** Whether anything of it may have reached the bot: one of its values was there before it ended, or it was tried and takes something away. */
  readonly mayHaveReached: boolean;
}

/** An event of a CRM says nothing where something that occurred later is known of the same record: it may have been on its way. */
function isLate({ occurrence }: Call, slot: string, others: readonly Call[]): boolean {
  if (occurrence === undefined) return false;
  return others.some(
    ({ occurrence: other, writes }) =>
      other !== undefined &&
      other.recordId === occurrence.recordId &&
      other.stamp > occurrence.stamp &&
      writes.some((write) => write.slot === slot),
  );
}

/** All effects of one session, in commit order, and by slot and value. */
export class Effects {
  readonly bySlot = new Map<string, Effect[]>();
  readonly #byValue = new Map<string, Effect[]>();

  /** @param calls - by correlation id */
  constructor(committed: readonly Committed[], calls: ReadonlyMap<string, Call>) {
    const events = [...calls.values()].filter(({ occurrence }) => occurrence !== undefined);
    for (const by of committed) {
      const call = calls.get(by.correlationId);
      for (const { slot, value, expiresAtMs, ttlMs } of call?.writes ?? []) {
        if (call === undefined) continue;
        const isDoubtful = isLate(
          call,
          slot,
          events.filter(({ startMs }) => startMs < by.atMs),
        );
        // A CRM's values live from when the event came; a sync's, from when its operation was taken.
        const since = call.kind === 'crm' ? call.askedAtMs : by.acceptedAtMs;
        const expires = expiresAtMs ?? (ttlMs === undefined ? Number.POSITIVE_INFINITY : since + ttlMs);
        const effect = { by, call, slot, value, expiresAtMs: expires, isDoubtful };
        listIn(this.bySlot, slot).push(effect);
        if (value !== undefined) listIn(this.#byValue, nameOf(slot, value)).push(effect);
      }
    }
  }

  /** Who has ever written this value there: one operation, or several of one request. */
  of(slot: string, value: JsonValue): readonly Effect[] {
    return this.#byValue.get(nameOf(slot, value)) ?? [];
  }
}

export function nameOf(slot: string, value: JsonValue): string {
  return `${slot} ${JSON.stringify(value)}`;
}

function listIn<Member>(lists: Map<string, Member[]>, name: string): Member[] {
  const list = lists.get(name) ?? [];
  lists.set(name, list);
  return list;
}

/** What may lie at a place. */
export interface Possible {
  /** `undefined`: nothing. */
  readonly value: JsonValue | undefined;
  readonly expiresAtMs: number;
}

const NOTHING: Possible = { value: undefined, expiresAtMs: Number.POSITIVE_INFINITY };

/** Clocks of instances differ by less than this, and nobody needs longer from one look at the time to the next; milliseconds. */
const ABOUT_MS = 150;

/**
 * An operation that was tried and refused may have reached the bot all the same: by an answer that made no sense, or by an attempt
 * before the one that was refused.
 */
export function isUnaccounted(ending: Ending | undefined): boolean {
  // How it ended cannot be read any more: its session was erased since.
  if (ending === undefined) return true;
  if (ending.outcome === 'confirmed') return false;
  return ending.code !== 'expired-before-push' && ending.mayHaveReached;
}

/**
 * Whether what an operation has left in the bot is the bot's own: of one that is unaccounted for what was to stay, and what has been
 * put in the place of something of ours, which the bridge still believes to be there. Anything else the bridge takes out again.
 *
 * @param all - of the same place
 */
export function isLeftToBot(effect: Effect, all: readonly Effect[], endings: ReadonlyMap<string, Ending>): boolean {
  const ending = endings.get(effect.by.operationId);
  if (!isUnaccounted(ending)) return false;
  const isToStay = ending === undefined || effect.expiresAtMs === Number.POSITIVE_INFINITY;
  return isToStay || all.some(({ by, value }) => value !== undefined && by.version < effect.by.version);
}

/**
 * What an erased session has left in the bot is found in no scope, and kept in the session's: there it hides what a weaker scope is
 * given after that.
 */
export function mayBeHidden(slot: string, { life }: Pick<LaneHistory, 'life'>): boolean {
  return life > 0 && slot.startsWith('global:');
}

/** It may have expired before it could leave: then its operation is confirmed without it. */
export function isExpiredOnItsWay({ by, expiresAtMs }: Effect): boolean {
  return expiresAtMs <= (by.endedAtMs ?? Number.POSITIVE_INFINITY) + ABOUT_MS;
}

/**
 * What may lie at a place when the operations for which `counts` holds have taken effect, in commit order and nothing else. More than
 * one thing only where nobody can know: after an answer that made no sense, or where a value expired while it was on its way.
 *
 * @param before - of lives of the session before this one: what the bot has of them is its own, until something is put over it
 */
export function possibleAt(
  effects: readonly Effect[],
  endings: ReadonlyMap<string, Ending>,
  counts: (by: Committed) => boolean,
  before: readonly Effect[] = [],
): readonly Possible[] {
  const ofBot = before.map(({ value }) => ({ value, expiresAtMs: Number.POSITIVE_INFINITY }));
  let possible: readonly Possible[] = [NOTHING, ...ofBot];
  for (const effect of effects) {
    const { by, value, expiresAtMs } = effect;
    const ending = endings.get(by.operationId);
    if (!counts(by) || ending === undefined) continue;
    const here = { value, expiresAtMs };
    if (ending.outcome === 'confirmed') {
      const isCertain = !isExpiredOnItsWay(effect) && !effect.isDoubtful;
      possible = isCertain ? [here] : [...possible, NOTHING, here];
    } else if (ending.code === 'expired-before-push') possible = [...possible, NOTHING];
    else if (isLeftToBot(effect, [...before, ...effects], endings))
      possible = [...possible, { value, expiresAtMs: Number.POSITIVE_INFINITY }];
    else if (ending.mayHaveReached) possible = [...possible, here];
  }
  return possible;
}

/** Whether what is seen at a place, some time from `fromMs` to `toMs`, is one of what is possible. */
export function isPossible(
  seen: JsonValue | undefined,
  possible: readonly Possible[],
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
): boolean {
  return possible.some(({ value, expiresAtMs }) => {
    if (seen === undefined) return value === undefined || expiresAtMs <= toMs;
    return value !== undefined && expiresAtMs > fromMs && JSON.stringify(seen) === JSON.stringify(value);
  });
}
