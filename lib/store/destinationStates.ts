import * as z from 'zod/mini';
import { type DestinationState, UNTRIED } from '../context/circuitBreaker.ts';
import type { DestinationStates, StoredDestination } from '../operations/ports/destinationStates.ts';
import { StoreError } from '../operations/ports/sessionStore.ts';
import { destinationKey } from './keys.ts';
import { type Table, ttlSeconds } from './table.ts';

const STATE_FORMAT = 1;

const FORMAT_IS_KNOWN = 'NOT #format > :format';
const NOT_WRITTEN_SINCE = 'revision = :seen';
const NEVER_WRITTEN = 'attribute_not_exists(revision)';

/** What nobody has sent anything to for so long is forgotten, unless it is disabled. */
const KEPT_MS = 30 * 24 * 3_600_000;

const destinationItem = z.object({
  format: z.literal(STATE_FORMAT),
  revision: z.number(),
  failures: z.number(),
  openUntilMs: z.number(),
  disabled: z.exactOptional(z.object({ atMs: z.number(), reason: z.string() })),
});

/** {@link DestinationStates} in the table: an item a destination, and no write that has not seen the one before. */
export class DynamoDestinationStates implements DestinationStates {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  /** @throws {StoreError} also for what a newer bridge has written. */
  async read(destination: string): Promise<StoredDestination> {
    const item = await this.#table.get(destinationKey(destination));
    if (item === undefined) return { state: UNTRIED, revision: 0 };
    const parsed = destinationItem.safeParse(item);
    if (!parsed.success) throw new StoreError('store-unavailable', parsed.error);
    const { revision, failures, openUntilMs, disabled } = parsed.data;
    return { revision, state: { failures, openUntilMs, ...(disabled !== undefined && { disabled }) } };
  }

  async replace(
    destination: string,
    { revision }: StoredDestination,
    { failures, openUntilMs, disabled }: DestinationState,
    nowMs: number,
  ): Promise<boolean> {
    const isKept = disabled !== undefined;
    const result = await this.#table.update({
      key: destinationKey(destination),
      expression: [
        'SET #format = :format, revision = :next, failures = :failures, openUntilMs = :openUntilMs',
        isKept ? ', disabled = :disabled REMOVE #ttl' : ', #ttl = :ttl REMOVE disabled',
      ].join(''),
      condition: [FORMAT_IS_KNOWN, revision === 0 ? NEVER_WRITTEN : NOT_WRITTEN_SINCE].join(' AND '),
      names: { '#format': 'format', '#ttl': 'ttl' },
      values: {
        ':format': STATE_FORMAT,
        ':next': revision + 1,
        ':failures': failures,
        ':openUntilMs': openUntilMs,
        ...(revision > 0 && { ':seen': revision }),
        ...(isKept ? { ':disabled': disabled } : { ':ttl': ttlSeconds(nowMs + KEPT_MS) }),
      },
      answer: 'nothing',
    });
    return result.kind === 'updated';
  }
}
