// Bundles every function: functions/<name>/handler.ts becomes dist/<name>/, the exact content of the zip that is deployed.
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import standaloneCode from 'ajv/dist/standalone/index.js';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import type { CrmSource } from '../lib/context/crmSource.ts';
import { isJsonObject, type JsonValue } from '../lib/context/json.ts';
import { compileSchema } from '../lib/context/schemaCompiler.ts';
import { parseCrmSources } from '../lib/events/crmSources.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The tenant's context schema: what `CONTEXT_SCHEMA_FILE` names, else the shipped one. */
const SCHEMA_FILE = resolve(ROOT, process.env['CONTEXT_SCHEMA_FILE'] ?? 'infra/config/context.schema.json');

/** The CRMs that may report changes: what `CRM_SOURCES_FILE` names, else the shipped ones. */
const CRM_SOURCES_FILE = resolve(ROOT, process.env['CRM_SOURCES_FILE'] ?? 'infra/config/crm-sources.json');

/**
 * Modules that a function in Lambda never reaches but that every bundle would carry, and what stands in for them.
 * About 150 KiB minified together: a third of a bundle, all of it read and compiled at every cold start.
 */
const STAND_INS: Readonly<Record<string, string>> = {
  // The default credential chain knows SSO, STS, profiles, web identity and the instance metadata service. A function's credentials
  // come from its environment; that provider is the chain's own first link.
  '@aws-sdk/credential-provider-node': `export { fromEnv as defaultProvider } from '@aws-sdk/credential-provider-env';`,
  // Loaded on demand, by operations that stream events. Neither DynamoDB nor Secrets Manager has one.
  '@smithy/core/event-streams': `export class EventStreamSerde { constructor() { throw new Error('left out'); } }
export const eventStreamSerdeProvider = () => { throw new Error('left out'); };`,
  // The DynamoDB client creates this cache, yet no operation of it discovers its endpoint. Brings mnemonist along.
  '@aws-sdk/endpoint-cache': 'export class EndpointCache {}',
};

/** Ajv compiles the tenant's schema here rather than at every cold start, and stays out of the bundle itself (130 KiB). */
const TENANT_SCHEMA = /[\\/]lib[\\/]platform[\\/]tenantSchema\.ts$/;

/** The sources of CRM events are read and checked here, so that no bundle carries what checks them. */
const CRM_SOURCES = /[\\/]lib[\\/]platform[\\/]crmSources\.ts$/;

/** CommonJS that does nothing when it is loaded, but does not say so: every bundle would carry it, whoever uses it (12 KiB). */
const WITHOUT_SIDE_EFFECTS = /^standardwebhooks$/;

/**
 * What of the SDK no function makes or calls: SHA-256 for a Node without its own crypto (3 KiB), what only the retry mode
 * "adaptive" needs (3 KiB; the mode is set in lib/platform/awsClients.ts), and the question to an EC2 instance for its region (1 KiB).
 */
const NEVER_MADE = /[\\/](Sha256Js|DefaultRateLimiter|AdaptiveRetryStrategy|getInstanceMetadataRegion)\.js$/;

/** Made with every signer, and asked only by who signs the events of a stream (2 KiB). */
const NEVER_ASKED = /[\\/]HeaderFormatter\.js$/;

/** For loggers that there are not, it would copy whatever is sent and received, each time (1 KiB, and 0.1 ms of each request). */
const NEVER_LOGGED = /[\\/]loggerMiddleware\.js$/;

/**
 * AWS is told who asks in a word: the SDK would put together anew for each request what system, runtime and features it comes from
 * (2 KiB, and a tenth of a millisecond of each request in a process that has just slept).
 */
const NEVER_DESCRIBED = /[\\/]user-agent-middleware\.js$/;

/**
 * Where a client's requests go is worked out for the first of them. The SDK puts together and looks up anew each time what that may
 * depend on, because some inputs name another place by an ARN: ours are one table, one secret, one bus (half a KiB, and a fifth of
 * what the SDK itself takes for a request).
 */
const ASKED_ONCE = /[\\/]middleware-endpoint[\\/]endpointMiddleware\.js$/;

/** What the logger keeps lines back in, where it is told to: it is not (1 KiB). */
const NEVER_BUFFERED = /[\\/]logBuffer\.js$/;

/** The SDK's clients import their whole package.json for one member of it. */
const AWS_PACKAGE_JSON = /[\\/]@aws-sdk[\\/][^\\/]+[\\/]package\.json$/;

/** The context schema cannot be used. Its message is one sentence for people: it names the file, and the place in it if there is one. */
export class SchemaFileError extends Error {
  override readonly name = 'SchemaFileError';
}

/**
 * What stands in for `lib/platform/tenantSchema.ts`: the schema of that file as Ajv has compiled it, and as it is for its rules.
 * @throws {SchemaFileError}
 */
async function tenantSchemaModule(file: string): Promise<string> {
  try {
    const schema: JsonValue = JSON.parse(await readFile(file, 'utf8'));
    if (!isJsonObject(schema)) throw new Error('it is no object');
    const { ajv, validate } = compileSchema(schema);
    // As text: in an object literal, a member `__proto__` would be another thing than in JSON.
    return `import { contextSchemaOf } from '../context/schema.ts';
${standaloneCode.default(ajv, validate)}
export const tenantSchema = contextSchemaOf(validate, JSON.parse(${JSON.stringify(JSON.stringify(schema))}));`;
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new SchemaFileError(`CONTEXT_SCHEMA_FILE: the context schema ${file} cannot be used: ${problem}.`);
  }
}

/** The sources of CRM events cannot be used. Its message is one sentence for people: it names the file, and every place in it. */
export class CrmSourcesFileError extends Error {
  override readonly name = 'CrmSourcesFileError';
}

/**
 * The sources of CRM events, by name.
 * @throws {CrmSourcesFileError}
 */
export async function readCrmSources(file = CRM_SOURCES_FILE): Promise<ReadonlyMap<string, CrmSource>> {
  try {
    return parseCrmSources(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new CrmSourcesFileError(`CRM_SOURCES_FILE: the CRM sources ${file} cannot be used: ${problem}.`);
  }
}

/** What stands in for `lib/platform/crmSources.ts`. */
async function crmSourcesModule(file: string): Promise<string> {
  const sources = JSON.stringify([...(await readCrmSources(file))]);
  // Marked, or every bundle would carry it.
  return `export const crmSources = /* @__PURE__ */ new Map(/* @__PURE__ */ JSON.parse(${JSON.stringify(sources)}));`;
}

const dietWith = ({ tenantSchema, crmSources }: Readonly<Record<'tenantSchema' | 'crmSources', string>>): Plugin => ({
  name: 'diet',
  setup({ onResolve, onLoad, resolve: find }) {
    const names = Object.keys(STAND_INS).map((name) => name.replaceAll('/', '\\/'));
    onResolve({ filter: new RegExp(`^(?:${names.join('|')})$`) }, ({ path, resolveDir }) => ({
      path,
      namespace: 'stand-in',
      pluginData: resolveDir,
    }));
    onLoad({ filter: /.*/, namespace: 'stand-in' }, ({ path, pluginData }) => ({
      contents: STAND_INS[path] ?? '',
      resolveDir: pluginData,
    }));
    onResolve({ filter: WITHOUT_SIDE_EFFECTS }, async ({ path, kind, resolveDir, pluginData }) => {
      if (pluginData === WITHOUT_SIDE_EFFECTS) return undefined;
      return { ...(await find(path, { kind, resolveDir, pluginData: WITHOUT_SIDE_EFFECTS })), sideEffects: false };
    });
    onLoad({ filter: TENANT_SCHEMA }, ({ path }) => ({ contents: tenantSchema, resolveDir: dirname(path) }));
    onLoad({ filter: NEVER_MADE }, ({ path }) => ({
      contents: `export class ${NEVER_MADE.exec(path)?.[1]} { constructor() { throw new Error('left out'); } }`,
    }));
    onLoad({ filter: NEVER_ASKED }, () => ({ contents: 'export class HeaderFormatter {}' }));
    onLoad({ filter: NEVER_LOGGED }, () => ({
      contents: `export const getLoggerPlugin = () => ({ applyToStack() {} });
export const loggerMiddleware = getLoggerPlugin, loggerMiddlewareOptions = {};`,
    }));
    onLoad({ filter: NEVER_DESCRIBED }, () => ({
      contents: `const name = (next) => (args) => {
  args.request.headers['user-agent'] = 'context-bridge';
  return next(args);
};
export const getUserAgentMiddlewareOptions = { name: 'getUserAgentMiddleware', step: 'build', override: true };
export const getUserAgentPlugin = () => ({ applyToStack: (stack) => stack.add(name, getUserAgentMiddlewareOptions) });
export const userAgentMiddleware = () => name;`,
    }));
    onLoad({ filter: ASKED_ONCE }, ({ path }) => ({
      contents: `import { bindGetEndpointFromInstructions } from './adaptors/getEndpointFromInstructions';
export function bindEndpointMiddleware(getEndpointFromConfig) {
  const find = bindGetEndpointFromInstructions(getEndpointFromConfig);
  const found = new WeakMap();
  return ({ config, instructions }) => (next, context) => async (args) => {
    let endpoint = found.get(config);
    if (endpoint === undefined) {
      endpoint = await find(args.input, { getEndpointParameterInstructions: () => instructions }, { ...config }, context);
      if (endpoint.properties?.authSchemes) throw new Error('left out: an endpoint with a signature of its own');
      found.set(config, endpoint);
    }
    context.endpointV2 = endpoint;
    return next(args);
  };
}`,
      resolveDir: dirname(path),
    }));
    onLoad({ filter: NEVER_BUFFERED }, () => ({
      contents: `export class CircularMap { constructor() { throw new Error('left out'); } }`,
    }));
    onLoad({ filter: CRM_SOURCES }, () => ({ contents: crmSources }));
    onLoad({ filter: AWS_PACKAGE_JSON }, async ({ path }) => {
      const { version } = JSON.parse(await readFile(path, 'utf8'));
      return { contents: JSON.stringify({ version }), loader: 'json' };
    });
  },
});

/** One function, built in memory. */
export interface FunctionBundle {
  readonly name: string;
  /** `index.mjs`: ESM, minified. */
  readonly code: Uint8Array;
  /** The source map. Kept beside the build, not shipped: five times as large, it would cost more at every cold start than it explains. */
  readonly sourceMap: Uint8Array;
  readonly metafile: Metafile;
}

/** The functions: the folders of `functions/` that have a `handler.ts`, sorted. */
export async function functionNames(root = ROOT): Promise<string[]> {
  const folders = await readdir(join(root, 'functions'), { withFileTypes: true });
  return folders
    .filter((entry) => entry.isDirectory() && existsSync(join(root, 'functions', entry.name, 'handler.ts')))
    .map((entry) => entry.name)
    .sort();
}

/** Bundles one function in memory. The same sources give the same bytes. */
export function bundleFunction(name: string, root = ROOT): Promise<FunctionBundle> {
  return bundleEntry(name, `functions/${name}/handler.ts`, { root });
}

export interface BundleEntryOptions {
  readonly root?: string;
  /** False leaves everything in that the entry imports. */
  readonly isOnDiet?: boolean;
  /** The context schema that it gets. */
  readonly schemaFile?: string;
  /** The sources of CRM events that it gets. */
  readonly crmSourcesFile?: string;
}

/** Bundles any file as functions are bundled; `name` becomes the bundle's. */
export async function bundleEntry(
  name: string,
  entryPoint: string,
  {
    root = ROOT,
    isOnDiet = true,
    schemaFile = SCHEMA_FILE,
    crmSourcesFile = CRM_SOURCES_FILE,
  }: BundleEntryOptions = {},
): Promise<FunctionBundle> {
  const configured = async () => ({
    tenantSchema: await tenantSchemaModule(schemaFile),
    crmSources: await crmSourcesModule(crmSourcesFile),
  });
  const options = {
    absWorkingDir: root,
    entryPoints: [entryPoint],
    outfile: `dist/${name}/index.mjs`,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Packages' ESM builds before their CommonJS ones: a third smaller, because esbuild can drop what is not used.
    mainFields: ['module', 'main'],
    minify: true,
    keepNames: false,
    legalComments: 'none',
    sourcemap: 'external',
    metafile: true,
    write: false,
    logLevel: 'warning',
    plugins: isOnDiet ? [dietWith(await configured())] : [],
  } as const satisfies BuildOptions;

  let result = await build(options);
  const requiresAtRunTime = Object.values(result.metafile.outputs).some((output) =>
    output.imports.some((imported) => imported.external && imported.kind === 'require-call'),
  );
  if (requiresAtRunTime) {
    // A CommonJS package asks for a built-in module. ES modules have no `require`, so esbuild's substitute would throw.
    const banner = `import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);`;
    result = await build({ ...options, banner: { js: banner } });
  }
  const contents = (suffix: string) => {
    const file = result.outputFiles.find(({ path }) => path.endsWith(suffix));
    if (!file) throw new Error(`esbuild made no ${suffix} for ${name}`);
    return file.contents;
  };
  return {
    name,
    code: contents('index.mjs'),
    sourceMap: contents('index.mjs.map'),
    metafile: result.metafile,
  };
}

/** Bundles all functions in memory. Throws when there is none. */
export async function bundleAll(root = ROOT): Promise<FunctionBundle[]> {
  const names = await functionNames(root);
  if (names.length === 0) throw new Error('no functions/<name>/handler.ts found');
  return Promise.all(names.map((name) => bundleFunction(name, root)));
}

/**
 * Writes `dist/`: `dist/<function>/` is what is deployed, `dist/meta/` explains it (esbuild's metafile and the source map). Each
 * file appears at once and whole, so that a stack that is being started beside a build never sees half of one.
 */
export async function writeBundles(bundles: readonly FunctionBundle[], root = ROOT): Promise<void> {
  const dist = join(root, 'dist');
  const folders = [...bundles.map(({ name }) => name), 'meta'];
  for (const folder of folders) await mkdir(join(dist, folder), { recursive: true });
  for (const { name, code, sourceMap, metafile } of bundles) {
    await writeWhole(join(dist, name, 'index.mjs'), code);
    await writeWhole(join(dist, 'meta', `${name}.json`), JSON.stringify(metafile));
    await writeWhole(join(dist, 'meta', `${name}.mjs.map`), sourceMap);
  }
  for (const stale of (await readdir(dist)).filter((folder) => !folders.includes(folder))) {
    await rm(join(dist, stale), { recursive: true, force: true });
  }
}

async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const unfinished = `${path}.${process.pid}`;
  await writeFile(unfinished, content);
  await rename(unfinished, path);
}

/** The bytes that each package (or folder of this repository) has in a bundle, largest first. */
export function bytesByPackage(metafile: Metafile): { from: string; bytes: number }[] {
  const bytes = new Map<string, number>();
  for (const output of Object.values(metafile.outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
      const from = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path.split('/').slice(0, 2).join('/');
      bytes.set(from, (bytes.get(from) ?? 0) + bytesInOutput);
    }
  }
  return [...bytes].map(([from, sum]) => ({ from, bytes: sum })).sort((a, b) => b.bytes - a.bytes);
}

/** A table of the bundles with their sizes and largest parts. */
export function sizeTable(bundles: readonly FunctionBundle[]): string {
  const kib = (bytes: number) => (bytes / 1024).toFixed(1);
  const rows = bundles.map(({ name, code, metafile }) => {
    const largest = bytesByPackage(metafile).slice(0, 4);
    return `${name.padEnd(14)}${kib(code.byteLength).padStart(7)} KiB   ${largest.map(({ from, bytes }) => `${from} ${kib(bytes)}`).join(', ')}`;
  });
  return rows.join('\n');
}

if (import.meta.main) {
  try {
    const bundles = await bundleAll();
    await writeBundles(bundles);
    console.log(sizeTable(bundles));
  } catch (error) {
    if (!(error instanceof SchemaFileError || error instanceof CrmSourcesFileError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
