import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { StoredItem } from '../table/attributes.ts';
import type { Change } from '../table/simulatedTable.ts';

/** An operation that is in a session's lane, or has been. */
export interface Committed {
  readonly operationId: string;
  readonly session: SessionId;
  /** Of the request by which it came. */
  readonly correlationId: string;
  readonly kind: string;
  readonly version: number;
  /** Which life of the session it belongs to: an erase begins another one. */
  readonly life: number;
  /** Epoch milliseconds by the world's clock, and by that of the instance that has taken it. */
  readonly atMs: number;
  readonly acceptedAtMs: number;
  /** The settle that has ended it: the n-th write of its session that has ended anything. */
  endedBy?: number;
  endedAtMs?: number;
  /** When its session was erased, with all that had come of it. */
  erasedAtMs?: number;
}

/** What was settled at once. */
export interface Settle {
  readonly atMs: number;
  readonly life: number;
}

export interface LaneHistory {
  readonly session: SessionId;
  /** In commit order. */
  readonly committed: Committed[];
  readonly settles: Settle[];
  life: number;
  /** When it was erased, epoch milliseconds. */
  readonly erasedAtMs: number[];
}

/**
 * Reads what happens to lanes off the raw items, as they are written: which operation was committed when and as what, and by which
 * write it ended. It knows names of attributes, and nothing of the code that writes them.
 */
export class Lanes {
  readonly histories = new Map<string, LaneHistory>();
  readonly byOperation = new Map<string, Committed>();
  readonly #items = new Map<SessionId, StoredItem>();
  readonly #sessions: ReadonlyMap<string, SessionId>;
  readonly #nowMs: () => number;
  readonly #broken: (what: string) => void;

  /** @param sessions - by partition key */
  constructor(sessions: ReadonlyMap<string, SessionId>, nowMs: () => number, broken: (what: string) => void) {
    this.#sessions = sessions;
    this.#nowMs = nowMs;
    this.#broken = broken;
    for (const [pk, session] of sessions) {
      this.histories.set(pk, {
        session,
        committed: [],
        settles: [],
        life: 0,
        erasedAtMs: [],
      });
    }
  }

  of(session: SessionId): LaneHistory {
    for (const history of this.histories.values()) if (history.session === session) return history;
    throw new RangeError('no such session');
  }

  /** Whether anything waits in its lane, was put off, or should be looked at: the schedule had no leave to call the upstream. */
  isBusy(session: SessionId): boolean {
    const item = this.#items.get(session);
    if (item === undefined) return false;
    const isDue = numberOf(item['dueAt'] ?? { N: 'Infinity' }) <= this.#nowMs();
    return isDue || entriesOf(item).length > 0 || item['lease'] !== undefined || numberOf(item['deferrals']) > 0;
  }

  /** A write has taken effect. */
  note({ pk, sk, before, after }: Change): void {
    const history = this.histories.get(pk);
    if (sk !== 'LANE' || history === undefined || !this.#sessions.has(pk)) return;
    if (after === undefined) {
      this.#broken(`I1 a lane is gone: ${history.session}`);
      return;
    }
    this.#items.set(history.session, after);
    if (numberOf(after['erasedVersion']) !== numberOf(before?.['erasedVersion']) || isForgotten(before, after)) {
      this.#erased(history, after);
      return;
    }
    this.#grown(history, before, after);
    this.#ended(history, before, after);
  }

  #erased(history: LaneHistory, after: StoredItem): void {
    const upTo = numberOf(after['erasedVersion']);
    for (const each of history.committed) if (each.version <= upTo) each.erasedAtMs ??= this.#nowMs();
    history.life += 1;
    history.erasedAtMs.push(this.#nowMs());
  }

  #grown(history: LaneHistory, before: StoredItem | undefined, after: StoredItem): void {
    const known = new Set(entriesOf(before).map(({ operationId }) => operationId));
    const entries = entriesOf(after);
    const fresh = entries.filter(({ operationId }) => !known.has(operationId));
    const [old, version] = [numberOf(before?.['version']), numberOf(after['version'])];
    if (version !== old + fresh.length)
      this.#broken(`I3 ${fresh.length} entries, but version ${old} became ${version}`);
    if (fresh.some((entry) => !entries.slice(entries.length - fresh.length).includes(entry))) {
      this.#broken(`I3 an entry was not appended: version ${version}`);
    }
    for (const [index, { operationId, correlationId, kind, acceptedAtMs }] of fresh.entries()) {
      if (this.byOperation.has(operationId)) this.#broken(`I2 an operation was committed twice: ${operationId}`);
      const committed: Committed = {
        operationId,
        session: history.session,
        correlationId,
        kind,
        version: old + 1 + index,
        life: history.life,
        atMs: this.#nowMs(),
        acceptedAtMs,
      };
      history.committed.push(committed);
      this.byOperation.set(operationId, committed);
    }
  }

  #ended(history: LaneHistory, before: StoredItem | undefined, after: StoredItem): void {
    const upTo = numberOf(after['confirmedVersion']);
    const beyond = new Set((after['endedVersions']?.L ?? []).map(numberOf));
    const left = new Set(entriesOf(after).map(({ operationId }) => operationId));
    const ended: Committed[] = [];
    for (const each of history.committed) {
      if (each.erasedAtMs !== undefined) continue;
      const isOver = each.version <= upTo || beyond.has(each.version);
      if (!isOver && !left.has(each.operationId))
        this.#broken(`I1 an operation has gone unsettled: ${each.operationId}`);
      if (!isOver && each.endedBy !== undefined) this.#broken(`I3 what had ended is open again: ${each.operationId}`);
      if (isOver && each.endedBy === undefined) ended.push(each);
    }
    if (upTo < numberOf(before?.['confirmedVersion'])) this.#broken(`I3 the confirmed version fell to ${upTo}`);
    if (ended.length === 0) return;
    const fence = before?.['lease']?.M?.['fence']?.S;
    if (fence === undefined || fence !== after['settledFence']?.S)
      this.#broken('I3 somebody settled without the lease');
    history.settles.push({ atMs: this.#nowMs(), life: history.life });
    for (const each of ended) {
      each.endedBy = history.settles.length;
      each.endedAtMs = this.#nowMs();
    }
  }
}

/** Erased before anything was committed: only the salt tells. */
function isForgotten(before: StoredItem | undefined, after: StoredItem): boolean {
  return before !== undefined && before['sealedId'] !== undefined && after['sealedId'] === undefined;
}

function entriesOf(item: StoredItem | undefined) {
  return (item?.['journal']?.L ?? []).map(({ M = {} }) => ({
    operationId: M['operationId']?.S ?? '',
    correlationId: M['correlationId']?.S ?? '',
    kind: M['kind']?.S ?? '',
    acceptedAtMs: numberOf(M['acceptedAtMs']),
  }));
}

function numberOf(value: AttributeValue | undefined): number {
  return Number(value?.N ?? 0);
}
