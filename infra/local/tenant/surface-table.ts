/** The surfaces of SPEC 3 plus the token endpoints, by the names that faults and the journal use. */
export const SURFACES = ['sync', 'inject', 'session-check', 'dialog-state', 'snapshot', 'webhook', 'token'] as const;
export type Surface = (typeof SURFACES)[number];
export type SessionSurface = Exclude<Surface, 'token'>;

/** The scopes that a token needs for a surface: all of them (SPEC 3). */
export const SURFACE_SCOPES: Readonly<Record<SessionSurface, readonly string[]>> = {
  sync: ['cognigy:context:readwrite'],
  inject: ['sessions:read_write'],
  'session-check': ['sessions:read_write'],
  'dialog-state': ['runtime:write', 'session:manage', 'dialog:read'],
  snapshot: ['bot:read', 'session:read', 'variable:read'],
  webhook: ['session:write', 'session:read'],
};

/** The scopes that each token endpoint grants (SPEC 3). */
export const TOKEN_ENDPOINTS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['/oauth/token', new Set([...SURFACE_SCOPES.sync, ...SURFACE_SCOPES['dialog-state']])],
  ['/api/v2/oauth/token', new Set(SURFACE_SCOPES.inject)],
  ['/api/v2/auth/token', new Set(SURFACE_SCOPES.snapshot)],
  ['/api/v1/auth/token', new Set(SURFACE_SCOPES.webhook)],
]);

/** A path with `{id}` in one place, and what each of its methods belongs to. */
interface Place {
  readonly segments: readonly string[];
  readonly methods: ReadonlyMap<string, SessionSurface>;
}

const place = (path: string, methods: readonly (readonly [string, SessionSurface])[]): Place => ({
  segments: path.split('/').slice(1),
  methods: new Map(methods),
});

const PLACES: readonly Place[] = [
  place('/api/v1/sessions/{id}/context', [
    ['GET', 'sync'],
    ['PUT', 'sync'],
    ['POST', 'webhook'],
  ]),
  place('/api/v2/sessions/{id}/context', [
    ['GET', 'inject'],
    ['PUT', 'inject'],
  ]),
  place('/api/v2/sessions/{id}', [['GET', 'session-check']]),
  place('/runtime/v2/dialogs/{id}/state', [
    ['GET', 'dialog-state'],
    ['PATCH', 'dialog-state'],
  ]),
  place('/api/v2/botsessions/{id}/variables', [['GET', 'snapshot']]),
];

export type Route =
  | { readonly kind: 'token'; readonly endpoint: string }
  | { readonly kind: 'session'; readonly surface: SessionSurface; readonly sessionId: string }
  | { readonly kind: 'method-not-allowed'; readonly allow: string }
  | { readonly kind: 'malformed-id' }
  | { readonly kind: 'not-found' };

/** Finds the surface of a request. Ids are percent-decoded once. */
export function route(method: string, segments: readonly string[]): Route {
  const endpoint = `/${segments.join('/')}`;
  if (TOKEN_ENDPOINTS.has(endpoint)) {
    return method === 'POST' ? { kind: 'token', endpoint } : { kind: 'method-not-allowed', allow: 'POST' };
  }
  const found = PLACES.find((candidate) => matches(candidate, segments));
  if (found === undefined) return { kind: 'not-found' };
  const surface = found.methods.get(method);
  if (surface === undefined) return { kind: 'method-not-allowed', allow: [...found.methods.keys()].join(', ') };
  const sessionId = decode(segments[found.segments.indexOf('{id}')] ?? '');
  return sessionId === undefined ? { kind: 'malformed-id' } : { kind: 'session', surface, sessionId };
}

function matches(candidate: Place, segments: readonly string[]): boolean {
  return (
    candidate.segments.length === segments.length &&
    candidate.segments.every((part, index) => (part === '{id}' ? segments[index] !== '' : part === segments[index]))
  );
}

/** Decodes one path segment; undefined when it is not percent-encoded UTF-8. */
export function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
