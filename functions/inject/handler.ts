import { requireKeyPrefixes } from '../../lib/http/admission.ts';
import { createHttpHandler } from '../../lib/http/handler.ts';
import { auditRefusals } from '../../lib/http/refusals.ts';
import { inject, repeatInject } from '../../lib/operations/inject.ts';
import { createBridge, wireLane } from '../../lib/platform/deps.ts';
import { answerInject, keysOf, readInject } from './request.ts';

const bridge = createBridge('inject', wireLane);

/** `POST /v1/sessions/{sessionId}/variables`: puts validated variables into a live session. */
export const handler = createHttpHandler({
  ...bridge.http,
  routes: {
    'POST /v1/sessions/{sessionId}/variables': {
      operation: 'inject',
      measured: 'inject',
      body: 'json',
      handle: async (request) => {
        const startedAtMs = bridge.clock.now();
        const { command, outdated } = readInject(request, startedAtMs);
        requireKeyPrefixes(request.client, keysOf(command));
        const services = await bridge.services();
        const answer = await (outdated === undefined ? inject(services, command) : repeatInject(services, command));
        if (answer === undefined) throw outdated;
        return answerInject(command, answer, bridge.clock.now(), startedAtMs);
      },
      onRefused: auditRefusals(bridge.services, 'inject'),
    },
  },
});
