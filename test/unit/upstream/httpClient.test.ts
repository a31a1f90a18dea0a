import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../lib/upstream/concurrency.ts';
import { HttpClient, type HttpObservation, type HttpRequest, pathSegment } from '../../../lib/upstream/httpClient.ts';
import { FakeClock } from '../../fixtures/upstream/fakeClock.ts';
import { fail, hang, html, json, type Reply, ScriptedFetch } from '../../fixtures/upstream/scriptedFetch.ts';

function prepare(reply: Reply, limit = 5) {
  const clock = new FakeClock();
  const network = new ScriptedFetch(reply);
  const observations: HttpObservation[] = [];
  const client = new HttpClient({
    fetch: network.fetch,
    clock,
    concurrency: new Concurrency(limit, { clock }),
    onRequest: (observation) => observations.push(observation),
  });
  const request: HttpRequest = {
    method: 'PUT',
    url: 'https://cognigy.test/x',
    accessToken: 'tok-1',
    correlationId: 'corr-1',
    body: '{"a":"ü"}',
    deadlineMs: clock.now() + 20_000,
  };
  return { clock, network, client, request, observations };
}

describe('HttpClient', () => {
  it('sends exactly the headers of the contract and follows no redirect', async () => {
    const { client, network, request } = prepare(() => json(200, { ok: true }));

    const outcome = await client.send(request);

    expect(outcome).toMatchObject({ kind: 'answer', status: 200, body: { json: { ok: true } } });
    expect(Object.fromEntries(network.requests[0]?.headers ?? [])).toEqual({
      accept: 'application/json',
      authorization: 'Bearer tok-1',
      'content-type': 'application/json',
      'x-correlation-id': 'corr-1',
    });
    expect(network.requests[0]).toMatchObject({ method: 'PUT', body: '{"a":"ü"}', redirect: 'manual' });
  });

  it('says If-Match exactly as it is told, and only then', async () => {
    const { client, network, request } = prepare(() => json(200, {}));
    await client.send({ ...request, ifMatch: 'W/"\u00e9, 7"' });
    await client.send(request);
    expect(network.requests.map(({ headers }) => headers.get('if-match'))).toEqual(['W/"\u00e9, 7"', null]);
  });

  it('names the content type on every request, as the contract has it, and sends no body without one', async () => {
    const { client, network, request } = prepare(() => json(200, {}));
    const { body: _body, ...withoutBody } = request;

    await client.send({ ...withoutBody, method: 'GET' });

    expect(network.requests[0]?.headers.get('content-type')).toBe('application/json');
    expect(network.requests[0]?.body ?? '').toBe('');
  });

  it('SCENARIO 23: hands a redirect back as an answer and asks nobody else', async () => {
    const { client, network, request } = prepare(
      () => new Response(null, { status: 307, headers: { location: 'https://evil.test/' } }),
    );

    expect(await client.send(request)).toMatchObject({ kind: 'answer', status: 307 });
    expect(network.requests).toHaveLength(1);
  });

  it.each([
    ['HTML', () => html(200)],
    ['cut off JSON', () => new Response('{"variables":{"a":')],
    ['white space', () => new Response(' ')],
    ['bytes that are not UTF-8', () => new Response(new Uint8Array([0x22, 0xff, 0x22]))],
    ['more than 4 MiB', () => new Response(`"${'x'.repeat(4 * 1024 * 1024)}"`)],
  ])('SCENARIO 22: calls a body of %s unparsable', async (_what, reply) => {
    const { client, request } = prepare(reply);
    expect(await client.send(request)).toMatchObject({ kind: 'answer', body: 'unparsable' });
  });

  it.each([200, 204])('tells no body at all from a useless one: %i', async (status) => {
    const { client, request } = prepare(() => new Response(null, { status }));
    expect(await client.send(request)).toMatchObject({ kind: 'answer', status, body: 'empty' });
  });

  it('reads a body of exactly 4 MiB', async () => {
    const { client, request } = prepare(() => new Response(`"${'x'.repeat(4 * 1024 * 1024 - 2)}"`));
    expect(await client.send(request)).not.toMatchObject({ body: 'unparsable' });
  });

  it.each([
    ['ECONNREFUSED', false],
    ['ENOTFOUND', false],
    ['UND_ERR_CONNECT_TIMEOUT', false],
    ['ECONNRESET', true],
    ['UND_ERR_SOCKET', true],
    ['SOMETHING_ELSE', true],
  ])('says of %s whether the request may have been sent: %s', async (code, maybeSent) => {
    const { client, request } = prepare(fail(code));
    expect(await client.send(request)).toEqual({ kind: 'network-failure', maybeSent, code });
  });

  it('gives one request 5 s, and never more than the deadline', async () => {
    const { client, clock, request } = prepare(hang);
    const startMs = clock.now();

    expect(await client.send(request)).toEqual({ kind: 'timeout' });
    expect(clock.now() - startMs).toBe(5_000);

    expect(await client.send({ ...request, deadlineMs: clock.now() + 700 })).toEqual({ kind: 'timeout' });
    expect(clock.now() - startMs).toBe(5_700);
  });

  it('times out although the transport ignores its signal, also in the middle of a body', async () => {
    const stuck = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode('{"a":')) });
    const { client, request } = prepare(() => new Response(stuck));
    expect(await client.send(request)).toEqual({ kind: 'timeout' });
  });

  it('sends nothing once the deadline is past, or when it is not admitted', async () => {
    const { client, clock, network, request } = prepare(() => json(200, {}));

    expect(await client.send({ ...request, deadlineMs: clock.now() })).toEqual({ kind: 'not-sent' });
    expect(await client.send(request, async () => false)).toEqual({ kind: 'not-sent' });
    expect(network.requests).toHaveLength(0);
  });

  it('SCENARIO 24: does not wait for a place beyond the moment from which on it must not leave', async () => {
    const { client, clock, network, request } = prepare(hang, 1);
    const startMs = clock.now();
    const first = client.send(request);

    expect(await client.send({ ...request, sendByMs: startMs + 1_000 })).toEqual({ kind: 'not-sent' });

    expect(clock.now() - startMs).toBe(1_000);
    await first;
    expect(network.requests).toHaveLength(1);
  });

  it('asks for admission only when a place is free', async () => {
    const { client, clock, request } = prepare(async () => {
      await clock.sleep(1_000);
      return json(200, {});
    }, 1);
    const startMs = clock.now();
    const admittedAt: number[] = [];
    const admit = async () => admittedAt.push(clock.now() - startMs) > 0;

    await Promise.all([client.send(request, admit), client.send(request, admit), client.send(request, admit)]);

    expect(admittedAt).toEqual([0, 1_000, 2_000]);
  });

  it('reports each request sent with its latency and status', async () => {
    const { client, clock, request, observations } = prepare(async () => {
      await clock.sleep(30);
      return json(503, {});
    });
    await client.send(request);
    expect(observations).toEqual([{ outcome: 'answer', status: 503, latencyMs: 30 }]);
  });
});

describe('pathSegment', () => {
  it.each([
    ['sess_1', 'sess_1'],
    ['a:b@c', 'a%3Ab%40c'],
    ['a/../b', 'a%2F..%2Fb'],
    ['a?b#c', 'a%3Fb%23c'],
    ['ü', '%C3%BC'],
  ])('SCENARIO 39: encodes %s', (id, expected) => {
    expect(pathSegment(id)).toBe(expected);
  });

  it.each(['', '.', '..'])('refuses "%s", which no encoding can protect', (id) => {
    expect(() => pathSegment(id)).toThrow(RangeError);
  });
});
