import { requireGenuine, STANDARD_WEBHOOKS } from '../../lib/http/admission.ts';
import { createHttpHandler } from '../../lib/http/handler.ts';
import type { SignedRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import { auditRefusal } from '../../lib/http/refusals.ts';
import { receiveWebhook, WEBHOOK_CLIENT } from '../../lib/operations/receiveWebhook.ts';
import { createBridge, wireWebhook } from '../../lib/platform/deps.ts';
import { addresseeOf, answerMessage, readMessage } from './request.ts';

const bridge = createBridge('webhook', wireWebhook);
const { sessionIdPrefix, webhookBudgetMs } = bridge.config;

/** Of the budget, for settling and answering: it is the whole answer that has to be there in time. */
const ANSWER_MARGIN_MS = 300;

/** `POST /v1/webhooks/cognigy`: puts what derives from a message into its session before the bot understands it. */
export const handler = createHttpHandler({
  ...bridge.http,
  requestBudgetMs: webhookBudgetMs - ANSWER_MARGIN_MS,
  routes: {
    'POST /v1/webhooks/cognigy': {
      subject: 'signed',
      measured: 'webhook',
      admit: async (request) => requireGenuine((await bridge.services()).verify(request), STANDARD_WEBHOOKS),
      handle: async (request) => {
        try {
          return await receive(request);
        } catch (error) {
          if (error instanceof Problem && [413, 422].includes(error.status)) await audit(request, error);
          throw error;
        }
      },
    },
  },
});

async function receive({ body, correlationId, deadlineMs, telemetry }: SignedRequest) {
  const message = readMessage(body(), sessionIdPrefix);
  return answerMessage(
    message,
    await receiveWebhook(await bridge.services(), { message, correlationId, deadlineMs, telemetry }),
  );
}

/** Refused messages are audited, too, where they say whose they are. */
async function audit({ body, correlationId, telemetry }: SignedRequest, problem: Problem): Promise<void> {
  const sessionId = addresseeOf(body(), sessionIdPrefix);
  if (sessionId === undefined || problem.options.isAudited === true) return;
  await auditRefusal(bridge.services, {
    sessionId,
    operation: 'webhook',
    client: WEBHOOK_CLIENT,
    correlationId,
    problem,
    telemetry,
  });
}
