import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyStandardWebhook } from '../../../lib/events/standardWebhooks.ts';

/** The standard's own example, as its libraries test it. */
const EXAMPLE = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestamp: '1614265330',
  body: '{"test": 2432232314}',
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
} as const;
const NOW_MS = 1_614_265_330_000;
const SECRET: string = EXAMPLE.secret;
const NEXT_SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;

interface Message {
  readonly id: string;
  readonly timestamp: string;
  readonly body: string | Uint8Array;
}

const MESSAGE: Message = { id: EXAMPLE.id, timestamp: EXAMPLE.timestamp, body: EXAMPLE.body };
const bytesOf = (body: string | Uint8Array) => (typeof body === 'string' ? Buffer.from(body, 'utf8') : body);

/** As the standard describes it, over bytes, and without its library. */
function signatureOf({ id, timestamp, body }: Message, secret = SECRET): string {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(bytesOf(body)).digest('base64')}`;
}

function verify(message: Message, signature = signatureOf(message), secrets: readonly string[] = [SECRET]) {
  const headers = new Map([
    ['webhook-id', message.id],
    ['webhook-timestamp', message.timestamp],
    ['webhook-signature', signature],
  ]);
  return verifyStandardWebhook({ headers, rawBody: bytesOf(message.body) }, secrets, NOW_MS);
}

const OK = { ok: true };
const refused = (reason: string) => ({ ok: false, reason });
const at = (seconds: number | string): Message => ({ ...MESSAGE, timestamp: String(seconds) });
const NOW_SECONDS = NOW_MS / 1_000;

describe('verifyStandardWebhook (SCENARIO 37)', () => {
  it('takes the example of the standard', () => {
    expect(verify(MESSAGE, EXAMPLE.signature)).toEqual(OK);
    expect(signatureOf(MESSAGE)).toBe(EXAMPLE.signature);
  });

  it.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('missing: without %s', (name) => {
    const headers = new Map([
      ['webhook-id', MESSAGE.id],
      ['webhook-timestamp', MESSAGE.timestamp],
      ['webhook-signature', EXAMPLE.signature],
    ]);
    headers.delete(name);
    const rawBody = bytesOf(MESSAGE.body);
    expect(verifyStandardWebhook({ headers, rawBody }, [SECRET], NOW_MS)).toEqual(refused('missing'));
  });

  const [, digest] = EXAMPLE.signature.split(',');
  it.each([
    ['empty', ''],
    ['of no version', `${digest}`],
    ['of a version and nothing else', 'v1,'],
    ['a version alone', 'v1'],
    ['not base64', 'v1,*** not base64 ***'],
    ['hexadecimal', `v1,${Buffer.from(digest ?? '', 'base64').toString('hex')}`],
    ['of another version', `v1a,${digest} v2,${digest} V1,${digest}`],
    ['with something behind it', `${EXAMPLE.signature},`],
    ['of the wrong length: cut', EXAMPLE.signature.slice(0, 8)],
    ['of the wrong length: one less', EXAMPLE.signature.slice(0, -1)],
    ['of the wrong length: one more', `${EXAMPLE.signature}A`],
    ['of the wrong length: twice', `${EXAMPLE.signature}${digest}`],
    ['very long', `v1,${'A'.repeat(100_000)}`],
    ['not ASCII', 'v1,ﬀ\u0000é'],
    ['separated by what does not separate', `x,${EXAMPLE.signature}`],
  ])('malformed: %s', (_what, signature) => expect(verify(MESSAGE, signature)).toEqual(refused('mismatch')));

  it.each([
    ['the first', [EXAMPLE.signature, 'v1,AAAA']],
    ['the last', ['v1,AAAA', 'v2,AAAA', EXAMPLE.signature]],
    ['with spaces around', ['', EXAMPLE.signature, '', '']],
  ])('one of several signatures that fits is enough: %s', (_what, signatures) => {
    expect(verify(MESSAGE, signatures.join(' '))).toEqual(OK);
  });

  it('during a rotation either secret is accepted, after it only the one that is left', () => {
    const old = signatureOf(MESSAGE, SECRET);
    const next = signatureOf(MESSAGE, NEXT_SECRET);
    expect([old, next].map((signature) => verify(MESSAGE, signature, [SECRET, NEXT_SECRET]))).toEqual([OK, OK]);
    expect([old, next].map((signature) => verify(MESSAGE, signature, [NEXT_SECRET, SECRET]))).toEqual([OK, OK]);
    expect(verify(MESSAGE, old, [NEXT_SECRET])).toEqual(refused('mismatch'));
    expect(verify(MESSAGE, next, [NEXT_SECRET])).toEqual(OK);
    expect(verify(MESSAGE, `${old} ${next}`, [NEXT_SECRET])).toEqual(OK);
  });

  it.each([
    ['6 minutes old', NOW_SECONDS - 360],
    ['6 minutes early', NOW_SECONDS + 360],
    ['301 seconds old', NOW_SECONDS - 301],
    ['301 seconds early', NOW_SECONDS + 301],
    ['of the beginning of time', 0],
    ['far away', '999999999999'],
  ])('stale: %s, although the signature fits', (_what, seconds) => {
    expect(verify(at(seconds))).toEqual(refused('stale'));
  });

  it.each([-300, -299, 0, 299, 300])('not stale: %i seconds from now', (seconds) => {
    expect(verify(at(NOW_SECONDS + seconds))).toEqual(OK);
  });

  it('looks at milliseconds of its own clock', () => {
    const headers = new Map([
      ['webhook-id', MESSAGE.id],
      ['webhook-timestamp', MESSAGE.timestamp],
      ['webhook-signature', EXAMPLE.signature],
    ]);
    const after = (ms: number) =>
      verifyStandardWebhook({ headers, rawBody: bytesOf(MESSAGE.body) }, [SECRET], NOW_MS + ms);
    expect([300_000, 300_001, -300_000, -300_001, Number.NaN].map((ms) => after(ms).ok)).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
  });

  it.each([
    '',
    ' ',
    'NaN',
    'Infinity',
    'now',
    `-${NOW_SECONDS}`,
    `+${NOW_SECONDS}`,
    `${NOW_SECONDS}.0`,
    `${NOW_SECONDS}.5`,
    `0${NOW_SECONDS}`,
    ` ${NOW_SECONDS}`,
    `${NOW_SECONDS}\n`,
    `${NOW_SECONDS}x`,
    '1.614265330e9',
    '1e9',
    String(NOW_MS),
    `0x${NOW_SECONDS.toString(16)}`,
    '1'.repeat(400),
    '2021-02-25T15:02:10Z',
    '１６１４２６５３３０',
  ])('a timestamp that is no number of whole seconds: %j, although the signature fits', (timestamp) => {
    expect(verify(at(timestamp))).toEqual(refused('malformed'));
  });

  it.each(['', ' ', 'a b', 'a\nb', 'ä', 'x'.repeat(257)])('an id that is none: %j', (id) => {
    expect(verify({ ...MESSAGE, id })).toEqual(refused('malformed'));
  });

  it.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['umlauts and emoji', '{"message":"Grüße 👋"}'],
    ['a byte order mark', '\uFEFF{}'],
    ['U+0000 and U+FFFD', '\u0000\uFFFD'],
    ['no JSON at all', '{"a":'],
    ['many bytes', Buffer.alloc(1_000_000, 'ä')],
  ])('a body of %s is signed as it is', (_what, body) => expect(verify({ ...MESSAGE, body })).toEqual(OK));

  it.each([
    ['a lone byte', Buffer.from([0x7b, 0xff, 0x7d])],
    ['a cut character', Buffer.from([0xc3])],
    ['an overlong form', Buffer.from([0xc0, 0xaf])],
    ['a lone surrogate', Buffer.from([0xed, 0xa0, 0x80])],
  ])('bytes that are not UTF-8 do not verify, and throw nothing: %s', (_what, body) => {
    const asText = signatureOf({ ...MESSAGE, body: body.toString('utf8') });
    expect(verify({ ...MESSAGE, body }, asText)).toEqual(refused('mismatch'));
    expect(verify({ ...MESSAGE, body })).toEqual(refused('mismatch'));
  });

  it.each([
    ['another order of members', '{"b":1,"a":2}', '{"a":2,"b":1}'],
    ['a space', '{"a":1}', '{"a": 1}'],
    ['another form of the same character', '"\u00e9"', '"e\u0301"'],
    ['a byte order mark', '{}', '\uFEFF{}'],
  ])('the bytes count, not what they mean: %s', (_what, signed, sent) => {
    expect(verify({ ...MESSAGE, body: sent }, signatureOf({ ...MESSAGE, body: signed }))).toEqual(refused('mismatch'));
  });

  it('nobody is let in where there are no secrets', () => {
    expect(verify(MESSAGE, EXAMPLE.signature, [])).toEqual(refused('mismatch'));
  });

  it('takes what was signed, whatever it is', () => {
    const secret = fc.uint8Array({ minLength: 16, maxLength: 64 });
    fc.assert(
      fc.property(secret, fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[\w.-]{1,64}$/), (key, body, id) => {
        const message = { ...MESSAGE, id, body };
        const text = `whsec_${Buffer.from(key).toString('base64')}`;
        expect(verify(message, signatureOf(message, text), [text])).toEqual(OK);
      }),
    );
  });

  it('refuses whatever differs by one bit: in the id, the timestamp, the body or the signature', () => {
    const parts = {
      id: MESSAGE.id,
      timestamp: MESSAGE.timestamp,
      body: EXAMPLE.body,
      signature: EXAMPLE.signature,
    } as const;
    const changes = Object.entries(parts).flatMap(([name, text]) =>
      Array.from({ length: text.length * 8 }, (_, bit) => ({ name, bit })),
    );
    for (const { name, bit } of changes) {
      const changed = (part: keyof typeof parts) => {
        const bytes = Buffer.from(parts[part], 'latin1');
        if (part === name) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        return bytes;
      };
      const message = {
        id: changed('id').toString('latin1'),
        timestamp: changed('timestamp').toString('latin1'),
        body: changed('body'),
      };
      expect(verify(message, changed('signature').toString('latin1')).ok, `${name}, bit ${bit}`).toBe(false);
    }
  });
});
