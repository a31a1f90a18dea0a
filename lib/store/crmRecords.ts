import * as z from 'zod/mini';
import type { BoundSession, CrmRecords, Occurrence, RecordRef, SeenEvent } from '../operations/ports/crm.ts';
import { StoreError } from '../operations/ports/sessionStore.ts';
import { DynamoBindings } from './bindings.ts';
import { BOUND_SESSION_PREFIX, recordKey, recordPk, seenKey } from './keys.ts';
import { occurrenceClauses, occurrenceOf } from './occurrences.ts';
import { collect, ttlSeconds } from './table.ts';

const SEEN_FORMAT = 1;
const DAY_MS = 24 * 3_600_000;
/** A sender that has had no answer tries again for some days. */
const SEEN_KEPT_MS = 7 * DAY_MS;
const RECORD_KEPT_MS = 30 * DAY_MS;
/** Each time somebody else has claimed a path in between. */
const CLAIM_ROUNDS = 5;

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

  async claim({ record, stamp, paths }: Occurrence, nowMs: number): Promise<readonly string[]> {
    const key = recordKey(recordPk(this.vault, record));
    let left = paths;
    for (let round = 0; round < CLAIM_ROUNDS && left.length > 0; round += 1) {
      const { set, condition, names, values } = occurrenceClauses({ stamp, paths: left });
      const result = await this.table.update({
        key,
        expression: `SET ${[...set, '#ttl = :ttl'].join(', ')}`,
        condition: condition.join(' AND '),
        names: { ...names, '#ttl': 'ttl' },
        values: { ...values, ':ttl': ttlSeconds(nowMs + RECORD_KEPT_MS) },
        answer: 'nothing',
      });
      if (result.kind === 'updated') return left;
      const known = (await this.table.get(key)) ?? {};
      left = left.filter((path) => !(occurrenceOf(known, path) > stamp));
    }
    if (left.length > 0) throw new StoreError('store-unavailable');
    return left;
  }

  async seen(source: string, eventId: string, nowMs: number): Promise<SeenEvent | undefined> {
    const item = await this.table.get(seenKey(this.vault, source, eventId));
    if (item === undefined || !(Number(item['ttl']) > nowMs / 1_000)) return undefined;
    const parsed = seenItem().safeParse(item);
    if (!parsed.success) throw new StoreError('store-unavailable', new Error('a seen event of an unknown format'));
    const { outcome, sessions } = parsed.data;
    return { outcome, sessions };
  }

  async noteSeen(source: string, eventId: string, { outcome, sessions }: SeenEvent, nowMs: number): Promise<void> {
    const ttl = ttlSeconds(nowMs + SEEN_KEPT_MS);
    await this.table.put({ ...seenKey(this.vault, source, eventId), format: SEEN_FORMAT, outcome, sessions, ttl });
  }
}
