import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { CrmSourcesError, parseCrmSources } from '../../../lib/events/crmSources.ts';
import { crmSources } from '../../../lib/platform/crmSources.ts';
import { bundleEntry, CrmSourcesFileError, readCrmSources } from '../../../scripts/build.ts';

const SHIPPED_FILE = fileURLToPath(new URL('../../../infra/config/crm-sources.json', import.meta.url));
const shipped: unknown = JSON.parse(readFileSync(SHIPPED_FILE, 'utf8'));

const source = (more: object = {}) => ({
  name: 'mine',
  scheme: 'hmac-sha256',
  recordId: '/r',
  eventId: '/e',
  occurredAt: '/at',
  mapping: [],
  ...more,
});
const rule = (more: object = {}) => ({ from: '/v', key: 'k', ...more });
const parse = (...sources: unknown[]) => parseCrmSources({ sources });
const mapped = (more: object) => parse(source({ mapping: [rule(more)] }));

function problemsOf(act: () => unknown): readonly string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof CrmSourcesError) return error.problems;
    throw error;
  }
  return [];
}

describe('parseCrmSources', () => {
  it('takes the shipped sources, which leave no default to be filled in', () => {
    expect(parseCrmSources(shipped)).toEqual(crmSources);
    expect([...crmSources.keys()]).toEqual(['hubspot', 'salesforce', 'zendesk', 'generic']);
    expect(crmSources.get('generic')).toMatchObject({
      scheme: 'standard-webhooks',
      recordId: '/data/id',
      eventId: '/id',
      occurredAt: '/timestamp',
      mapping: expect.arrayContaining([{ from: '/data/tier', key: 'crm_tier', scope: 'user', ttlSeconds: 3_600 }]),
    });
  });

  it('a mapping without a scope is one of the session', () => {
    expect(mapped({}).get('mine')?.mapping).toEqual([{ from: '/v', key: 'k', scope: 'session' }]);
  });

  it('finds headers by their lower-case names', () => {
    const signature = { header: 'X-Hub-Signature-256', timestampHeader: 'X-Time', prefix: 'sha256=' };
    expect(parse(source({ signature })).get('mine')?.signature).toEqual({
      header: 'x-hub-signature-256',
      timestampHeader: 'x-time',
      prefix: 'sha256=',
    });
  });

  it('takes conditions with every scalar', () => {
    const when = { '/a': 'x', '/b': 1, '/c': true, '/d~1e': null, '': 'whole' };
    expect(mapped({ when }).get('mine')?.mapping[0]?.when).toEqual(when);
  });

  it.each([
    [null, 'it must be an object'],
    [[], 'it must be an object'],
    [{}, '/sources is missing or not a list'],
    [{ sources: {} }, '/sources is missing or not a list'],
    [{ sources: [null] }, '/sources/0 must be an object'],
  ])('%j is no sources file', (json, problem) => expect(problemsOf(() => parseCrmSources(json))).toEqual([problem]));

  it.each(['', 'Hubspot', '-a', 'a_b', 'a b', 'a/b', 'x'.repeat(65), '__proto__', 'a\n'])('%j is no name', (name) => {
    expect(problemsOf(() => parse(source({ name })))).toEqual([expect.stringMatching(/^\/sources\/0\/name must have/)]);
  });

  it.each(['a', '0', 'my-crm-2', 'x'.repeat(64), 'constructor'])('%j is a name', (name) => {
    expect(parse(source({ name })).get(name)?.name).toBe(name);
  });

  it.each(['data/id', '/a~', '/a~2', '#/a', '$.a'])('%j is no pointer, wherever it stands', (at) => {
    const wrong = source({
      recordId: at,
      eventId: at,
      occurredAt: at,
      mapping: [rule({ from: at, when: { [at]: 1 } })],
    });
    expect(problemsOf(() => parse(wrong)).map((problem) => problem.split(' is not a JSON Pointer')[0])).toEqual([
      '/sources/0/recordId',
      '/sources/0/eventId',
      '/sources/0/occurredAt',
      '/sources/0/mapping/0/from',
      expect.stringMatching(/^\/sources\/0\/mapping\/0\/when\//),
    ]);
  });

  it.each<[object, string]>([
    [{ key: '' }, 'key must have'],
    [{ key: 'a.b' }, 'key must have'],
    [{ key: '__proto__' }, 'key is a name that is never accepted'],
    [{ key: 'constructor' }, 'key is a name that is never accepted'],
    [{ scope: 'bot' }, 'scope must be one of session, user, global'],
    [{ ttlSeconds: 0 }, 'ttlSeconds must be at least 1 second'],
    [{ ttlSeconds: 1.5 }, 'ttlSeconds must be a whole number of seconds'],
    [{ ttlSeconds: 31_536_001 }, 'ttlSeconds must be at most 31536000 seconds'],
    [{ ttlSeconds: '60' }, 'ttlSeconds must be a whole number of seconds'],
    [{ when: [] }, 'when must be an object'],
    [{ when: { '/a': {} } }, 'when/~1a must be a string, a number, true, false or null'],
    [{ when: JSON.parse('{"__proto__":1}') }, 'when/__proto__ is not a JSON Pointer'],
    [{ wenn: {} }, 'wenn is not a known member'],
  ])('a mapping with %j is refused', (more, problem) => {
    expect(problemsOf(() => mapped(more))).toEqual([expect.stringContaining(`/sources/0/mapping/0/${problem}`)]);
  });

  it.each<[object, string]>([
    [{ header: 'x signature' }, 'header is not the name'],
    [{ header: '' }, 'header is not the name'],
    [{ encoding: 'base64url' }, 'encoding must be hex or base64'],
    [{ prefix: 'sha 256' }, 'prefix must have'],
    [{ timestampHeader: 1 }, 'timestampHeader is missing or not a string'],
    [{ algorithm: 'sha1' }, 'algorithm is not a known member'],
  ])('a signature with %j is refused', (signature, problem) => {
    expect(problemsOf(() => parse(source({ signature })))).toEqual([
      expect.stringContaining(`/sources/0/signature/${problem}`),
    ]);
  });

  it.each(['standard-webhooks', 'hubspot-v3', 'zendesk'])('%s has no signature to be declared', (scheme) => {
    expect(parse(source({ scheme })).size).toBe(1);
    expect(problemsOf(() => parse(source({ scheme, signature: {} })))).toEqual([
      '/sources/0/signature belongs to the scheme hmac-sha256 only',
    ]);
  });

  it('lists every problem of every source, in one message', () => {
    const wrong = source({
      name: 'A',
      scheme: 'zendesk',
      signature: { header: '?' },
      mapping: [rule({ key: 1, x: 1 })],
      y: 1,
    });
    const act = () => parse(source(), source({ recordId: 1 }), wrong);
    const places = [
      '/sources/1/name is the name of another source already',
      '/sources/1/recordId is missing',
      '/sources/2/name must have',
      '/sources/2/signature/header is not the name',
      '/sources/2/signature belongs to',
      '/sources/2/mapping/0/key is missing',
      '/sources/2/mapping/0/x is not a known member',
      '/sources/2/y is not a known member',
    ];
    expect(problemsOf(act)).toHaveLength(places.length);
    for (const place of places) expect(act).toThrow(place);
  });

  it('the names of one file are not those of the next', () => {
    expect(parse(source()).size).toBe(1);
    expect(parse(source()).size).toBe(1);
  });
});

describe('CRM_SOURCES_FILE', () => {
  const directory = mkdtempSync(join(tmpdir(), 'context-bridge-sources-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const fileWith = (name: string, text: string | Uint8Array) => {
    const file = join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  const MODULE = 'lib/platform/crmSources.ts';

  it('is in the bundle as it was checked, without what checks it', async () => {
    const crmSourcesFile = fileWith('good.json', JSON.stringify({ sources: [source({ mapping: [rule()] })] }));
    const { code } = await bundleEntry('sources', MODULE, { crmSourcesFile });
    const bundle: { crmSources: unknown } = await import(pathToFileURL(fileWith('bundle.mjs', code)).href);
    expect(bundle.crmSources).toEqual(await readCrmSources(crmSourcesFile));
    expect(code.byteLength).toBeLessThan(1_000);
  });

  it.each([
    ['{', expect.stringContaining('JSON')],
    ['[]', 'it must be an object.'],
    [
      JSON.stringify({ sources: [source({ recordId: 'r', mapping: [rule({ key: '' })] })] }),
      expect.stringMatching(/^\/sources\/0\/recordId is not .*; \/sources\/0\/mapping\/0\/key must have .*\.$/),
    ],
  ])('stops the build where it is %s, in a sentence that names file and places', async (text, problem) => {
    const crmSourcesFile = fileWith('bad.json', text);
    const build = bundleEntry('sources', MODULE, { crmSourcesFile });
    await expect(build).rejects.toThrow(CrmSourcesFileError);
    const message = await build.catch((error: Error) => error.message);
    const [before, after] = String(message).split(' cannot be used: ');
    expect(before).toBe(`CRM_SOURCES_FILE: the CRM sources ${crmSourcesFile}`);
    expect(after).toEqual(problem);
  });

  it('stops the build where there is no such file, whatever is built', async () => {
    const crmSourcesFile = join(directory, 'missing.json');
    const build = bundleEntry('clock', 'lib/platform/clock.ts', { crmSourcesFile });
    await expect(build).rejects.toThrow(crmSourcesFile);
  });
});
