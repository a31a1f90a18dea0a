import * as z from 'zod/mini';
import type { RecordRef } from '../context/crmRecord.ts';
import type { BoundSession, CrmRecords, Occurrence, SeenEvent } from '../operations/ports/crm.ts';
import { StoreError } from '../operations/ports/sessionStore.ts';
import { DynamoBindings, unknownFormat } from './bindings.ts';
import { BOUND_SESSION_PREFIX, recordKey, recordPk, seenKey } from './keys.ts';
import { currentPaths, occurrenceClauses } from './occurrences.ts';
import { collect, type Item, type Key, ttlSeconds } from './table.ts';

const SEEN_FORMAT = 1;
const RECORD_FORMAT = 1;
const FORMAT_IS_KNOWN = 'NOT #format > :format';
const DAY_MS = 24 * 3_600_000;
/** A sender that has had no answer tries again for some days. */
const SEEN_KEPT_MS = 7 * DAY_MS;
const RECORD_KEPT_MS = 30 * DAY_MS;
/** Each time somebody else has noted a later event of a path in between. */
const NOTE_ROUNDS = 5;

/** Made on demand: functions that only bind leave it out of their bundles. */
const seenItem = () =>
  z.object({
    format: z.literal(SEEN_FORMAT),
    outcome: z.enum(['applied', 'stale-ignored', 'no-live-session']),
    sessions: z.array(
      z.object({
        operationId: z.nullable(z.string()),
        status: z.enum(['injected', 'pending', 'unchanged', 'stale-ignored', 'refused']),
        visibility: z.enum(['confirmed', 'queued', 'none']),
        code: z.exactOptional(z.string()),
      }),
    ),
  });

/** {@link CrmRecords} in the table. */
export class DynamoCrmRecords extends DynamoBindings implements CrmRecords {
  async boundSessions(record: RecordRef, nowMs: number): Promise<BoundSession[]> {
    const pk = recordPk(this.vault, record);
    const items = await collect(this.table.query({ pk, prefix: BOUND_SESSION_PREFIX }));
    // TTL is a broom, not a clock.
    return items.filter(({ ttl }) => typeof ttl === 'number' && ttl > nowMs / 1_000).map((item) => this.decode(item));
  }

  async currentPaths(occurrence: Occurrence): Promise<readonly string[]> {
    return currentPaths(occurrence, await this.#readRecord(recordKey(recordPk(this.vault, occurrence.record))));
  }

  async noteApplied({ record, ...occurrence }: Occurrence, nowMs: number): Promise<void> {
    const key = recordKey(recordPk(this.vault, record));
    let { paths } = occurrence;
    for (let round = 0; round < NOTE_ROUNDS && paths.length > 0; round += 1) {
      const { set, condition, names, values } = occurrenceClauses({ ...occurrence, paths });
      const result = await this.table.update({
        key,
        expression: `SET ${[...set, '#format = :format', '#ttl = :ttl'].join(', ')}`,
        condition: [FORMAT_IS_KNOWN, ...condition].join(' AND '),
        names: { ...names, '#format': 'format', '#ttl': 'ttl' },
        values: { ...values, ':format': RECORD_FORMAT, ':ttl': ttlSeconds(nowMs + RECORD_KEPT_MS) },
        answer: 'nothing',
      });
      if (result.kind === 'updated') return;
      paths = currentPaths({ ...occurrence, paths }, await this.#readRecord(key));
    }
    if (paths.length > 0) throw new StoreError('store-unavailable');
  }

  async #readRecord(key: Key): Promise<Item> {
    const item = (await this.table.get(key)) ?? {};
    if (Number(item['format'] ?? 0) > RECORD_FORMAT) throw unknownFormat();
    return item;
  }

  async seen(source: string, eventId: string, nowMs: number): Promise<SeenEvent | undefined> {
    const item = await this.table.get(seenKey(this.vault, source, eventId));
    if (item === undefined || !(Number(item['ttl']) > nowMs / 1_000)) return undefined;
    const parsed = seenItem().safeParse(item);
    if (!parsed.success) throw unknownFormat();
    const { outcome, sessions } = parsed.data;
    return { outcome, sessions };
  }

  async noteSeen(source: string, eventId: string, { outcome, sessions }: SeenEvent, nowMs: number): Promise<void> {
    await this.table.update({
      answer: 'nothing',
      key: seenKey(this.vault, source, eventId),
      expression: 'SET #format = :format, #outcome = :outcome, #sessions = :sessions, #ttl = :ttl',
      // Whoever has noted it meanwhile has noted the same, or knows better.
      condition: FORMAT_IS_KNOWN,
      names: { '#format': 'format', '#outcome': 'outcome', '#sessions': 'sessions', '#ttl': 'ttl' },
      values: {
        ':format': SEEN_FORMAT,
        ':outcome': outcome,
        ':sessions': sessions,
        ':ttl': ttlSeconds(nowMs + SEEN_KEPT_MS),
      },
    });
  }
}
