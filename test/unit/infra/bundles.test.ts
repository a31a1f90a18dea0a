import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  bundleAll,
  bundleFunction,
  bytesByPackage,
  type FunctionBundle,
  functionNames,
} from '../../../scripts/build.ts';
import { zip } from '../../../scripts/package.ts';

/** KiB, minified. What is not listed gets {@link DEFAULT_BUDGET_KIB}. Raise one only together with the reason. */
const BUDGET_KIB: Readonly<Record<string, number>> = { inject: 420 };
const DEFAULT_BUDGET_KIB = 450;

/** What must not come back: each was left out on purpose, and one careless import brings it all in. */
const UNWANTED: readonly (readonly [what: string, inputs: RegExp])[] = [
  ["zod's classic interface and locales (import * as z from 'zod/mini')", /\/zod\/v4\/(?:classic|locales)\//],
  ["zod's way into JSON Schema", /\/zod\/v4\/core\/(?:to-json-schema|json-schema-processors)\.js$/],
  [
    'the AWS credential provider chain',
    /@aws-sdk\/(?:credential-provider-(?!env\/)|token-providers|nested-clients)|@smithy\/credential-provider-imds/,
  ],
  ['event streams', /@smithy\/core\/.*event-streams/],
  ["DynamoDB's endpoint discovery cache", /node_modules\/(?:@aws-sdk\/endpoint-cache|mnemonist)\//],
  ['Powertools parser and tracer', /@aws-lambda-powertools\/(?:parser|tracer)|aws-xray-sdk/],
  ['development code', /(?:^|\/)(?:test|bench|scripts|infra)\/|node_modules\/(?:vitest|dynalite|esbuild|fast-check)\//],
];

const names = await functionNames();

describe('bundles', () => {
  it('there are functions to bundle', () => {
    expect(names.length).toBeGreaterThan(0);
  });

  let bundles: FunctionBundle[] = [];
  beforeAll(async () => {
    bundles = await bundleAll();
  }, 60_000);

  const bundleOf = (name: string): FunctionBundle => {
    const bundle = bundles.find((candidate) => candidate.name === name);
    if (!bundle) throw new Error(`no bundle ${name}`);
    return bundle;
  };

  it.each(names)('%s keeps its size budget', (name) => {
    const { code, metafile } = bundleOf(name);
    const largest = bytesByPackage(metafile)
      .slice(0, 10)
      .map(({ from, bytes }) => `${from} ${Math.round(bytes / 1024)}`);
    expect(code.byteLength / 1024, `largest parts in KiB: ${largest.join(', ')}`).toBeLessThanOrEqual(
      BUDGET_KIB[name] ?? DEFAULT_BUDGET_KIB,
    );
  });

  it.each(names)('%s carries nothing unwanted', (name) => {
    const shipped = Object.values(bundleOf(name).metafile.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs)
        .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
        .map(([path]) => path),
    );
    // A stand-in (namespace `stand-in:`) is what replaces the unwanted part.
    const files = shipped.filter((path) => !path.startsWith('stand-in:'));
    const found = UNWANTED.flatMap(([what, inputs]) =>
      files.filter((path) => inputs.test(path)).map((path) => `${what}: ${path}`),
    );
    expect(found).toEqual([]);
  });

  it('only those who sign or verify carry what signatures are made with', () => {
    const carries = ({ metafile }: FunctionBundle) =>
      bytesByPackage(metafile).some(({ from }) => /fast-sha256/.test(from));
    expect(bundles.filter(carries).map(({ name }) => name)).toEqual(['crm', 'notify', 'webhook']);
  });

  it.each(names)('%s needs nothing but Node at run time', (name) => {
    const imports = Object.values(bundleOf(name).metafile.outputs).flatMap((output) => output.imports);
    expect(
      imports.filter(({ external, path }) => external && !path.startsWith('node:')).map(({ path }) => path),
    ).toEqual([]);
  });

  it.each(names)('%s exports handler', (name) => {
    const output = Object.values(bundleOf(name).metafile.outputs).find(({ entryPoint }) => entryPoint);
    expect(output?.exports).toEqual(['handler']);
  });

  it('are the same bytes when built again', async () => {
    const [name = ''] = names;
    const hash = ({ code }: FunctionBundle) => createHash('sha256').update(code).digest('hex');
    expect(hash(await bundleFunction(name))).toBe(hash(bundleOf(name)));
  });
});

describe('zip', () => {
  const entries = [
    { name: 'index.mjs', content: Buffer.from('export const handler = 1;\n'.repeat(100)) },
    { name: 'config/größe.json', content: Buffer.from('{}') },
  ];

  it('depends on names and contents only', () => {
    expect(zip(entries).equals(zip([...entries].reverse()))).toBe(true);
  });

  it('gives every file back from its directory, readable for everyone', () => {
    // Prepare
    const archive = zip(entries);
    const end = archive.length - 22;
    expect(archive.readUInt32LE(end)).toBe(0x06054b50);

    // Act
    const found: [string, string, number][] = [];
    for (let at = archive.readUInt32LE(end + 16), left = archive.readUInt16LE(end + 10); left > 0; left -= 1) {
      const nameLength = archive.readUInt16LE(at + 28);
      const name = archive.toString('utf8', at + 46, at + 46 + nameLength);
      const local = archive.readUInt32LE(at + 42);
      const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
      const packed = archive.subarray(start, start + archive.readUInt32LE(at + 20));
      found.push([name, inflateRawSync(packed).toString(), archive.readUInt32LE(at + 38) >>> 16]);
      at += 46 + nameLength;
    }

    // Assess
    expect(found).toEqual([...entries].reverse().map(({ name, content }) => [name, content.toString(), 0o100644]));
  });
});
