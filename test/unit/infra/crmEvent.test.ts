import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { verifyCrmSignature } from '../../../lib/events/crmSignatures.ts';
import { crmSources } from '../../../lib/platform/crmSources.ts';

const GENERIC = {
  name: 'generic',
  scheme: 'standard-webhooks',
  recordId: '/r',
  eventId: '/e',
  occurredAt: '/at',
  mapping: [],
} as const;
/** What the local stack starts with. */
const LOCAL_SECRET = 'whsec_bG9jYWwtZGV2LXNlY3JldA==';

describe('npm run crm:event', () => {
  const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, ['scripts/crm-event.ts', ...args], { cwd: ROOT, env: {} });

  it('--print makes a command whose call verifies, whatever quotes its body has', async () => {
    const data = `{"id":"evt_1","note":"it's \\"quoted\\" $HOME"}`;
    const { stdout } = await run('generic', '--print', '--base-url', 'http://localhost:1/', '--data', data);
    // What a shell makes of it: `curl` only says what it was given.
    const { stdout: given } = await promisify(execFile)('sh', ['-c', `curl() { printf '%s\\n' "$@"; }\n${stdout}`]);
    const [, url = '', ...lines] = given.trimEnd().split('\n');
    const headers = new Map(
      lines.flatMap((line) => {
        const [, name, value] = /^([a-z-]+): (.*)$/.exec(line) ?? [];
        return name === undefined || value === undefined ? [] : [[name, value] as const];
      }),
    );
    expect(url).toBe('http://localhost:1/v1/webhooks/crm/generic');
    expect(lines.at(-1)).toBe(data);
    const call = { method: 'POST', url, headers, rawBody: Buffer.from(data) };
    expect(verifyCrmSignature(GENERIC, call, [LOCAL_SECRET], Date.now())).toEqual({ ok: true });
  });

  it.each([
    [[], `Name one source (${[...crmSources.keys()].join(', ')})`],
    [['nobody'], 'Name one source'],
    [['generic', 'hubspot'], 'Name one source'],
    [['hubspot'], 'Say with --secret'],
    [['generic', '--data', '{'], 'not JSON'],
    [['generic', '--secret', '*'], 'not whsec_'],
    [['generic', '--base-url', 'localhost'], 'http(s) URL'],
    [['generic', '--loud'], 'usage: npm run'],
  ])('%j is answered with one sentence', async (args, sentence) => {
    const ended: { code: number; stdout: string; stderr: string } = await run(...args).catch((error) => error);
    expect(ended).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(sentence) });
    expect(ended.stderr.trimEnd()).not.toContain('\n');
  });
});
