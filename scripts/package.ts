// npm run package: build, one zip per function, then osls makes the CloudFormation template. Needs neither credentials nor a network.
// npm run deploy: the same, then osls deploys. Further options go to osls: `npm run deploy -- --stage prod --region eu-west-1`.
import { spawn } from 'node:child_process';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateRawSync } from 'node:zlib';
import { bundleAll, sizeTable, writeBundles } from './build.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** A file to be put into a zip. */
export interface ZipEntry {
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * A zip whose bytes depend on names and contents only: no clock, no owner, no order of the file system. An unchanged function
 * therefore keeps its hash, and CloudFormation leaves it alone. APPNOTE.TXT 4.3; no zip64, as Lambda takes 250 MB at most.
 */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const bodies: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content } of [...entries].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = Buffer.from(name, 'utf8');
    const packed = deflateRawSync(content, { level: 9 });
    // Version 2.0, UTF-8 names, deflate, 1980-01-01 00:00 (the format's zero), checksum and sizes: the same in both headers.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x0800, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt16LE(0, 6);
    common.writeUInt16LE(0x0021, 8);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, path, packed]);
    // Made on Unix (3), a regular file that everyone may read: Lambda runs as another user than the one that unpacked.
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((0o100644 << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, tail, path]));
    bodies.push(local);
    offset += local.length;
  }
  const directorySize = directory.reduce((sum, { length }) => sum + length, 0);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(directorySize, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...bodies, ...directory, end]);
}

/** Zips `dist/<name>/` as `dist/packages/<name>.zip`. */
async function zipFunction(name: string, root: string): Promise<void> {
  const folder = join(root, 'dist', name);
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const entries = files.map(async ({ parentPath, name: file }) => {
    const path = join(parentPath, file);
    return { name: path.slice(folder.length + 1).replaceAll('\\', '/'), content: await readFile(path) };
  });
  await mkdir(join(root, 'dist', 'packages'), { recursive: true });
  await writeFile(join(root, 'dist', 'packages', `${name}.zip`), zip(await Promise.all(entries)));
}

/** Builds all functions and zips them. Returns the table of sizes. */
export async function makeArtifacts(root = ROOT): Promise<string> {
  const bundles = await bundleAll(root);
  await writeBundles(bundles, root);
  await Promise.all(bundles.map(({ name }) => zipFunction(name, root)));
  return sizeTable(bundles);
}

/** How to run osls. */
export interface OslsOptions {
  /** The folder with `serverless.yml`. */
  readonly root?: string;
  /** Its environment: what `${env:…}` in `serverless.yml` sees. */
  readonly env?: NodeJS.ProcessEnv;
  /** Shows nothing. */
  readonly quiet?: boolean;
}

/** Runs osls without questions (CI, no standard input) and with its cache in the project instead of the home directory. Resolves with its exit code. */
export function osls(
  args: readonly string[],
  { root = ROOT, env = process.env, quiet = false }: OslsOptions = {},
): Promise<number> {
  const bin = createRequire(import.meta.url).resolve('osls/bin/serverless.js');
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], {
      cwd: root,
      stdio: quiet ? 'ignore' : ['ignore', 'inherit', 'inherit'],
      env: { ...env, CI: 'true', SLS_SCHEMA_CACHE_BASE_DIR: join(ROOT, '.cache') },
    });
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

if (import.meta.main) {
  const deploys = process.argv.includes('--deploy');
  const options = process.argv.slice(2).filter((argument) => argument !== '--deploy');
  if (deploys && !/^https:\/\/[^/]/.test(process.env['COGNIGY_BASE_URL'] ?? '')) {
    console.error(
      'Set COGNIGY_BASE_URL to the https URL of the Cognigy tenant: it has no default, and the functions refuse to start without it.',
    );
    process.exit(1);
  }
  console.log(await makeArtifacts());
  process.exitCode = await osls([deploys ? 'deploy' : 'package', ...options]);
  // osls empties .serverless/ before it writes the template there, and leaves zips that it did not make where they are.
  if (!deploys && process.exitCode === 0)
    await cp(join(ROOT, 'dist', 'packages'), join(ROOT, '.serverless'), { recursive: true });
}
