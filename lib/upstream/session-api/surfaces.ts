import type { AuthorizedCallOptions } from '../authorizedCall.ts';
import type { TokenSurface } from '../oauth.ts';

/** What the calls of one surface need: its token, and what all surfaces share. */
export interface SurfaceOptions extends AuthorizedCallOptions {
  /** Without a slash at its end. */
  readonly baseUrl: string;
}

/**
 * Each surface of the `session-api` dialect with its own token: endpoint, client authentication and scopes (SPEC 3).
 *
 * One token per surface, so that a leaked one opens no more than its surface.
 */
export const SURFACES = {
  sync: {
    tokenPath: '/oauth/token',
    clientAuthentication: 'client_secret_post',
    scopes: 'cognigy:context:readwrite',
  },
  inject: {
    tokenPath: '/api/v2/oauth/token',
    clientAuthentication: 'client_secret_post',
    scopes: 'sessions:read_write',
  },
  dialogState: {
    tokenPath: '/oauth/token',
    clientAuthentication: 'client_secret_basic',
    scopes: 'runtime:write session:manage dialog:read',
  },
  snapshot: {
    tokenPath: '/api/v2/auth/token',
    clientAuthentication: 'client_secret_post',
    scopes: 'bot:read session:read variable:read',
  },
  webhook: {
    tokenPath: '/api/v1/auth/token',
    clientAuthentication: 'client_secret_post',
    scopes: 'session:write session:read',
  },
} as const satisfies Record<string, TokenSurface>;

export type SurfaceName = keyof typeof SURFACES;
