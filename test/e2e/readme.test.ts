import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOCAL_KEY } from '../fixtures/stack/bridge.ts';
import type { Json } from '../fixtures/stack/http.ts';
import { makeClone, npmStart, type Started } from '../fixtures/stack/npmStart.ts';
import { eventually } from '../fixtures/stack/time.ts';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The shell blocks of a section with something to send to `npm start`. */
function requestsOf(section: string): string[] {
  const text = README.split(/^## /m).find((each) => each.startsWith(`${section}\n`));
  if (text === undefined) throw new Error(`the README has no section "${section}"`);
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);
  return blocks.filter((block) => /localhost:30[01]0/.test(block));
}

describe('the requests in the README', () => {
  let clone: ReturnType<typeof makeClone>;
  let started: Started;
  beforeAll(async () => {
    clone = makeClone();
    started = await npmStart(clone.directory, { PORT: '0', SWEEP_SECONDS: '1' });
  });
  afterAll(async () => {
    await started.end('SIGKILL');
    clone.remove();
  });

  /** Pastes a block; hands back the whole output, and the JSON answers in it. */
  async function paste(block: string): Promise<Json[]> {
    const command = block
      .replaceAll('http://localhost:3000', started.url)
      .replaceAll('http://localhost:3010', started.eventsUrl)
      .replaceAll('local-dev-key', LOCAL_KEY);
    const output = await new Promise<string>((resolve, reject) => {
      execFile('sh', ['-e', '-c', command], (error, stdout) => (error === null ? resolve(stdout) : reject(error)));
    });
    // curl ends no answer with a new line, and in JSON there is a comma between objects.
    const bodies = output.slice(output.indexOf('{')).split(/(?<=\})(?=\{)/);
    return [output, ...bodies.map((body) => JSON.parse(body))];
  }
  const one = (blocks: readonly string[]): string => {
    const [block = '', ...more] = blocks;
    expect(more).toEqual([]);
    return block;
  };

  it('Start: puts a value into a session, and reads it', async () => {
    const [put = '', read = ''] = requestsOf('Start');
    expect((await paste(put))[1]).toMatchObject({ status: 'injected', visibility: 'confirmed' });
    const [, session, audit] = await paste(read);
    expect(session).toMatchObject({ context: { crm_tier: 'gold' } });
    expect(audit).toMatchObject({ chain: { valid: true } });
  });

  it('Sync: merges twice', async () => {
    const [first = '', second = ''] = requestsOf('Sync: a patch of the whole context');
    expect((await paste(first))[1]).toMatchObject({
      status: 'synced',
      version: 1,
      contextSizeBytes: 165,
      context: {
        user_profile: { name: 'Ada', age: 0, preferences: [] },
        order: { id: 'A-1', items: ['map'] },
        session_metadata: expect.any(Object),
      },
      pruned: [],
      expired: [],
      conflicts: [],
      warnings: [],
    });
    expect((await paste(second))[1]).toMatchObject({
      version: 2,
      context: { user_profile: { name: 'Ada' }, order: { items: ['map', 'tent'], paid: true } },
    });
  });

  it('History: shows version 1, and what became different', async () => {
    const [, session, diff] = await paste(one(requestsOf('History and diff')));
    expect(session).toMatchObject({ version: 1, context: { order: { id: 'A-1', items: ['map'] } } });
    expect(diff).toEqual({
      sessionId: 'sess_3',
      from: 1,
      to: 2,
      added: ['/order/paid'],
      removed: ['/order/id'],
      changed: ['/order/items'],
      values: {
        '/order/items': { before: ['map'], after: ['map', 'tent'] },
        '/order/id': { before: 'A-1' },
        '/order/paid': { after: true },
      },
    });
  });

  it('Dialog: moves it on, and refuses what is stale', async () => {
    const [move = '', stale = ''] = requestsOf('Dialog: variables and the next step, together');
    const [output, updated] = await paste(move);
    expect(updated).toMatchObject({ status: 'updated', visibility: 'confirmed', result: { version: 2 } });
    expect(output).toContain('etag: "2"');
    expect((await paste(stale))[1]).toMatchObject({ status: 412, code: 'version-mismatch' });
  });

  it('Webhook: enriches the session before it is answered, once', async () => {
    const [send = ''] = requestsOf('Webhook: before the bot understands a message');
    const [, first] = await paste(send);
    expect(first).toMatchObject({ status: 'processed', sessionId: 'sess_6' });
    expect((await paste(send))[1]).toEqual(first);
  });

  it('Snapshot: shows what the bot has', async () => {
    const [, snapshot] = await paste(one(requestsOf('Snapshot: what the bot has right now')));
    expect(snapshot).toMatchObject({
      sessionId: 'sess_3',
      freshness: 'live',
      variables: { order: { value: { items: ['map', 'tent'], paid: true }, type: 'object', isSystem: false } },
      metrics: { totalRetrieved: 3 },
      auditTrail: [{ operation: 'sync' }, { operation: 'sync' }],
    });
  });

  it('Expiry: shows a value, and then does not', async () => {
    const [, before, after] = await paste(one(requestsOf('Expiry and the schedule')));
    expect(before.context.otp).toBe('1234');
    expect(after.context).toMatchObject({ order: { paid: true } });
    expect(after.context).not.toHaveProperty('otp');
  });

  it('Event: is taken, and is a sync', async () => {
    const [, put] = await paste(one(requestsOf('An event instead of a request')));
    expect(put).toEqual({ FailedEntryCount: 0, Entries: [{ EventId: expect.any(String) }] });
    const entries = await eventually(async () => (await started.send('/v1/sessions/sess_4/audit')).body.entries);
    expect(entries).toMatchObject([{ operation: 'sync', client: 'event:crm', outcome: 'confirmed' }]);
  });

  it('Metrics: tells what came of all that was asked for', async () => {
    const [, report] = await paste(one(requestsOf('Metrics')));
    expect(report).toMatchObject({ windowHours: 24, byFunction: { inject: { p50Ms: expect.any(Number) } } });
    expect(report.successCount).toBeGreaterThan(1);
    expect(report.totalOperations).toBe(report.successCount + report.failureCount);
  });

  it('Erase: leaves an audit trail and nothing else', async () => {
    const [output, audit] = await paste(one(requestsOf('Erase')));
    expect(output).toMatch(/^HTTP\/1.1 204 /);
    expect(audit).toMatchObject({ chain: { valid: true, brokenAt: null } });
    expect(audit.entries[0]).toMatchObject({ operation: 'erase', client: 'local' });
  });
});
