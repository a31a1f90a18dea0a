import { createHttpHandler } from '../../lib/http/handler.ts';
import { diff } from '../../lib/operations/history.ts';
import { inspect, inspectVersion } from '../../lib/operations/inspect.ts';
import { metrics } from '../../lib/operations/metrics.ts';
import { takeSnapshot } from '../../lib/operations/takeSnapshot.ts';
import { createBridge, wireSnapshots } from '../../lib/platform/deps.ts';
import { tenantSchema as schema } from '../../lib/platform/tenantSchema.ts';
import { answerMetrics, readHours } from './metricsRequest.ts';
import {
  answerAudit,
  answerDiff,
  answerInspect,
  answerPast,
  readAuditQuery,
  readInspectQuery,
  readNumbers,
} from './request.ts';
import { answerSnapshot, readSnapshotQuery } from './snapshotRequest.ts';

const bridge = createBridge('snapshot', wireSnapshots);
const { contextMaxBytes } = bridge.config;

/** Reads: a session as the mirror knows it or knew it, what changed between two versions, its audit trail, and what the bot has now. */
export const handler = createHttpHandler({
  ...bridge.http,
  routes: {
    'GET /v1/sessions/{sessionId}': {
      operation: 'inspect',
      body: 'none',
      handle: async (request) => {
        const query = readInspectQuery(request);
        const { version } = query;
        const { store, clock } = await bridge.services();
        const deps = { store, clock, schema };
        return version === undefined
          ? answerInspect(request, query, await inspect(deps, request.sessionId), contextMaxBytes)
          : answerPast(request, query, await inspectVersion(deps, request.sessionId, version), contextMaxBytes);
      },
    },
    'GET /v1/sessions/{sessionId}/snapshot': {
      operation: 'snapshot',
      body: 'none',
      handle: async (request) => {
        const query = readSnapshotQuery(request);
        const deps = await bridge.services();
        const { sessionId, correlationId, deadlineMs, telemetry } = request;
        const answer = await takeSnapshot(deps, { ...query, sessionId, correlationId, deadlineMs, telemetry });
        return answerSnapshot(request, answer, bridge.clock.now());
      },
    },
    'GET /v1/sessions/{sessionId}/diff': {
      operation: 'inspect',
      body: 'none',
      handle: async (request) => {
        const { from, to } = readNumbers({ from: request.query['from'], to: request.query['to'] });
        return answerDiff(request, { from, to }, await diff(await bridge.services(), request.sessionId, { from, to }));
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
    // What all instances have counted.
    'GET /v1/metrics': {
      subject: 'service',
      operation: 'metrics',
      handle: async (request) => answerMetrics(await metrics(await bridge.services(), readHours(request))),
    },
  },
});
