import { describe, expect, it } from 'vitest';
import type { CrmSource, HmacSignature } from '../../../lib/context/crmSource.ts';
import { signCrmCall, verifyCrmSignature } from '../../../lib/events/crmSignatures.ts';

const PLACES = { recordId: '/r', eventId: '/e', occurredAt: '/at', mapping: [] } as const;
const byHmac = (signature: HmacSignature): CrmSource => ({ ...PLACES, name: 'mine', scheme: 'hmac-sha256', signature });

/** A call that its sender has signed: nothing of it was made by the code under test. */
interface Vector {
  readonly source: CrmSource;
  readonly secret: string;
  readonly nowMs: number;
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** HubSpot's own client for Python tests with this one (tests/spec/utils/test_signature.py, test_get_signature__v3). */
const HUBSPOT = {
  source: { ...PLACES, name: 'hubspot', scheme: 'hubspot-v3' },
  secret: 'yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy',
  nowMs: 15_000_000,
  url: 'https://www.example.com/webhook_uri',
  body: "{'example_field':'example_value'}",
  headers: {
    'x-hubspot-request-timestamp': '15000000',
    'x-hubspot-signature-v3': 'HPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw=',
  },
} as const satisfies Vector;

/**
 * The secret and the timestamp are those of Zendesk's pages, which show no signature of the present form:
 * `printf '%s' '2021-03-25T05:09:27Z{"event":"ticket.updated","id":123}' | openssl dgst -sha256 -hmac "$SECRET" -binary | base64`
 */
const ZENDESK = {
  source: { ...PLACES, name: 'zendesk', scheme: 'zendesk' },
  secret: 'dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==',
  nowMs: Date.UTC(2021, 2, 25, 5, 9, 27),
  url: 'https://bridge.example/v1/webhooks/crm/zendesk',
  body: '{"event":"ticket.updated","id":123}',
  headers: {
    'x-zendesk-webhook-signature-timestamp': '2021-03-25T05:09:27Z',
    'x-zendesk-webhook-signature': 'S/RDdU2ERmj7LHDDoWJ2onPYH+t7/f2+LTM4dL7UiLM=',
  },
} as const satisfies Vector;

/** `printf '%s' '1700000000.{"name":"Grüße"}' | openssl dgst -sha256 -hmac 'flow-secret'` */
const TIMED = {
  source: byHmac({ timestampHeader: 'x-signature-timestamp' }),
  secret: 'flow-secret',
  nowMs: 1_700_000_000_000,
  url: 'https://bridge.example/v1/webhooks/crm/mine',
  body: '{"name":"Grüße"}',
  headers: {
    'x-signature-timestamp': '1700000000',
    'x-signature': 'ac024ac59fc4858523ebbd2ba0d6d3ae2ab16eaed7e07b4fa489bc88d11a3822',
  },
} as const satisfies Vector;

/** `printf '%s' '{"name":"Grüße"}' | openssl dgst -sha256 -hmac 'flow-secret'` */
const UNTIMED = {
  ...TIMED,
  source: byHmac({}),
  headers: { 'x-signature': '430a0b083245cb7f17ca5ddb085560ab3d7bd41f8d85bc9fc8c65a6107170468' },
} as const satisfies Vector;

/** `printf '%s' 'msg_1.1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac 'local-dev-secret' -binary | base64` */
const STANDARD = {
  source: { ...PLACES, name: 'generic', scheme: 'standard-webhooks' },
  secret: 'whsec_bG9jYWwtZGV2LXNlY3JldA==',
  nowMs: 1_700_000_000_000,
  url: 'https://bridge.example/v1/webhooks/crm/generic',
  body: '{"id":"evt_1"}',
  headers: {
    'webhook-id': 'msg_1',
    'webhook-timestamp': '1700000000',
    'webhook-signature': 'v1,yE5r7wrdMtpEL5DOam9LuRbK6sjJYTA8JPlpUMxjHfY=',
  },
} as const satisfies Vector;

const OTHER_SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const OK = { ok: true };
const refused = (reason: string) => ({ ok: false, reason });

function verify({ source, secret, nowMs, url, body, headers }: Vector, secrets: readonly string[] = [secret]) {
  const call = { method: 'POST', url, rawBody: Buffer.from(body, 'utf8'), headers: new Map(Object.entries(headers)) };
  return verifyCrmSignature(source, call, secrets, nowMs);
}

/** The vector as its sender would have signed it at another time. */
function signedAt(vector: Vector, nowMs: number): Vector {
  const call = { method: 'POST', url: vector.url, rawBody: Buffer.from(vector.body, 'utf8') };
  const headers = signCrmCall(vector.source, call, vector.secret, { nowMs, messageId: 'msg_1' });
  return { ...vector, headers };
}

const withHeader = (vector: Vector, name: string, value: string): Vector => ({
  ...vector,
  headers: { ...vector.headers, [name]: value },
});

describe.each<[string, Vector, string, string]>([
  ['standard-webhooks', STANDARD, 'webhook-signature', 'webhook-timestamp'],
  ['hubspot-v3', HUBSPOT, 'x-hubspot-signature-v3', 'x-hubspot-request-timestamp'],
  ['zendesk', ZENDESK, 'x-zendesk-webhook-signature', 'x-zendesk-webhook-signature-timestamp'],
  ['hmac-sha256 with a timestamp', TIMED, 'x-signature', 'x-signature-timestamp'],
])('verifyCrmSignature, %s (SCENARIO 37)', (_scheme, vector, signature, timestamp) => {
  const given = new Map(Object.entries(vector.headers)).get(signature) ?? '';

  it('takes what its owner has signed', () => expect(verify(vector)).toEqual(OK));

  it('takes what the signing side signs', () => {
    const signed = signedAt(vector, vector.nowMs);
    expect(Object.keys(signed.headers).sort()).toEqual(Object.keys(vector.headers).sort());
    expect(verify(signed)).toEqual(OK);
  });

  it.each(Object.keys(vector.headers))('missing: without %s', (name) => {
    const headers = Object.fromEntries(Object.entries(vector.headers).filter(([header]) => header !== name));
    expect(verify({ ...vector, headers })).toEqual(refused('missing'));
  });

  it.each([
    ['empty', ''],
    ['a character short', given.slice(0, -1)],
    ['a character long', `${given}A`],
    ['very long', given.repeat(10_000)],
    ['behind a space', ` x${given}`],
    ['with what base64 decoders overlook', `${given.slice(0, 8)}*${given.slice(8)}`],
    ['of another version', `v2,${given}`],
    ['not ASCII', 'ﬀ\u0000é'],
  ])('mismatch, and nothing thrown: a signature that is %s', (_what, text) => {
    expect(verify(withHeader(vector, signature, text))).toEqual(refused('mismatch'));
  });

  it.each(['', ' ', 'NaN', 'now', '-1', '1e3', '0x10', '1'.repeat(20), '2021-02-30T00:00:00Z', '2021-03-25T05:09:27'])(
    'malformed: %j is no time',
    (text) => expect(verify(withHeader(vector, timestamp, text))).toEqual(refused('malformed')),
  );

  it.each([300_000, -300_000])('not stale: signed %i ms from now', (ms) => {
    const { nowMs } = vector;
    expect(verify({ ...signedAt(vector, nowMs), nowMs: nowMs + ms })).toEqual(OK);
  });

  it.each([300_001, -300_001, 86_400_000, Number.NaN])('stale, although the signature fits: %d ms from now', (ms) => {
    const { nowMs } = vector;
    expect(verify({ ...signedAt(vector, nowMs), nowMs: nowMs + ms })).toEqual(refused('stale'));
  });

  it('a time is what was signed, not what is claimed', () => {
    const later = signedAt(vector, vector.nowMs + 60_000);
    const text = new Map(Object.entries(later.headers)).get(timestamp) ?? '';
    expect(verify(withHeader(vector, timestamp, text))).toEqual(refused('mismatch'));
  });

  it('mismatch: another secret, another body', () => {
    expect(verify(vector, [OTHER_SECRET])).toEqual(refused('mismatch'));
    expect(verify({ ...vector, body: `${vector.body} ` })).toEqual(refused('mismatch'));
    expect(verify({ ...vector, body: '' })).toEqual(refused('mismatch'));
  });

  it('during a rotation either of two secrets is accepted', () => {
    expect(verify(vector, [vector.secret, OTHER_SECRET])).toEqual(OK);
    expect(verify(vector, [OTHER_SECRET, vector.secret])).toEqual(OK);
    expect(verify(vector, [vector.secret, vector.secret])).toEqual(OK);
  });

  it.each([[[]], [['']], [['', '']]])('unconfigured: nobody is let in with the secrets %j', (secrets) => {
    expect(verify(vector, secrets)).toEqual(refused('unconfigured'));
  });

  it('an empty secret beside a proper one opens nothing', () => {
    expect(verify(vector, ['', vector.secret])).toEqual(OK);
    expect(verify(vector, ['', OTHER_SECRET])).toEqual(refused('mismatch'));
  });
});

describe('hubspot-v3', () => {
  /**
   * `printf '%s' "POSThttps://bridge.example/v1/crm:hub/a?b=/?@!\$'()*,;&c=%20%25%C3%A4%2B[]1700000000000" |
   *  openssl dgst -sha256 -hmac 'client-secret' -binary | base64`
   */
  const encoded: Vector = {
    ...HUBSPOT,
    secret: 'client-secret',
    nowMs: 1_700_000_000_000,
    url: 'https://bridge.example/v1/crm%3Ahub%2Fa?b=%2f%3F%40%21%24%27%28%29%2A%2c%3b&c=%20%25%C3%A4%2B',
    body: '[]',
    headers: {
      'x-hubspot-request-timestamp': '1700000000000',
      'x-hubspot-signature-v3': 'feDv6KBSsQcP8Y8qvQKN70OPrSnnyIAHBhHxppzQD+E=',
    },
  };

  it('decodes the documented characters of the URL, and no others', () => expect(verify(encoded)).toEqual(OK));

  it.each([
    ['method', { method: 'PUT' }],
    ['path', { url: `${HUBSPOT.url}/` }],
    ['host', { url: HUBSPOT.url.replace('example', 'exampel') }],
    ['protocol', { url: HUBSPOT.url.replace('https', 'http') }],
    ['query', { url: `${HUBSPOT.url}?a=1` }],
  ])('mismatch: another %s', (_what, change) => {
    const headers = new Map(Object.entries(HUBSPOT.headers));
    const call = { method: 'POST', url: HUBSPOT.url, rawBody: Buffer.from(HUBSPOT.body), headers, ...change };
    expect(verifyCrmSignature(HUBSPOT.source, call, [HUBSPOT.secret], HUBSPOT.nowMs)).toEqual(refused('mismatch'));
  });

  it('missing: the signatures of versions 1 and 2, which HubSpot sends along, are not looked at', () => {
    const headers = { 'x-hubspot-signature': '0'.repeat(64), 'x-hubspot-signature-version': 'v2' };
    expect(verify({ ...HUBSPOT, headers })).toEqual(refused('missing'));
  });

  it('stale: seconds are not milliseconds', () => {
    const text = String(Math.floor(encoded.nowMs / 1_000));
    expect(verify(withHeader(encoded, 'x-hubspot-request-timestamp', text))).toEqual(refused('stale'));
  });
});

describe('zendesk', () => {
  it('signs bytes, whether or not they are text', () => {
    // (printf '2021-03-25T05:09:27Z'; printf '\xff\xfe{}') | openssl dgst -sha256 -hmac "$SECRET" -binary | base64
    const headers = new Map<string, string>([
      ...Object.entries(ZENDESK.headers),
      ['x-zendesk-webhook-signature', 'D1DTznrBTQ3cX/WnrMPnFDWmZ7EXmqNEbR7LPAuTCaM='],
    ]);
    const call = { method: 'POST', url: ZENDESK.url, headers, rawBody: Buffer.from([0xff, 0xfe, 0x7b, 0x7d]) };
    expect(verifyCrmSignature(ZENDESK.source, call, [ZENDESK.secret], ZENDESK.nowMs)).toEqual(OK);
    const replaced = { ...call, rawBody: Buffer.from('\uFFFD\uFFFD{}') };
    expect(verifyCrmSignature(ZENDESK.source, replaced, [ZENDESK.secret], ZENDESK.nowMs)).toEqual(refused('mismatch'));
  });
});

describe('hmac-sha256', () => {
  it('without a timestamp signs the body alone, and for ever', () => {
    expect(verify(UNTIMED)).toEqual(OK);
    expect(verify({ ...UNTIMED, nowMs: 0 })).toEqual(OK);
    expect(verify(signedAt(UNTIMED, 1))).toEqual(OK);
    expect(verify({ ...UNTIMED, body: '{}' })).toEqual(refused('mismatch'));
    expect(verify({ ...UNTIMED, headers: {} })).toEqual(refused('missing'));
  });

  it('takes capitals for hexadecimal digits, but not for base64', () => {
    const { 'x-signature': hex } = UNTIMED.headers;
    expect(verify(withHeader(UNTIMED, 'x-signature', hex.toUpperCase()))).toEqual(OK);
    // The same bytes.
    const base64 = 'QwoLCDJFy38Xyl3bCFVgqz171B+NhbyfyMZaYQcXBGg=';
    const source = byHmac({ encoding: 'base64' });
    expect(verify({ ...UNTIMED, source, headers: { 'x-signature': base64 } })).toEqual(OK);
    for (const other of [base64.toUpperCase(), base64.replace('+', '-'), base64.replace('=', ''), hex]) {
      expect(verify({ ...UNTIMED, source, headers: { 'x-signature': other } })).toEqual(refused('mismatch'));
    }
  });

  it('looks where the source says', () => {
    const source = byHmac({ header: 'x-hub-signature-256', prefix: 'sha256=' });
    const { 'x-signature': hex } = UNTIMED.headers;
    const by = (headers: Record<string, string>) => verify({ ...UNTIMED, source, headers });
    expect(by({ 'x-hub-signature-256': `sha256=${hex}` })).toEqual(OK);
    expect(by({ 'x-hub-signature-256': hex })).toEqual(refused('mismatch'));
    expect(by({ 'x-hub-signature-256': `sha1=${hex}` })).toEqual(refused('mismatch'));
    expect(by({ 'x-hub-signature-256': `sha512=${hex}` })).toEqual(refused('mismatch'));
    expect(by({ 'x-hub-signature-256': `sha256=sha256=${hex}` })).toEqual(refused('mismatch'));
    expect(by({ 'x-hub-signature-256': 'sha256=' })).toEqual(refused('mismatch'));
    expect(by({ 'x-signature': `sha256=${hex}` })).toEqual(refused('missing'));
  });

  it('takes milliseconds as well', () => {
    // printf '%s' '1700000000000.{"name":"Grüße"}' | openssl dgst -sha256 -hmac 'flow-secret'
    const headers = {
      'x-signature-timestamp': '1700000000000',
      'x-signature': 'b7fbd51652cef6293f496e00e6cf1d9a35615b449a3c1e6f722b1f6f7e580d10',
    };
    expect(verify({ ...TIMED, headers })).toEqual(OK);
    expect(verify({ ...TIMED, headers, nowMs: TIMED.nowMs + 300_001 })).toEqual(refused('stale'));
  });
});
