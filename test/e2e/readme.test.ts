import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOCAL_KEY } from '../fixtures/stack/bridge.ts';
import { makeClone } from '../fixtures/stack/clone.ts';
import { type Json, ULID } from '../fixtures/stack/http.ts';
import { npmStart, type Started } from '../fixtures/stack/npmStart.ts';
import { eventually } from '../fixtures/stack/time.ts';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** The blocks of a section in a language. */
function blocksOf(section: string, language: string): string[] {
  const text = README.split(/^## /m).find((each) => each.startsWith(`${section}\n`));
  if (text === undefined) throw new Error(`the README has no section "${section}"`);
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, block = '']) => block,
  );
}

/** The shell blocks of a section with something to send to `npm start`. */
function requestsOf(section: string): string[] {
  return blocksOf(section, 'sh').filter((block) => /localhost:30[01]0/.test(block));
}

/** `npm run receiver`, as its user sees it. */
interface Receiver {
  readonly url: string;
  /** All it has printed so far. */
  readonly printed: string;
  end(): Promise<void>;
}

/** Starts it on a free port, and waits until it listens. */
async function npmRunReceiver(directory: string): Promise<Receiver> {
  const { PATH = '', HOME = '' } = process.env;
  // In a group of its own: npm has children.
  const child: ChildProcess = spawn('npm', ['run', '-s', 'receiver'], {
    cwd: directory,
    env: { PATH, HOME, RECEIVER_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  let printed = '';
  child.stdout?.on('data', (chunk) => {
    printed += chunk;
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = await eventually(() => /Waiting for deliveries at (\S+)\. /.exec(printed)?.[1], { what: 'the receiver' });
  return {
    url,
    get printed() {
      return printed;
    },
    end: () => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
      return ended;
    },
  };
}

describe('the requests in the README', () => {
  let clone: ReturnType<typeof makeClone>;
  let started: Started;
  let receiver: Receiver;
  beforeAll(async () => {
    clone = makeClone();
    receiver = await npmRunReceiver(clone.directory);
    started = await npmStart(clone.directory, { PORT: '0', SWEEP_SECONDS: '1', CRM_WEBHOOK_URL: receiver.url });
  });
  afterAll(async () => {
    await started.end('SIGKILL');
    await receiver.end();
    clone.remove();
  });

  /** Pastes a block; hands back the whole output, and the JSON answers in it. */
  async function paste(block: string): Promise<Json[]> {
    const command = block
      .replaceAll('http://localhost:3000', started.url)
      .replaceAll('http://localhost:3010', started.eventsUrl)
      .replaceAll('local-dev-key', LOCAL_KEY);
    const output = await new Promise<string>((resolve, reject) => {
      execFile('sh', ['-e', '-c', command], { cwd: clone.directory }, (error, stdout) =>
        error === null ? resolve(stdout) : reject(error),
      );
    });
    // curl ends no answer with a new line, and in JSON there is a comma between objects.
    const bodies = output.slice(output.indexOf('{')).split(/(?<=\})\s*(?=\{)/);
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

  it('CRM: binds a session, takes a signed event, audits it, and the receiver prints the verified outcome', async () => {
    const section = 'CRM: in and out';
    const [receive, start] = blocksOf(section, 'sh');
    expect([receive, start]).toEqual([
      'npm run receiver\n',
      // Where the receiver is unless it is told otherwise.
      'CRM_WEBHOOK_URL=http://127.0.0.1:4020 npm start\n',
    ]);
    const [bind = '', report = '', ...more] = requestsOf(section);
    expect(more).toEqual([]);
    const printed = () => receiver.printed.split('\n').filter((line) => line.includes('  sess_7  '));

    expect((await paste(bind))[1]).toEqual({
      status: 'bound',
      sessionId: 'sess_7',
      source: 'generic',
      recordId: 'ACC-1',
    });

    const [output, applied, audit] = await paste(report);
    expect(output).toMatch(/^200 OK\n/);
    expect(applied).toEqual({
      eventId: 'evt_1',
      outcome: 'applied',
      sessions: [{ operationId: expect.stringMatching(ULID), status: 'injected', visibility: 'confirmed' }],
    });
    expect(audit).toMatchObject({
      entries: [
        {
          seq: 1,
          operation: 'inject',
          client: 'crm:generic',
          outcome: 'confirmed',
          changes: [{ path: '/crm_tier', scope: 'user' }],
        },
      ],
      chain: { valid: true },
    });

    const { operationId } = applied.sessions[0];
    const lines = await eventually(() => printed().length > 0 && printed(), { what: 'the delivery' });
    const line = new RegExp(
      `^\\d\\d:\\d\\d:\\d\\d  verified  ${operationId}  context\\.injected  sess_7  /crm_tier  → 204$`,
    );
    expect(lines).toEqual([expect.stringMatching(line)]);
    // As the README shows it.
    const shown = blocksOf(section, 'text').map((block) => block.trim());
    expect(shown[0]?.split('\n')[0]).toBe('200 OK');
    expect(shown[1]?.replace('01M7…', operationId)).toMatch(line);

    const [, again] = await paste(report);
    expect(again).toEqual({ ...applied, outcome: 'duplicate' });
    const earlier = report
      .replace('"evt_1"', '"evt_0"')
      .replace('12:00:00Z', '11:59:59Z')
      .replace('"gold"', '"silver"');
    const [, stale, trail] = await paste(earlier);
    expect(stale).toMatchObject({ eventId: 'evt_0', outcome: 'stale-ignored' });
    await eventually(
      async () => {
        const { body } = await started.send('/v1/sessions/sess_7/audit');
        return body.entries[0].code === 'stale-event';
      },
      { what: 'the stale event in the audit trail' },
    );
    expect(trail.entries.length).toBeGreaterThan(0);
    const [, same] = await paste(report.replace('"evt_1"', '"evt_2"').replace('12:00:00Z', '12:00:01Z'));
    expect(same).toMatchObject({ outcome: 'applied', sessions: [{ status: 'unchanged', operationId: null }] });
    expect((await started.send('/v1/sessions/sess_7')).body).toMatchObject({
      version: 1,
      context: { crm_tier: 'gold' },
    });
    expect(printed()).toHaveLength(1);
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
