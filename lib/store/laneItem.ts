import * as z from 'zod';
import { StoreError } from '../operations/ports/sessionStore.ts';
import { type Item, ttlSeconds } from './table.ts';

/** Format of the items below. A bridge reads what older ones wrote and refuses what newer ones wrote (SCENARIOS 48). */
export const LANE_FORMAT = 1;

const binary = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const storedPayload = z.union([binary, z.string()]);
const wholeNumber = z.number().int();

const journalItem = z.object({
  operationId: z.string(),
  auditId: z.string(),
  kind: z.literal('inject'),
  acceptedAtMs: wholeNumber,
  client: z.string(),
  correlationId: z.string(),
  idempotencyHash: z.string().exactOptional(),
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
  format: wholeNumber.min(1),
  ttl: wholeNumber,
});

const leaseItem = z.object({ fence: z.string(), untilMs: wholeNumber });

const laneItem = z.object({
  pk: z.string(),
  sk: z.literal('LANE'),
  version: wholeNumber.default(0),
  confirmedVersion: wholeNumber.default(0),
  endedVersions: z.array(wholeNumber).default([]),
  journal: z.array(journalItem).default([]),
  refusals: z.array(refusalItem).default([]),
  outbox: z.object({ audit: z.array(linkedItem), answers: z.array(answerItem) }).default({ audit: [], answers: [] }),
  openIds: z.set(binary).default(new Set()),
  lease: leaseItem.optional(),
  settledFence: z.string().optional(),
  stateRef: z.string().optional(),
  idleUntilMs: wholeNumber.default(0),
  hasEnded: z.boolean().default(false),
  dueAt: wholeNumber.exactOptional(),
  deferrals: wholeNumber.default(0),
  deferredVersion: wholeNumber.default(0),
  chain: z
    .object({ seq: wholeNumber, hash: z.string(), keptUntilMs: wholeNumber })
    .default({ seq: 0, hash: '', keptUntilMs: 0 }),
  sealedId: binary,
  auditSalt: binary,
});

const progressItem = laneItem.pick({ confirmedVersion: true, endedVersions: true, deferredVersion: true, lease: true });

const outboxAnswers = z.object({
  outbox: z.object({ answers: z.array(answerItem).default([]) }).default({ answers: [] }),
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

export const PROGRESS_PATHS = ['format', 'confirmedVersion', 'endedVersions', 'deferredVersion', 'lease'] as const;

/** The answers of a lane's outbox alone. */
export function decodeOutboxAnswers(item: Item): AnswerItem[] {
  return decode(outboxAnswers, item).outbox.answers;
}

export const OUTBOX_ANSWERS_PATHS = ['format', 'outbox.answers'] as const;

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

function decode<Shape extends z.ZodType>(shape: Shape, item: Item): z.infer<Shape> {
  refuseNewerFormat(item);
  const parsed = shape.safeParse(item);
  // The issues of zod name paths and types only, never values.
  if (!parsed.success) throw new StoreError('store-unavailable', new Error(`a damaged item: ${parsed.error.message}`));
  return parsed.data;
}
