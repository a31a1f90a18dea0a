/** A session id that has been checked. Only {@link parseSessionId} makes one. */
export type SessionId = string & { readonly __brand: 'SessionId' };

// SPEC 2: 1–256 characters, starting with a letter or digit. Nothing in it can escape a path segment or a log line.
const SESSION_ID = /^[A-Za-z0-9][A-Za-z0-9._:@~-]{0,255}$/;

/** The id if it is one (and has the tenant's prefix), else `undefined`. */
export function parseSessionId(text: string, requiredPrefix = ''): SessionId | undefined {
  return SESSION_ID.test(text) && text.startsWith(requiredPrefix) ? (text as SessionId) : undefined;
}
