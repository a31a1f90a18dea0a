import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readPrompt } from '../../../functions/notify/request.ts';
import { promptOf } from '../../../lib/operations/ports/prompts.ts';

const session = 'A'.repeat(43);
const eventId = '01KAHXZ3N0G5G5G5G5G5G5G5G5';

describe('readPrompt', () => {
  it('reads what the bridge sends', () => {
    const prompts = [{ kind: 'lane', session } as const, promptOf({ session: { key: session }, eventId })];
    for (const prompt of prompts) expect(readPrompt(JSON.stringify(prompt))).toEqual(prompt);
  });

  it.each([
    'no JSON',
    '',
    'null',
    '[]',
    JSON.stringify({ kind: 'lane' }),
    JSON.stringify({ kind: 'lane', session: 'sess_1' }),
    JSON.stringify({ kind: 'lane', session: `SESSION#${session}` }),
    JSON.stringify({ kind: 'event', session }),
    JSON.stringify({ kind: 'event', session, eventId: '../LANE' }),
    JSON.stringify({ kind: 'event', session, eventId: 7 }),
    JSON.stringify({ kind: 'dead', session, eventId }),
  ])('takes nothing else: %s', (body) => expect(readPrompt(body)).toBeUndefined());

  it('never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (body) => readPrompt(body) === undefined));
  });
});
