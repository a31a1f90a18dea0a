import { type Answer, jsonAnswer, mediaType, type ReceivedRequest } from './messages.ts';
import type { Settings } from './settings.ts';
import type { Tokens } from './tokens.ts';

interface Credentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** Answers a client-credentials request (RFC 6749, 4.4). `knownScopes` are those of the endpoint asked. */
export function answerTokenRequest(
  request: ReceivedRequest,
  knownScopes: ReadonlySet<string>,
  settings: Settings,
  tokens: Tokens,
): Answer {
  if (mediaType(request) !== 'application/x-www-form-urlencoded') {
    return oauthError(400, 'invalid_request', 'The body must be application/x-www-form-urlencoded.');
  }
  const form = new URLSearchParams(request.text);
  if (new Set(form.keys()).size !== form.size) {
    return oauthError(400, 'invalid_request', 'A parameter occurs more than once.'); // RFC 6749, 3.2
  }
  const basic = request.headers['authorization'];
  if (basic !== undefined && form.has('client_secret')) {
    return oauthError(400, 'invalid_request', 'More than one way of client authentication is used.'); // RFC 6749, 2.3
  }
  const credentials = basic === undefined ? fromForm(form) : fromBasic(basic);
  if (credentials?.clientId !== settings.clientId || credentials.clientSecret !== settings.clientSecret) {
    const challenge = basic === undefined ? {} : { 'www-authenticate': 'Basic realm="cognigy"' };
    return oauthError(401, 'invalid_client', 'Client authentication failed.', challenge);
  }
  if (form.get('grant_type') !== 'client_credentials') {
    return oauthError(400, 'unsupported_grant_type', 'Only client_credentials is supported.');
  }
  const scopes = (form.get('scope') ?? '').split(' ').filter((scope) => scope !== '');
  if (scopes.length === 0 || !scopes.every((scope) => knownScopes.has(scope))) {
    return oauthError(400, 'invalid_scope', `This endpoint grants: ${[...knownScopes].join(' ')}.`);
  }
  const lifetime = settings.includeExpiresIn ? { expires_in: settings.tokenLifeSeconds } : {};
  const accessToken = tokens.issue(scopes, settings.tokenLifeSeconds);
  return jsonAnswer(
    200,
    { access_token: accessToken, token_type: 'Bearer', ...lifetime, scope: scopes.join(' ') },
    { 'cache-control': 'no-store' },
  );
}

/** `client_secret_post`. */
function fromForm(form: URLSearchParams): Credentials {
  return { clientId: form.get('client_id') ?? '', clientSecret: form.get('client_secret') ?? '' };
}

/** `client_secret_basic`: id and secret are form-urlencoded before they are joined (RFC 6749, 2.3.1). */
function fromBasic(authorization: string): Credentials | undefined {
  const encoded = /^basic +(\S+)$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const [id, secret, ...rest] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
  if (id === undefined || secret === undefined || rest.length > 0) return undefined;
  const clientId = formDecode(id);
  const clientSecret = formDecode(secret);
  return clientId === undefined || clientSecret === undefined ? undefined : { clientId, clientSecret };
}

function formDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

/** RFC 6749, 5.2. */
function oauthError(
  status: number,
  error: string,
  description: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return jsonAnswer(status, { error, error_description: description }, { 'cache-control': 'no-store', ...headers });
}
