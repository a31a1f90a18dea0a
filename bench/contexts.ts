import type { JsonObject, JsonValue } from '../lib/context/json.ts';
import type { Random } from '../lib/platform/random.ts';

/** Members of one group, and groups of one top-level member. */
const GROUP_LEAVES = 20;
const AREA_GROUPS = 10;
/** What the shipped schema wants of every context. */
const FIXED_LEAVES = 6;

type LeafMaker = (random: Random, id: () => string) => JsonValue;

const STATUSES = ['open', 'waiting_for_customer', 'escalated', 'resolved'] as const;
const CHANNELS = ['web', 'whatsapp', 'phone', 'email'] as const;

/** What a CRM's record looks like: mostly short texts and ids, some numbers and flags, a list, now and then a sentence. */
const LEAVES: readonly (readonly [name: string, make: LeafMaker])[] = [
  ['record_id', (_random, id) => `${id()}-${id()}-${id()}-${id()}`],
  ['status', (random) => pick(random, STATUSES)],
  ['owner', (_random, id) => `agent-${id()}@support.crm.example`],
  ['channel', (random) => pick(random, CHANNELS)],
  ['amount', (random) => Math.round(random.next() * 1_000_000) / 100],
  ['currency', (random) => pick(random, ['EUR', 'CHF', 'USD'])],
  ['is_open', (random) => random.next() < 0.5],
  ['opened_at', (random) => instant(random)],
  ['updated_at', (random) => instant(random)],
  ['priority', (random) => Math.floor(random.next() * 10)],
  ['topics', (random) => [pick(random, ['billing', 'refund', 'delivery']), pick(random, ['vip', 'renewal'])]],
  ['subject', (_random, id) => `Question about order ${id()} and the invoice for it (${id()})`],
  ['last_message', (_random, id) => messageAbout(id(), id())],
  ['language', (random) => pick(random, ['de', 'en', 'fr', 'it'])],
  ['product', (_random, id) => `SKU-${id()} cordless drill, 18 V, with two batteries`],
  ['quantity', (random) => 1 + Math.floor(random.next() * 20)],
  ['discount', (random) => Math.round(random.next() * 30) / 100],
  ['ship_to', (random) => `Bahnhofstrasse 12, ${pick(random, ['8001 Zürich', '1201 Genève', '40210 Düsseldorf'])}`],
  ['tracking', (_random, id) => `https://parcels.example/track/${id()}-${id()}?lang=de`],
  ['is_verified', (random) => random.next() < 0.9],
];

/** A realistic context of so many leaves, about 47 bytes each: nested groups of some 20 that the shipped schema allows. */
export function contextOfLeaves(leaves: number, random: Random): JsonObject {
  const areas: [string, JsonObject][] = [];
  let groups: [string, JsonObject][] = [];
  let left = leaves - FIXED_LEAVES;
  for (let group = 0; left > 0; group += 1) {
    const size = Math.min(GROUP_LEAVES, left);
    groups.push([`record_${group}`, groupOf(size, random)]);
    left -= size;
    if (groups.length < AREA_GROUPS && left > 0) continue;
    areas.push([`crm_area_${areas.length}`, Object.fromEntries(groups)]);
    groups = [];
  }
  return {
    user_profile: { name: 'Ada Lovelace', age: 36, preferences: ['email', 'no_calls'] },
    session_metadata: { turn_count: 1, last_intent: 'greeting', confidence: 0.93 },
    ...Object.fromEntries(areas),
  };
}

/** Another value of the same kind for a leaf. */
export function anotherValue(name: string, random: Random): JsonValue {
  const make = LEAVES.find(([known]) => known === name)?.[1];
  return make === undefined ? idOf(random) : make(random, () => idOf(random));
}

function groupOf(size: number, random: Random): JsonObject {
  const id = () => idOf(random);
  return Object.fromEntries(LEAVES.slice(0, size).map(([name, make]) => [name, make(random, id)]));
}

function messageAbout(invoice: string, order: string): string {
  return (
    `Thank you for the quick reply. I have found invoice ${invoice} now, but the amount on it is not the 49 € that we agreed ` +
    `on for order ${order}; could you please check it, send it again, and tell me by when it has to be paid? I am at work until five, after that you reach me on my mobile.`
  );
}

function idOf(random: Random): string {
  return Math.floor(random.next() * 2 ** 40)
    .toString(36)
    .padStart(8, '0');
}

function instant(random: Random): string {
  return new Date(Date.UTC(2026, 0, 1) + Math.floor(random.next() * 300) * 86_400_000).toISOString();
}

function pick<Choice>(random: Random, choices: readonly Choice[]): Choice {
  const choice = choices[Math.floor(random.next() * choices.length)];
  if (choice === undefined) throw new RangeError('nothing to choose from');
  return choice;
}
