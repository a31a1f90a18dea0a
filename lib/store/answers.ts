import type { NewAnswer, PriorOutcome, SessionKey } from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { laneKey, outcomeKey, sessionPk } from './keys.ts';
import { ANSWERS_PATHS, type AnswerItem, decodeAnswer, decodeAnswers } from './laneItem.ts';
import type { LaneReader } from './laneReader.ts';
import type { SessionPlace } from './mirrors.ts';
import { isUnreadable, type Payloads } from './payloads.ts';
import type { Table } from './table.ts';

/** Answers go into the lane while one settle's all together stay below this. */
const ANSWERS_INLINE_BYTES = 49_152;
/** Answers outlive the two generations of idempotency keys. */
const ANSWER_KEPT_MS = 36 * 3_600_000;

/** What settled operations were answered, for whoever asks again: in the lane's outbox first, in items of their own later. */
export class Answers {
  readonly #table: Table;
  readonly #lanes: LaneReader;
  readonly #payloads: Payloads;
  readonly #vault: Vault;

  constructor(table: Table, lanes: LaneReader, payloads: Payloads, vault: Vault) {
    this.#table = table;
    this.#lanes = lanes;
    this.#payloads = payloads;
    this.#vault = vault;
  }

  /** The answers as they lie in the lane's outbox. */
  async store({ pk, key }: SessionPlace, answers: readonly NewAnswer[], nowMs: number): Promise<AnswerItem[]> {
    const keptUntilMs = nowMs + ANSWER_KEPT_MS;
    const inlineBytes = answers.length === 0 ? 0 : Math.floor(ANSWERS_INLINE_BYTES / answers.length);
    return Promise.all(
      answers.map(async ({ outcomeId, fingerprint, outcome }) => {
        const plain = Buffer.from(JSON.stringify(outcome), 'utf8');
        const answer = await this.#payloads.store(pk, plain, { inlineBytes, keepUntilMs: keptUntilMs, key });
        return { outcomeId, fingerprint, keptUntilMs, answer };
      }),
    );
  }

  async find(session: SessionKey, outcomeId: string): Promise<PriorOutcome> {
    const pk = sessionPk(this.#vault, session);
    const byId = (answer: AnswerItem) => answer.outcomeId === outcomeId;
    const readArchived = async () => {
      const item = await this.#table.get(outcomeKey(pk, outcomeId));
      return item && decodeAnswer(item);
    };
    const readUnarchived = async () => {
      const item = await this.#table.glance(laneKey(pk), ANSWERS_PATHS);
      return item && decodeAnswers(item);
    };
    const [archived, unarchived] = await Promise.all([readArchived(), readUnarchived()]);
    const known = archived ?? unarchived?.answers.find(byId);
    if (known !== undefined && unarchived !== undefined) return this.#settled(pk, known, unarchived.salt);

    // Not there: still in the journal, or on its way from there while we looked.
    const lane = await this.#lanes.read(session);
    if (lane === undefined) return { kind: 'unknown' };
    const { salt } = lane.item;
    const ended = lane.item.outbox.answers.find(byId);
    if (ended !== undefined) return this.#settled(pk, ended, salt);
    const entry = lane.journal.find(
      (candidate) =>
        (candidate.idempotencyHash ?? candidate.operationId) === outcomeId &&
        !lane.endedVersions.has(candidate.version),
    );
    if (entry !== undefined) return { kind: 'running', entry };
    const late = await readArchived();
    if (late !== undefined) return this.#settled(pk, late, salt);
    return lane.erasedVersion > 0 ? { kind: 'erased' } : { kind: 'unknown' };
  }

  async #settled(pk: string, { fingerprint, answer }: AnswerItem, salt: Uint8Array): Promise<PriorOutcome> {
    try {
      const plain = await this.#payloads.open(pk, answer, this.#vault.contentKey(salt));
      return { kind: 'settled', fingerprint, outcome: JSON.parse(Buffer.from(plain).toString('utf8')) };
    } catch (error) {
      // Sealed under the salt of a session that has been erased since, or the rest of it is gone already.
      if (isUnreadable(error)) return { kind: 'erased' };
      throw error;
    }
  }
}
