import { describe, expect, it } from 'vitest';
import { type DialogChange, dialogDigest } from '../../../../lib/context/dialogState.ts';
import type { DialogRequest } from '../../../../lib/operations/ports/cognigy.ts';
import { hang, json, type Reply } from '../../../fixtures/upstream/scriptedFetch.ts';
import { startSessionApi } from './startSessionApi.ts';

const PATH = '/runtime/v2/dialogs/sess_1/state';
const CHANGE: DialogChange = { session: { a: 1 }, transition: { nextStep: 'next' } };

const state =
  (version: number, session: object = {}, headers: Record<string, string> = { etag: `"${version}"` }): Reply =>
  () =>
    json(200, { session, user: {}, version }, headers);
const text =
  (body: string, headers: Record<string, string> = {}): Reply =>
  () =>
    new Response(body, { headers });

/** A tenant that answers reads and changes as told. */
function prepare({
  get = state(1),
  patch = state(2, { a: 1 }),
}: {
  readonly get?: Reply;
  readonly patch?: Reply;
} = {}) {
  const { port, call, network } = startSessionApi((request, signal) =>
    (request.method === 'GET' ? get : patch)(request, signal),
  );
  const update = (more: Partial<DialogRequest> = {}) =>
    port.updateDialog(
      { sessionId: 'sess_1', change: CHANGE, believed: async () => ({ session: {}, user: {}, ofBot: {} }), ...more },
      call(),
    );
  const sent = () => network.to(PATH).map(({ method, headers }) => [method, headers.get('if-match')]);
  return { port, network, update, sent };
}

describe('The dialog-state surface', () => {
  it('has a token of its own, by HTTP Basic, with its own scopes', async () => {
    const { update, network } = prepare();
    await update();
    const [token] = network.to('/oauth/token');
    expect(token?.headers.get('authorization')).toMatch(/^Basic /);
    const form = new URLSearchParams(token?.body);
    expect(form.get('scope')).toBe('runtime:write session:manage dialog:read');
    expect(form.has('client_secret')).toBe(false);
  });

  it.each<[string, DialogChange]>([
    ['variables', { session: { a: 'Zürich 🚀' }, user: { b: [1, null] } }],
    ['a transition', { transition: { nextStep: 'weiter' } }],
    ['all of it', { user: {}, session: { a: 1 }, transition: { nextStep: 'x' } }],
  ])('SCENARIO 28: is sent only what is there, and dialogBytes counts it exactly: %s', async (_what, change) => {
    const { port, network, update } = prepare();
    await update({ change });
    const body = network.to(PATH)[0]?.body ?? '';
    expect(JSON.parse(body)).toEqual(change);
    expect(port.dialogBytes(change)).toBe(new TextEncoder().encode(body).byteLength);
  });

  it('is told the tag exactly as it was given, a weak one too', async () => {
    const { update, sent } = prepare();
    await update({ known: { etag: 'W/"a b"' } });
    expect(sent()).toEqual([['PATCH', 'W/"a b"']]);
  });

  it('learns version, tag and digest from the answer; without a tag, the version is one', async () => {
    const { update } = prepare({ patch: state(8, { a: 1 }, {}) });
    expect(await update()).toMatchObject({
      kind: 'confirmed',
      dialog: { etag: '"8"', version: 8, digest: expect.any(String) },
    });
  });

  it.each<[string, Reply]>([
    ['HTML', text('<html>')],
    ['cut off', text('{"session":{')],
    ['empty', text('')],
    ['a list', () => json(200, [])],
    ['an object that says nothing of the dialog', () => json(200, { ok: true })],
    ['nothing (204)', () => new Response(null, { status: 204 })],
  ])('SCENARIO 22: reads what became of a change that was answered 200 with %s', async (_what, patch) => {
    const made = prepare({ patch, get: state(2, { a: 1 }) });
    expect(await made.update()).toMatchObject({ kind: 'confirmed', result: { version: 2 } });
    expect(made.sent().map(([method]) => method)).toEqual(['PATCH', 'GET']);
  });

  it('is not believed, but asked again later, where it says for ever that it is done and shows nothing', async () => {
    const { update, sent } = prepare({ patch: text('ok'), get: state(1) });
    expect(await update({ known: { etag: '"1"', version: 1 } })).toMatchObject({
      kind: 'unavailable',
      outcomeUnknown: true,
    });
    expect(sent().filter(([method]) => method === 'PATCH').length).toBeLessThanOrEqual(4);
  });

  it.each<[string, Reply]>([
    ['HTML', text('<html>')],
    ['no version', () => json(200, { session: {}, user: {} })],
    ['a version that is no number', () => json(200, { session: {}, user: {}, version: '7' })],
    ['no variables', () => json(200, { version: 7 })],
  ])('SCENARIO 22: a read that is answered with %s is none', async (_what, get) => {
    const { update } = prepare({ get });
    expect(await update({ known: { etag: '"1"' }, isOutdated: true })).toMatchObject({
      kind: 'refused',
      code: 'upstream-bad-response',
    });
  });

  it('SCENARIO 10: while it is not known whether a change was made, trouble on the way there does not end it', async () => {
    for (const status of [403, 401, 500]) {
      const { update } = prepare({ get: () => json(status, {}) });
      expect(await update({ isUnknown: true }), String(status)).toMatchObject({
        kind: 'unavailable',
        outcomeUnknown: true,
      });
    }
    for (const status of [400, 405, 409]) {
      const { update } = prepare({ get: () => json(status, {}) });
      // Nobody will ever know: it must not block what comes after it.
      expect(await update({ isUnknown: true }), String(status)).toMatchObject({
        kind: 'refused',
        code: 'conflict',
        paths: ['/session/a', '/transition'],
      });
    }
    const gone = prepare({ get: () => json(404, {}) });
    expect(await gone.update({ isUnknown: true })).toMatchObject({ kind: 'refused', code: 'session-ended' });
  });

  it('copes with a state that cannot be hashed', async () => {
    const get = text('{"session":{"b":"\\ud800"},"user":{},"version":1}', { etag: '"1"' });
    const { update } = prepare({ get });
    expect(await update({ known: { etag: '"0"' }, isOutdated: true })).toMatchObject({ kind: 'confirmed' });
  });

  it('gives up a race that it loses every time, with the paths in dispute', async () => {
    let version = 1;
    const { update, sent } = prepare({ get: (...given) => state(++version)(...given), patch: () => json(412, {}) });
    expect(await update({ known: { etag: '"1"' } })).toMatchObject({
      kind: 'refused',
      code: 'conflict',
      paths: ['/session/a', '/transition'],
    });
    expect(sent().filter(([method]) => method === 'PATCH')).toHaveLength(4);
  });

  describe('A change that is made after we have given up on it', () => {
    /** Of the first change nothing is heard; it is made when the second one arrives. */
    function lateTenant(startsAt: number) {
      let version = startsAt;
      let values: object = {};
      const steps: string[] = [];
      let held: (() => void) | undefined;
      const make = (body: string, ifMatch: string | null) => {
        if (ifMatch !== null && ifMatch !== `"${version}"`) return false;
        const { session, transition } = JSON.parse(body);
        values = { ...values, ...session };
        steps.push(transition.nextStep);
        version += 1;
        return true;
      };
      const get: Reply = (...given) => state(version, values)(...given);
      const patch: Reply = (request, signal) => {
        const body = request.body ?? '';
        const ifMatch = request.headers.get('if-match');
        if (held === undefined) {
          held = () => make(body, ifMatch);
          return hang(request, signal);
        }
        held();
        held = () => {};
        return make(body, ifMatch) ? state(version, values)(request, signal) : json(412, {});
      };
      return { get, patch, steps };
    }

    it.each([
      ['with variables', CHANGE],
      ['alone', { transition: { nextStep: 'next' } }],
    ])('is recognised by what it has changed, and not made again: a transition %s', async (_what, change) => {
      const { steps, ...replies } = lateTenant(2);
      const { update } = prepare(replies);
      const known = { etag: '"2"', version: 2, digest: dialogDigest({ session: {}, user: {} }) };
      expect(await update({ change, known })).toMatchObject({ kind: 'confirmed' });
      expect(steps).toEqual(['next']);
    });

    it('is recognised where the client insists on a version, too', async () => {
      const { steps, ...replies } = lateTenant(2);
      const { update } = prepare(replies);
      expect(await update({ ifMatch: '"2"' })).toMatchObject({ kind: 'confirmed' });
      expect(steps).toEqual(['next']);
    });

    it('that left without a version is waited for: what comes next is for a later push', async () => {
      const { steps, ...replies } = lateTenant(2);
      const { update, sent } = prepare(replies);
      const given = await update();
      expect(given).toMatchObject({ kind: 'unavailable', outcomeUnknown: true, dialog: { etag: '"2"', version: 2 } });
      expect(sent().map(([method]) => method)).toEqual(['PATCH', 'GET']);
      expect(steps).toEqual([]);
    });
  });

  it('shows of the dialog what the change is about, and not what else is there', async () => {
    const { update } = prepare({ patch: state(2, { a: 1, otp: '1234' }) });
    expect(await update()).toMatchObject({ kind: 'confirmed', result: { session: { a: 1 }, user: {}, version: 2 } });
  });
});
