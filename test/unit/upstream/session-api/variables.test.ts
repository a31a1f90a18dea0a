import { describe, expect, it } from 'vitest';
import type { UpstreamCall, VariablesRequest } from '../../../../lib/operations/ports/cognigy.ts';
import { hang, html, inTurn, json, type Reply } from '../../../fixtures/upstream/scriptedFetch.ts';
import { startSessionApi } from './startSessionApi.ts';

const TOKEN_PATH = '/api/v2/auth/token';
const PATH = '/api/v2/botsessions/sess_1/variables';
const VARIABLE = { name: 'tier', value: 'gold', scope: 'user' } as const;

const shows =
  (variables: unknown, more: object = {}): Reply =>
  () =>
    json(200, { variables, ...more });
const status =
  (code: number, headers: Record<string, string> = {}): Reply =>
  () =>
    json(code, { error: 'no' }, headers);
const text =
  (body: string): Reply =>
  () =>
    new Response(body);
/** Pages that follow one another by number. */
const pages = (count: number): Reply => {
  return ({ url }) => {
    const page = Number(new URL(url).searchParams.get('page') ?? 1);
    const variables = [{ name: `n${page}`, value: String(page), scope: 'session' }];
    return json(200, { variables, ...(page < count && { pagination: { nextPage: page + 1 } }) });
  };
};

function prepare(answer: Reply = shows([VARIABLE]), options: { readonly maxConcurrent?: number } = {}) {
  let issued = 0;
  const session = startSessionApi((request, signal) => {
    if (request.path !== TOKEN_PATH) return answer(request, signal);
    issued += 1;
    return json(200, { access_token: `tok-${issued}`, token_type: 'Bearer', expires_in: 3600 });
  }, options);
  const { reads, call, network } = session;
  const read = (overrides: Partial<UpstreamCall> = {}, request: Partial<VariablesRequest> = {}) =>
    reads.readVariables({ sessionId: 'sess_1', ...request }, call(overrides));
  const queries = () => network.to(PATH).map(({ url }) => new URL(url).search);
  return { ...session, read, queries };
}

const afterwards = () => new Promise(setImmediate);

describe('Method: readVariables, the requests', () => {
  it('asks once, with the surface’s own token and scopes', async () => {
    const { read, network } = prepare();

    expect(await read()).toEqual({
      kind: 'read',
      characters: 8,
      variables: [VARIABLE],
      pages: 1,
      attempts: 1,
      upstreamStatus: 200,
    });

    const [token, get] = network.requests;
    expect(token?.path).toBe(TOKEN_PATH);
    expect(new URLSearchParams(token?.body).get('scope')).toBe('bot:read session:read variable:read');
    expect(get).toMatchObject({ method: 'GET', url: `https://cognigy.test${PATH}`, body: '', redirect: 'manual' });
    expect(get?.headers.get('authorization')).toBe('Bearer tok-1');
    expect(get?.headers.get('x-correlation-id')).toBe('corr-1');
  });

  it.each<[Partial<VariablesRequest>, string]>([
    [{}, ''],
    [{ includeSystem: false }, ''],
    [{ includeSystem: true }, '?includeSystem=true'],
    [{ scope: 'bot' }, '?scope=bot'],
    [{ name: 'a&scope=user#x y/ü+%' }, '?name=a%26scope%3Duser%23x+y%2F%C3%BC%2B%25'],
    [{ name: 'n', scope: 'user', includeSystem: true }, '?name=n&scope=user&includeSystem=true'],
  ])('passes filters on, encoded: %j', async (request, query) => {
    const { read, queries } = prepare();
    await read({}, request);
    expect(queries()).toEqual([query]);
  });

  it('SCENARIO 39: percent-encodes the session id', async () => {
    const { read, network } = prepare();
    await read({}, { sessionId: 'a:b@c~d/../e?x#y' });
    expect(network.requests.at(-1)?.url).toBe(
      'https://cognigy.test/api/v2/botsessions/a%3Ab%40c~d%2F..%2Fe%3Fx%23y/variables',
    );
  });
});

describe('Pages', () => {
  it('are followed by number to the end, filters and all', async () => {
    const { read, queries } = prepare(pages(3));
    const result = await read({}, { scope: 'session' });
    expect(result).toMatchObject({ kind: 'read', pages: 3, attempts: 3 });
    expect(result.kind === 'read' && result.variables.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3']);
    expect(queries()).toEqual(['?scope=session', '?scope=session&page=2', '?scope=session&page=3']);
  });

  it('are followed by cursor to the end, encoded', async () => {
    const { read, queries } = prepare(
      inTurn(
        shows([VARIABLE], { pagination: { nextCursor: 'a+b/=&' } }),
        shows([], { pagination: { nextCursor: 'c', nextPage: 9 } }),
        shows([], { pagination: { nextCursor: null, nextPage: null } }),
      ),
    );
    expect(await read()).toMatchObject({ kind: 'read', pages: 3, variables: [VARIABLE] });
    expect(queries()).toEqual(['', '?cursor=a%2Bb%2F%3D%26', '?cursor=c']);
  });

  it.each([undefined, null, {}, { nextPage: null }, { nextCursor: '' }, { total: 3 }])(
    'end with pagination %j',
    async (pagination) => {
      expect(await prepare(shows([], { pagination })).read()).toMatchObject({ kind: 'read', pages: 1 });
    },
  );

  it.each([
    ['a page that was read', { nextPage: 2 }],
    ['a cursor that was followed', { nextCursor: 'x' }],
    ['a page that is no number', { nextPage: 'two' }],
    ['half a page', { nextPage: 1.5 }],
    ['page zero', { nextPage: 0 }],
    ['a cursor that is no text', { nextCursor: 7 }],
    ['a list', []],
    ['a text', 'more'],
  ])('SCENARIO 22: that lead to %s make no sense', async (_what, pagination) => {
    expect(await prepare(shows([], { pagination })).read()).toMatchObject({
      kind: 'refused',
      code: 'upstream-bad-response',
    });
  });

  it('are a thousand at the most', async () => {
    let page = 0;
    const { reads, governor, call, startMs } = prepare(() => {
      page += 1;
      return json(200, { variables: [], pagination: { nextCursor: `c${page}` } });
    });
    governor.acquire = async () => ({ granted: true, permit: { release: async () => {} } });
    const result = await reads.readVariables({ sessionId: 'sess_1' }, call({ deadlineMs: startMs + 1e9 }));
    expect(result).toMatchObject({ kind: 'refused', code: 'upstream-bad-response', attempts: 1_000 });
  });

  it('are given up when together they are more than an answer can hold', async () => {
    let pages = 0;
    const { read } = prepare(() => {
      pages += 1;
      return json(200, {
        variables: [{ name: `n${pages}`, value: 'x'.repeat(2_500_000), scope: 'session' }],
        pagination: { nextPage: pages + 1 },
      });
    });
    expect(await read()).toMatchObject({ kind: 'too-large', attempts: 3 });
  });

  it('are read to the end or not at all', async () => {
    const ended = prepare(inTurn(shows([VARIABLE], { pagination: { nextPage: 2 } }), status(404)));
    expect(await ended.read()).toMatchObject({ kind: 'refused', code: 'session-ended' });
    const late = prepare(inTurn(shows([VARIABLE], { pagination: { nextPage: 2 } }), hang));
    expect(await late.read()).toMatchObject({ kind: 'unavailable', reason: 'timeout', outcomeUnknown: false });
  });
});

describe('Pages that are expected', () => {
  const names = (result: Awaited<ReturnType<ReturnType<typeof prepare>['read']>>) =>
    result.kind === 'read' ? result.variables.map(({ name }) => name) : result.kind;

  it('are asked for together, and taken in their order', async () => {
    let underWay = 0;
    let most = 0;
    const { read, queries } = prepare(async (request, signal) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await afterwards();
      underWay -= 1;
      return pages(5)(request, signal);
    });
    const result = await read({}, { expectedPages: Promise.resolve(5) });
    expect(names(result)).toEqual(['n1', 'n2', 'n3', 'n4', 'n5']);
    expect(result).toMatchObject({ pages: 5, attempts: 5 });
    expect(most).toBe(4);
    expect(queries().sort()).toEqual(['', '?page=2', '?page=3', '?page=4', '?page=5']);
  });

  const byCursor: Reply = ({ url }) => {
    const { searchParams } = new URL(url);
    const [page, cursor] = [Number(searchParams.get('page') ?? 1), searchParams.get('cursor')];
    const pagination = page === 1 && cursor === null ? { nextPage: 2 } : { nextCursor: cursor === null ? 'c' : null };
    return json(200, { variables: [], pagination });
  };

  it.each<[string, Reply, number]>([
    ['all of them', pages(12), 12],
    ['those that are let go, and the one that comes instead', byCursor, 3],
  ])('are five under way at the most, whatever an instance may have: %s', async (_what, answer, count) => {
    // Prepare
    let underWay = 0;
    let most = 0;
    const { read, governor, clock } = prepare(
      async (request, signal) => {
        underWay += 1;
        most = Math.max(most, underWay);
        // The later a page, the longer it takes: those that are let go are still under way.
        const page = Number(new URL(request.url).searchParams.get('page') ?? 1);
        await clock.sleep(10 * page);
        underWay -= 1;
        return answer(request, signal);
      },
      { maxConcurrent: 20 },
    );
    governor.acquire = async () => ({ granted: true, permit: { release: async () => {} } });

    // Act
    const result = await read({}, { expectedPages: Promise.resolve(12) });

    // Assess
    expect(result).toMatchObject({ kind: 'read', pages: count });
    expect(most).toBeGreaterThanOrEqual(2);
    expect(most).toBeLessThanOrEqual(5);
  });

  it.each([
    ['fewer than there are', 3, 5],
    ['more than there are', 5, 3],
    ['very many more', 40, 2],
    ['one of several', 1, 3],
  ])('are no more than a guess: %s', async (_what, expectedPages, count) => {
    const { read } = prepare(pages(count));
    const result = await read({}, { expectedPages: Promise.resolve(expectedPages) });
    expect(names(result)).toEqual(Array.from({ length: count }, (_, index) => `n${index + 1}`));
    expect(result).toMatchObject({ pages: count });
  });

  it('that are not there any more may be answered as they like', async () => {
    const { read } = prepare((request, signal) => {
      const page = Number(new URL(request.url).searchParams.get('page') ?? 1);
      return page > 2 ? json(400, { error: 'no such page' }) : pages(2)(request, signal);
    });
    expect(await read({}, { expectedPages: Promise.resolve(4) })).toMatchObject({ kind: 'read', pages: 2 });
  });

  it('are let go where the upstream goes on by cursor, or leaves numbers out', async () => {
    const { read } = prepare((request) => {
      const { searchParams } = new URL(request.url);
      const page = searchParams.get('page') ?? searchParams.get('cursor') ?? '1';
      const next: Record<string, object> = { 1: { nextPage: 2 }, 2: { nextCursor: 'c' }, c: { nextPage: 7 } };
      return json(200, {
        variables: [{ name: `n${page}`, value: '1', scope: 'session' }],
        ...(next[page] && { pagination: next[page] }),
      });
    });
    expect(names(await read({}, { expectedPages: Promise.resolve(4) }))).toEqual(['n1', 'n2', 'nc', 'n7']);
  });

  it('renew a token that has died, each for itself', async () => {
    const { read } = prepare((request, signal) =>
      request.headers.get('authorization') === 'Bearer tok-1' && request.url.includes('page=')
        ? json(401, {})
        : pages(4)(request, signal),
    );
    expect(names(await read({}, { expectedPages: Promise.resolve(4) }))).toEqual(['n1', 'n2', 'n3', 'n4']);
  });
});

describe('Permits', () => {
  it('of a third page are asked for ahead, and what was not needed goes back', async () => {
    const { read, permitsTaken, rates } = prepare(pages(3));
    expect(await read()).toMatchObject({ kind: 'read', attempts: 3 });
    await afterwards();
    expect(permitsTaken() - rates.calls.release).toBe(3);
  });

  it('one is all that one page takes', async () => {
    const { read, permitsTaken, rates } = prepare();
    await read();
    await afterwards();
    expect([permitsTaken(), rates.calls.release]).toEqual([1, 0]);
  });
});

describe('What was promised', () => {
  it('values come as they are, with their types where the upstream says them', async () => {
    const variables = [
      { name: 'a', value: '1', scope: 'global', type: 'number' },
      { name: 'b', value: 1, scope: 'bot' },
      { name: '__proto__', value: null, scope: 'session', more: 1 },
      { name: 'c', value: { d: [] }, scope: 'user', type: 7 },
    ];
    const result = await prepare(shows(variables)).read();
    expect(result.kind === 'read' && result.variables).toEqual([
      variables[0],
      variables[1],
      { name: '__proto__', value: null, scope: 'session' },
      { name: 'c', value: { d: [] }, scope: 'user' },
    ]);
  });

  it.each<[string, Reply]>([
    ['HTML', () => html(200)],
    ['cut-off JSON', text('{"variables":[')],
    ['nothing', text('')],
    ['a list', text('[]')],
    ['no list', shows(undefined)],
    ['an object for a list', shows({})],
    ['an entry that is null', shows([VARIABLE, null])],
    ['an entry that is a list', shows([['tier', 'gold', 'user']])],
    ['an entry without a name', shows([{ value: '1', scope: 'user' }])],
    ['a name that is a number', shows([{ name: 1, value: '1', scope: 'user' }])],
    ['an entry without a scope', shows([{ name: 'a', value: '1' }])],
    ['an unknown scope', shows([{ name: 'a', value: '1', scope: 'dialog' }])],
    ['a scope out of the prototype', shows([{ name: 'a', value: '1', scope: 'constructor' }])],
    ['an entry without a value', shows([{ name: 'a', scope: 'user' }])],
    ['another session', shows([], { sessionId: 'sess_2' })],
    ['a number that would be rounded', text('{"variables":[{"name":"a","scope":"user","value":9007199254740993}]}')],
    ['too deep', text(`{"variables":[{"name":"a","scope":"user","value":${'['.repeat(600)}${']'.repeat(600)}}]}`)],
    ['202', () => json(202, { variables: [] })],
    ['204', () => new Response(null, { status: 204 })],
  ])('SCENARIO 22: %s is not it', async (_what, reply) => {
    expect(await prepare(reply).read()).toMatchObject({ kind: 'refused', code: 'upstream-bad-response' });
  });

  it.each([
    [400, 'upstream-rejected'],
    [403, 'upstream-forbidden'],
    [404, 'session-ended'],
    [410, 'session-ended'],
    [307, 'upstream-bad-response'],
  ])('SCENARIO 18, 20, 23: %i ends it as %s', async (code, expected) => {
    const { read, queries } = prepare(status(code, { location: 'https://evil.test/' }));
    expect(await read()).toEqual({ kind: 'refused', code: expected, attempts: 1, upstreamStatus: code });
    expect(queries()).toHaveLength(1);
  });

  it('SCENARIO 18: a 401 renews the token once for all pages', async () => {
    const once = prepare(inTurn(shows([], { pagination: { nextPage: 2 } }), status(401), shows([])));
    expect(await once.read()).toMatchObject({ kind: 'read', pages: 2, attempts: 3 });
    const twice = prepare(status(401));
    expect(await twice.read()).toMatchObject({ kind: 'refused', code: 'upstream-unauthorized', attempts: 2 });
  });
});
