// npm run test:dynamodb-local: runs the store's contract suite against AWS's own DynamoDB Local as well, which knows rules that
// dynalite does not. Needs java (17 or newer) and mvn; without them it says so and is content, unless REQUIRE_DYNAMODB_LOCAL=1.
// What Maven Central delivers is kept in .cache/dynamodb-local/.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The newest release that runs on Java 17. */
const VERSION = '2.6.1';
const START_TIMEOUT_MS = 60_000;
const JAVA = 'java';
const MAVEN = 'mvn';

const root = fileURLToPath(new URL('..', import.meta.url));
const cache = join(root, '.cache', 'dynamodb-local', VERSION);
const lib = join(cache, 'lib');
const complete = join(cache, 'complete');

/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set();
// However this ends, nothing of it stays behind.
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130));

process.exitCode = await main();

/** @returns {Promise<number>} exit code */
async function main() {
  if (!runs(JAVA)) return notRun('there is no java');
  if (!existsSync(complete) && !runs(MAVEN)) return notRun('there is no mvn');
  if (!existsSync(complete) && !download()) return notRun('it could not be had from Maven Central');

  const port = await freePort();
  const java = spawn(
    JAVA,
    [
      `-Djava.library.path=${lib}`,
      '-cp',
      join(lib, '*'),
      'com.amazonaws.services.dynamodbv2.local.main.ServerRunner',
      '-inMemory',
      '-disableTelemetry',
      '-port',
      String(port),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  children.add(java);
  try {
    const url = `http://127.0.0.1:${port}`;
    if (!(await answers(url, java))) {
      console.error('DynamoDB Local did not start');
      return 1;
    }
    return await suite(url);
  } finally {
    java.kill('SIGKILL');
  }
}

/** @param {string} tool */
function runs(tool) {
  return spawnSync(tool, ['-version']).status === 0;
}

/** @param {string} why */
function notRun(why) {
  console.log(`The store's contract suite did NOT run against DynamoDB Local, as ${why}.`);
  return process.env['REQUIRE_DYNAMODB_LOCAL'] === '1' ? 1 : 0;
}

/** Fetches the artefact with all it needs. The mark comes last, so that half a download is not taken for a whole one. */
function download() {
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, 'pom.xml'), pom());
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${lib}`];
  const { status } = spawnSync(MAVEN, ['--quiet', '--batch-mode', ...goal], { cwd: cache, stdio: 'inherit' });
  if (status === 0) writeFileSync(complete, '');
  return status === 0;
}

function pom() {
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>context-bridge</groupId>
  <artifactId>dynamodb-local</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.amazonaws</groupId>
      <artifactId>DynamoDBLocal</artifactId>
      <version>${VERSION}</version>
    </dependency>
  </dependencies>
</project>
`;
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/**
 * Waits until the server answers anything: unsigned, it is refused, and that is an answer.
 * @param {string} url
 * @param {import('node:child_process').ChildProcess} java
 */
async function answers(url, java) {
  const untilMs = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < untilMs && java.exitCode === null) {
    const response = await fetch(url).catch(() => undefined);
    if (response !== undefined) return true;
    await sleep(100);
  }
  return false;
}

/**
 * @param {string} url
 * @returns {Promise<number>} exit code
 */
function suite(url) {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const child = spawn(process.execPath, [vitest, 'run', '--project', 'contract', 'test/contract/store'], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, DYNAMODB_LOCAL_URL: url },
  });
  children.add(child);
  return new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1)));
}
