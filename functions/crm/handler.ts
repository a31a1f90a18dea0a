import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { requireGenuine } from '../../lib/http/admission.ts';
import {
  type FromSource,
  isRecordChanged,
  readEvents,
  readRecord,
  readRecordChanged,
} from '../../lib/http/crmFields.ts';
import { createHttpHandler } from '../../lib/http/handler.ts';
import type { HttpEvent, SignedRequest } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import { applyCrmEvent, type CrmCommand } from '../../lib/operations/applyCrmEvent.ts';
import { severalAtATime } from '../../lib/operations/severalAtATime.ts';
import { createBridge, wireCrm } from '../../lib/platform/deps.ts';
import type { InvocationTelemetry } from '../../lib/platform/telemetry.ts';
import { answerEvents, type EventAnswer } from './request.ts';

const bridge = createBridge('crm', wireCrm);

/** HubSpot sends up to 100 events at once. */
const RECORDS_AT_A_TIME = 5;
/** Left of the Lambda's time for what is under way. */
const MARGIN_MS = 2_000;

const http = createHttpHandler({
  ...bridge.http,
  requestBudgetMs: bridge.config.webhookBudgetMs,
  routes: {
    'POST /v1/webhooks/crm/{source}': {
      subject: 'signed',
      admit: async (request) => requireGenuine((await bridge.services()).verify(request.path['source'] ?? '', request)),
      handle: async (request) => receive(request),
    },
    'PUT /v1/sessions/{sessionId}/bindings/{source}/{recordId}': {
      operation: 'bindings',
      body: 'none',
      handle: async (request) => {
        const { records, sources } = await bridge.services();
        const record = readRecord(sources, request);
        await records.bind(record, request.sessionId, bridge.clock.now());
        return { status: 200, body: { status: 'bound', sessionId: request.sessionId, ...record } };
      },
    },
    'DELETE /v1/sessions/{sessionId}/bindings/{source}/{recordId}': {
      operation: 'bindings',
      body: 'none',
      handle: async (request) => {
        const { records, sources } = await bridge.services();
        await records.unbind(readRecord(sources, request), request.sessionId);
        return { status: 204 };
      },
    },
  },
});

/** Two callers: HTTP, and the bus. */
export const handler = middy<unknown, unknown, Error, Context>().handler(async (event, context) => {
  if (isRecordChanged(event)) return changedBy(event, context);
  return http(event as HttpEvent, context);
});

async function receive({ path, body, ...request }: SignedRequest) {
  const { sources } = await bridge.services();
  const json = body();
  const sent = readEvents(sources, path['source'] ?? '', json);
  return answerEvents(await applyAll(sent, request), Array.isArray(json.value));
}

/** Those of one record in their order, several records at a time. */
async function applyAll(
  { source, reads }: FromSource,
  command: Pick<CrmCommand, 'correlationId' | 'deadlineMs' | 'telemetry'>,
): Promise<EventAnswer[]> {
  const services = await bridge.services();
  const { correlationId, deadlineMs, telemetry } = command;
  const answers = new Map<FromSource['reads'][number], EventAnswer>();
  for (const read of reads) {
    if (read.ok) continue;
    answers.set(read, { kind: 'unfit', violations: read.violations });
    telemetry.log('warn', 'an event of a list was refused', { violations: read.violations.length });
  }
  const events = reads.flatMap((read) => (read.ok ? [{ read, event: read.event }] : []));
  const byRecord = Map.groupBy(events, ({ event }) => event.recordId).values();
  await severalAtATime(RECORDS_AT_A_TIME, [...byRecord], async (group) => {
    for (const { read, event } of group) {
      answers.set(read, await applyCrmEvent(services, { source, event, correlationId, deadlineMs, telemetry }));
    }
  });
  return reads.flatMap((read) => answers.get(read) ?? []);
}

/** What is wrong in itself will not get better by being delivered again: it is told, and that is all. */
async function changedBy(event: unknown, context: Context): Promise<unknown> {
  const telemetry: InvocationTelemetry = bridge.telemetry.forInvocation(context.awsRequestId);
  try {
    const { sources } = await bridge.services();
    const sent = readRecordChanged(sources, event);
    const deadlineMs = bridge.clock.now() + Math.max(0, context.getRemainingTimeInMillis() - MARGIN_MS);
    const answers = await applyAll(sent, { correlationId: context.awsRequestId, deadlineMs, telemetry });
    return answerEvents(answers, true).body;
  } catch (error) {
    telemetry.log('error', 'an event was not taken', {}, error);
    if (!(error instanceof Problem) || error.status === 429 || error.status >= 500) throw error;
    return { ended: 'refused', code: error.code };
  } finally {
    await telemetry.flush();
  }
}
