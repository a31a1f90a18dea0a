import * as z from 'zod/mini';
import { StoreError } from '../operations/ports/sessionStore.ts';
import { type Item, ttlSeconds } from './table.ts';

/** Format of the items below. A bridge reads what older ones wrote and refuses what newer ones wrote (SCENARIOS 48). */
export const LANE_FORMAT = 1;

const binary = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const storedPayload = z.union([binary, z.string()]);
const wholeNumber = z.int();

const journalItem = z.object({
  operationId: z.string(),
  auditId: z.string(),
  kind: z.enum(['inject', 'webhook', 'sync', 'dialog-state', 'expire']),
  acceptedAtMs: wholeNumber,
  client: z.string(),
  correlationId: z.string(),
  idempotencyHash: z.exactOptional(z.string()),
  fingerprint: z.string(),
  payload: storedPayload,
});

const refusalItem = z.object({ operationId: z.string(), atMs: wholeNumber, payload: storedPayload });

const linkedItem = z.object({
  seq: wholeNumber,
  operationId: z.string(),
  atMs: wholeNumber,
  keptUntilMs: wholeNumber,
  prevKeptUntilMs: wholeNumber,
  prevHash: z.string(),
  payloadDigest: z.string(),
  hash: z.string(),
  payload: storedPayload,
});

const answerItem = z.object({
  outcomeId: z.string(),
  fingerprint: z.string(),
  answer: storedPayload,
  keptUntilMs: wholeNumber,
});

/** Strict: what the chain's hashes do not cover must follow from what they cover, or not be there. */
const archivedItem = z.strictObject({
  ...linkedItem.shape,
  pk: z.string(),
  sk: z.string(),
  format: wholeNumber.check(z.minimum(1)),
  ttl: wholeNumber,
});

const leaseItem = z.object({ fence: z.string(), untilMs: wholeNumber });

const laneItem = z.object({
  pk: z.string(),
  sk: z.literal('LANE'),
  version: z._default(wholeNumber, 0),
  confirmedVersion: z._default(wholeNumber, 0),
  endedVersions: z._default(z.array(wholeNumber), []),
  journal: z._default(z.array(journalItem), []),
  refusals: z._default(z.array(refusalItem), []),
  outbox: z._default(z.object({ audit: z.array(linkedItem), answers: z.array(answerItem) }), {
    audit: [],
    answers: [],
  }),
  openIds: z._default(z.set(binary), new Set()),
  lease: z.optional(leaseItem),
  settledFence: z.optional(z.string()),
  stateRef: z.optional(z.string()),
  idleUntilMs: z._default(wholeNumber, 0),
  hasEnded: z._default(z.boolean(), false),
  dueAt: z.exactOptional(wholeNumber),
  nextExpiryMs: z.exactOptional(wholeNumber),
  /** Of what has been erased: its last version, and the last entry of the trail whose payload went with it. */
  erasedVersion: z._default(wholeNumber, 0),
  erasedSeq: z._default(wholeNumber, 0),
  deferrals: z._default(wholeNumber, 0),
  deferredVersion: z._default(wholeNumber, 0),
  unknownVersion: z._default(wholeNumber, 0),
  chain: z._default(z.object({ seq: wholeNumber, hash: z.string(), keptUntilMs: wholeNumber }), {
    seq: 0,
    hash: '',
    keptUntilMs: 0,
  }),
  /** Whose session it is: the keyed hash of the user's id, and the id, sealed. Gone after an erasure. */
  userKey: z.exactOptional(z.string()),
  sealedUserId: z.exactOptional(binary),
  /** What is known of the dialog, sealed with the session's content. */
  dialog: z.exactOptional(binary),
  /** Gone after an erasure, until something is written again. */
  sealedId: z.optional(binary),
  salt: binary,
});

const progressItem = z.pick(laneItem, {
  confirmedVersion: true,
  endedVersions: true,
  deferredVersion: true,
  erasedVersion: true,
  lease: true,
});

const answersItem = z.object({
  salt: binary,
  outbox: z._default(z.object({ answers: z._default(z.array(answerItem), []) }), { answers: [] }),
});

export type LaneItem = z.infer<typeof laneItem>;
export type JournalItem = z.infer<typeof journalItem>;
export type LinkedItem = z.infer<typeof linkedItem>;
export type AnswerItem = z.infer<typeof answerItem>;

/** @throws {StoreError} when the item was written by a newer bridge, or is damaged: better no answer than damage. */
export function decodeLane(item: Item): LaneItem {
  return decode(laneItem, item);
}

/** An archived audit entry; `undefined` when it is damaged, which is for the verifier to locate. */
export function decodeLinked(item: Item): LinkedItem | undefined {
  refuseNewerFormat(item);
  const parsed = archivedItem.safeParse(item);
  if (!parsed.success) return undefined;
  const { pk: _pk, sk: _sk, format: _format, ttl, ...entry } = parsed.data;
  return ttl === ttlSeconds(entry.keptUntilMs) ? entry : undefined;
}

/** What those who wait for a lane look at. */
export function decodeProgress(item: Item): z.infer<typeof progressItem> {
  return decode(progressItem, item);
}

export const PROGRESS_PATHS = [
  'format',
  'confirmedVersion',
  'endedVersions',
  'deferredVersion',
  'erasedVersion',
  'lease',
] as const;

/** The answers of a lane's outbox alone, and what opens them. */
export function decodeAnswers(item: Item): { readonly answers: readonly AnswerItem[]; readonly salt: Uint8Array } {
  const { outbox, salt } = decode(answersItem, item);
  return { answers: outbox.answers, salt };
}

export const ANSWERS_PATHS = ['format', 'salt', 'outbox.answers'] as const;

/** An archived answer. */
export function decodeAnswer(item: Item): AnswerItem {
  return decode(answerItem, item);
}

function refuseNewerFormat(item: Item): void {
  const format = item['format'];
  if (typeof format === 'number' && format > LANE_FORMAT) {
    throw new StoreError('store-unavailable', new Error('an item has a format that this version does not know'));
  }
}

function decode<Shape extends z.ZodMiniType>(shape: Shape, item: Item): z.infer<Shape> {
  refuseNewerFormat(item);
  // The issues of zod name paths and types only, never values. What was expected they say without a message.
  const parsed = shape.safeParse(item, { error: ({ input }) => `Invalid input: received ${typeof input}` });
  if (!parsed.success) throw new StoreError('store-unavailable', new Error(`a damaged item: ${parsed.error.message}`));
  return parsed.data;
}
