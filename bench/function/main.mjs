// A built function alone in its process, as in Lambda. Not TypeScript: nothing but the function is to take memory here.
import { randomUUID } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { existsSync, readFileSync } from 'node:fs';

/** @import { Context } from 'aws-lambda' */
/** @import { Invocation, RoundTrip } from './protocol.ts' */

const LAMBDA_TIMEOUT_MS = 15_000;
/** Where Linux tells what a process takes. */
const STATUS = '/proc/self/status';

/** @type {RoundTrip[]} */
let roundTrips = [];
/** @type {WeakMap<object, { to: RoundTrip['to'], startMs: number }>} */
const underWay = new WeakMap();

/** @param {object} request @param {RoundTrip['to']} to */
const begin = (request, to) => underWay.set(request, { to, startMs: performance.now() });
/** @param {object} request */
const finish = (request) => {
  const begun = underWay.get(request);
  if (begun !== undefined) roundTrips.push({ ...begun, endMs: performance.now() });
};

const upstreamHost = URL.parse(process.env['COGNIGY_BASE_URL'] ?? '')?.host;

// The AWS SDK and the way to the upstream use node:http, which tells about itself.
subscribe('http.client.request.created', (/** @type {any} */ { request }) => {
  const target = String(request.getHeader('x-amz-target'));
  const other = request.getHeader('host') === upstreamHost ? 'upstream' : 'elsewhere';
  begin(request, target.startsWith('DynamoDB_') ? 'database' : other);
});
subscribe('http.client.response.finish', (/** @type {any} */ { request }) => finish(request));

const { handler } = await import(String(process.argv[2]));

process.on('message', async (/** @type {{ event: string, wantsBody: boolean }} */ { event, wantsBody }) => {
  // As Lambda's runtime does: the event arrives as text.
  const parsed = JSON.parse(event);
  roundTrips = [];
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const { statusCode, body } = await handler(parsed, contextOf());
  const endMs = performance.now();
  const { user, system } = process.cpuUsage(cpuBefore);
  /** @type {Invocation} */
  const invocation = {
    status: statusCode,
    startMs,
    endMs,
    cpuMs: (user + system) / 1_000,
    maxRssBytes: maxRssBytes(),
    roundTrips,
    ...(wantsBody && { body }),
  };
  process.send?.(invocation);
});
process.on('disconnect', () => process.exit());
process.send?.({ loadedBytes: maxRssBytes() });

/** Peak resident set of this process. What `resourceUsage` tells begins with that of the process that started it. */
function maxRssBytes() {
  const peak = /VmHWM:\s*(\d+) kB/.exec(existsSync(STATUS) ? readFileSync(STATUS, 'utf8') : '')?.[1];
  return Number(peak ?? process.resourceUsage().maxRSS) * 1_024;
}

/** @returns {Context} */
function contextOf() {
  const endsAtMs = Date.now() + LAMBDA_TIMEOUT_MS;
  return {
    awsRequestId: randomUUID(),
    callbackWaitsForEmptyEventLoop: false,
    functionName: 'bench',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:local:000000000000:function:bench',
    logGroupName: '/aws/lambda/bench',
    logStreamName: 'local',
    memoryLimitInMB: '512',
    getRemainingTimeInMillis: () => Math.max(0, endsAtMs - Date.now()),
    done: () => undefined,
    fail: () => undefined,
    succeed: () => undefined,
  };
}
