import { createHttpHandler } from '../../lib/http/handler.ts';
import { inspect } from '../../lib/operations/inspect.ts';
import { createBridge, wireReads } from '../../lib/platform/deps.ts';
import { tenantSchema as schema } from '../../lib/platform/tenantSchema.ts';
import { answerAudit, answerInspect, readAuditQuery } from './request.ts';

const bridge = createBridge('snapshot', wireReads);

/** Reads: a session as the mirror knows it, and its audit trail. */
export const handler = createHttpHandler({
  ...bridge.http,
  routes: {
    'GET /v1/sessions/{sessionId}': {
      operation: 'inspect',
      body: 'none',
      handle: async (request) => {
        const { store, clock } = await bridge.services();
        const found = await inspect({ store, clock, schema }, request.sessionId);
        return answerInspect(request, found, bridge.config.contextMaxBytes);
      },
    },
    'GET /v1/sessions/{sessionId}/audit': {
      operation: 'audit',
      body: 'none',
      handle: async (request) => {
        const query = readAuditQuery(request, bridge.clock.now());
        const { store } = await bridge.services();
        return answerAudit(await store.readAudit(request, query));
      },
    },
  },
});
