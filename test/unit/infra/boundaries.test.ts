import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { afterAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const { forbidden, options } = createRequire(import.meta.url)(join(ROOT, '.dependency-cruiser.cjs'));

/** Every import of lib/ and functions/ below `baseDir` that breaks a rule, as `rule: from → to`. */
async function brokenImports(baseDir: string): Promise<string[]> {
  const { enhancedResolveOptions, ...rest } = options;
  const { output } = await cruise(
    ['lib', 'functions'],
    { ...rest, enhancedResolveOptions, baseDir, validate: true, ruleSet: { forbidden } },
    { ...enhancedResolveOptions, bustTheCache: true },
  );
  if (typeof output === 'string') throw new Error(output);
  const { summary } = output as ICruiseResult;
  if (summary.totalDependenciesCruised === 0) throw new Error('dependency-cruiser saw no import at all');
  return summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);
}

interface SourceRule {
  readonly name: string;
  readonly pattern: RegExp;
  /** Files (paths from the root, with `/`) where it is allowed. */
  readonly allowedIn: RegExp;
}

/** What no import shows: globals. */
const SOURCE_RULES: readonly SourceRule[] = [
  {
    name: 'fetch only upstream and in events',
    pattern: /(?<![\w$.])fetch\s*\(|\bglobalThis\s*\.\s*fetch\b/,
    allowedIn: /^lib\/(?:upstream|events)\/|^lib\/platform\/deps\.ts$/,
  },
  {
    name: 'process.env only in the configuration',
    pattern: /\bprocess\s*(?:\?\.|\.)\s*env\b|\bprocess\s*\[|from '(?:node:)?process'/,
    allowedIn: /^lib\/platform\/config\.ts$/,
  },
  {
    name: 'time and chance come from outside',
    pattern: /\bDate\s*\.\s*now\s*\(|\bnew Date\(\s*\)|\bMath\s*\.\s*random\s*\(|\bperformance\s*\.\s*now\s*\(/,
    allowedIn: /^lib\/platform\//,
  },
  {
    // swc, and with it dependency-cruiser, does not report these.
    name: "no import('…') inside a type",
    pattern: /\btypeof import\s*\(|\bimport\s*\(\s*'[^']+'\s*\)\s*\.(?!then\b|catch\b)/,
    allowedIn: /^$/,
  },
];

/** Removes comments, and nothing that looks like one inside a string. */
function withoutComments(source: string): string {
  const token = /('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return source.replace(token, (_whole, text: string | undefined) => text ?? ' ');
}

/** The names of the rules that `source`, as the file `path`, breaks. */
function brokenSourceRules(path: string, source: string): string[] {
  const code = withoutComments(source);
  return SOURCE_RULES.filter(({ pattern, allowedIn }) => pattern.test(code) && !allowedIn.test(path)).map(
    ({ name }) => name,
  );
}

async function sourceFiles(): Promise<string[]> {
  const files: string[] = [];
  for (const folder of ['lib', 'functions']) {
    const names = await readdir(join(ROOT, folder), { recursive: true });
    files.push(
      ...names.filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
    );
  }
  return files.sort();
}

describe('boundaries of this source tree', () => {
  it('imports only in the allowed directions', async () => {
    expect(await brokenImports(ROOT)).toEqual([]);
  });

  it('uses globals only where they belong', async () => {
    const files = await sourceFiles();
    expect(files.length).toBeGreaterThan(0);
    const broken = files.flatMap((path) =>
      brokenSourceRules(path, readFileSync(join(ROOT, path), 'utf8')).map((rule) => `${rule}: ${path}`),
    );
    expect(broken).toEqual([]);
  });
});

describe('boundaries: each import rule bites', () => {
  const folders: string[] = [];
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  /** A tree with one target per folder, plus the offending file. */
  const treeWith = async (path: string, source: string): Promise<string> => {
    const folder = mkdtempSync(join(tmpdir(), 'boundaries-'));
    folders.push(folder);
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    const targets = ['context', 'operations', 'operations/ports', 'upstream', 'store', 'events', 'http', 'platform'];
    const files: Record<string, string> = Object.fromEntries(
      targets.map((target) => [`lib/${target}/target.ts`, 'export const target = 1;\nexport type Target = 1;\n']),
    );
    files['lib/upstream/ports.ts'] = 'export type Port = 1;\n';
    files['lib/platform/deps.ts'] = 'export const deps = 1;\n';
    files['lib/platform/config.ts'] = 'export type Config = 1;\n';
    files['functions/other/request.ts'] = 'export type Target = 1;\n';
    files['scripts/tool.ts'] = 'export const tool = 1;\n';
    files['package.json'] = readFileSync(join(ROOT, 'package.json'), 'utf8');
    files[path] = source;
    for (const [file, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, file)), { recursive: true });
      await writeFile(join(folder, file), content);
    }
    return folder;
  };

  const OFFENCES: readonly (readonly [rule: string, path: string, source: string])[] = [
    [
      'context-knows-nothing',
      'lib/context/bad.ts',
      `import type { Target } from '../platform/target.ts';\nexport type X = Target;`,
    ],
    ['context-few-libraries', 'lib/context/bad.ts', `import * as z from 'zod';\nexport const x = z;`],
    [
      'context-few-libraries',
      'lib/context/bad.ts',
      `import { readFileSync } from 'node:fs';\nexport const x = readFileSync;`,
    ],
    [
      'operations-know-ports',
      'lib/operations/bad.ts',
      `import type { Target } from '../store/target.ts';\nexport type X = Target;`,
    ],
    ['operations-know-ports', 'lib/operations/bad.ts', `export { target } from '../upstream/target.ts';`],
    [
      'operations-know-ports',
      'lib/operations/bad.ts',
      `import { type Config } from '../platform/config.ts';\nexport type X = Config;`,
    ],
    ['http-knows-operations', 'lib/http/bad.ts', `export type { Target } from '../store/target.ts';`],
    ['upstream-knows-ports', 'lib/upstream/bad.ts', `export * from '../store/target.ts';`],
    ['upstream-knows-ports', 'lib/upstream/bad.ts', `export const x = () => import('../operations/target.ts');`],
    [
      'store-knows-ports',
      'lib/store/bad.ts',
      `import type { Target } from '../upstream/target.ts';\nexport type X = Target;`,
    ],
    [
      'events-know-ports',
      'lib/events/bad.ts',
      `import type { Target } from '../http/target.ts';\nexport type X = Target;`,
    ],
    [
      'platform-knows-little',
      'lib/platform/bad.ts',
      `import { target } from '../store/target.ts';\nexport const x = target;`,
    ],
    ['deps-is-the-root', 'lib/platform/bad.ts', `import { deps } from './deps.ts';\nexport const x = deps;`],
    [
      'functions-are-thin',
      'functions/bad/handler.ts',
      `import type { Target } from '../../lib/store/target.ts';\nexport type X = Target;`,
    ],
    [
      'functions-are-thin',
      'functions/bad/handler.ts',
      `import type { Target } from '../other/request.ts';\nexport type X = Target;`,
    ],
    [
      'functions-are-thin',
      'functions/bad/handler.ts',
      `import { tool } from '../../scripts/tool.ts';\nexport const x = tool;`,
    ],
    [
      'aws-sdk-at-the-edge',
      'lib/operations/bad.ts',
      `import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';\nexport type X = DynamoDBClient;`,
    ],
    [
      'aws-sdk-at-the-edge',
      'functions/bad/handler.ts',
      `import { DynamoDBClient } from '@aws-sdk/client-dynamodb';\nexport const x = DynamoDBClient;`,
    ],
    ['no-circular', 'lib/context/target.ts', `import { y } from './bad.ts';\nexport const target = y;`],
    ['no-unresolvable', 'lib/context/bad.ts', `import { x } from './nowhere.ts';\nexport const y = x;`],
    ['no-dev-dependency', 'lib/platform/bad.ts', `import { parse } from 'yaml';\nexport const x = parse;`],
  ];

  it.each(OFFENCES)('%s: %s', async (rule, path, source) => {
    const folder = await treeWith(path, source);
    if (rule === 'no-circular')
      await writeFile(
        join(folder, 'lib/context/bad.ts'),
        `import { target } from './target.ts';\nexport const y = target;`,
      );
    const broken = await brokenImports(folder);
    expect(broken.map((line) => line.split(':')[0])).toContain(rule);
  });

  it('covers every rule', () => {
    const rules = forbidden.map(({ name }: { name: string }) => name).sort();
    expect([...new Set(OFFENCES.map(([rule]) => rule))].sort()).toEqual(rules);
  });

  it('leaves the allowed directions alone', async () => {
    const allowed = await treeWith(
      'functions/good/handler.ts',
      `import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { target } from '../../lib/http/target.ts';
import { deps } from '../../lib/platform/deps.ts';
import type { Target } from '../../lib/operations/target.ts';
export const x: [Target, APIGatewayProxyEventV2?] = [target];
export { deps };`,
    );
    await writeFile(
      join(allowed, 'lib/store/good.ts'),
      `import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { Target } from '../operations/ports/target.ts';
import type { Port } from '../upstream/ports.ts';
import type { Target as Clock } from '../platform/target.ts';
import type { Target as Rule } from '../context/target.ts';
export type X = [DynamoDBClient, Target, Port, Clock, Rule];`,
    );
    await writeFile(join(allowed, 'lib/platform/deps.ts'), `export { target as deps } from '../store/target.ts';`);
    expect(await brokenImports(allowed)).toEqual([]);
  });
});

describe('boundaries: each source rule bites', () => {
  it.each([
    ['fetch only upstream and in events', 'lib/store/bad.ts', `const answer = await fetch('https://x');`],
    ['fetch only upstream and in events', 'lib/http/bad.ts', 'const send = globalThis.fetch;'],
    ['process.env only in the configuration', 'lib/platform/clock.ts', `const x = process.env['TABLE_NAME'];`],
    ['process.env only in the configuration', 'functions/inject/handler.ts', `import { env } from 'node:process';`],
    ['time and chance come from outside', 'lib/operations/bad.ts', 'const nowMs = Date.now();'],
    ['time and chance come from outside', 'lib/upstream/bad.ts', 'const jitter = Math.random() * 5;'],
    ["no import('…') inside a type", 'lib/operations/bad.ts', `type Table = import('../store/table.ts').Table;`],
  ])('%s: %s', (rule, path, source) => {
    expect(brokenSourceRules(path, source)).toEqual([rule]);
  });

  it.each([
    ['lib/upstream/httpClient.ts', `await fetch('https://x');`],
    ['lib/platform/deps.ts', 'export const deps = { fetch: globalThis.fetch };'],
    ['lib/platform/config.ts', 'export const env = process.env;'],
    ['lib/platform/clock.ts', 'export const now = () => Date.now();'],
    [
      'lib/store/good.ts',
      '// calls fetch() and reads process.env\nexport const at = (ms: number) => new Date(ms); this.fetch();',
    ],
    ['lib/operations/good.ts', `const { x } = await import('./x.ts'); import('./y.ts').then(() => x);`],
  ])('allows %s', (path, source) => {
    expect(brokenSourceRules(path, source)).toEqual([]);
  });
});
