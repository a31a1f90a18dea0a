import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { requireKeyPrefixes } from '../../lib/http/admission.ts';
import { createHttpHandler } from '../../lib/http/handler.ts';
import type { HttpEvent } from '../../lib/http/messages.ts';
import { Problem } from '../../lib/http/problem.ts';
import { auditRefusal, auditRefusals } from '../../lib/http/refusals.ts';
import { erase } from '../../lib/operations/erase.ts';
import { promptDue } from '../../lib/operations/promptDue.ts';
import { sync } from '../../lib/operations/sync.ts';
import { workOffDue } from '../../lib/operations/workOffDue.ts';
import { createBridge, wireSync } from '../../lib/platform/deps.ts';
import type { InvocationTelemetry } from '../../lib/platform/telemetry.ts';
import { addresseeOf, endOfEvent, isSyncRequested, readSyncEvent } from './event.ts';
import { answerSync, keysOf, readSync } from './request.ts';

const bridge = createBridge('sync', wireSync);
const { contextMaxBytes, syncDefaultTtlSeconds, sessionIdPrefix, requestBudgetMs, dueShards } = bridge.config;

/** Left of the Lambda's time for what is under way when the last lane is begun. */
const MARGIN_MS = 2_000;

const http = createHttpHandler({
  ...bridge.http,
  routes: {
    'POST /v1/sessions/{sessionId}/sync': {
      operation: 'sync',
      measured: 'sync',
      body: 'json',
      handle: async (request) => {
        const command = readSync(request, syncDefaultTtlSeconds);
        requireKeyPrefixes(request.client, keysOf(command));
        return answerSync(command, await sync(await bridge.services(), command), contextMaxBytes);
      },
      onRefused: auditRefusals(bridge.services, 'sync'),
    },
    'DELETE /v1/sessions/{sessionId}': {
      operation: 'erase',
      body: 'none',
      handle: async (request) => {
        // No prefix covers a whole session.
        requireKeyPrefixes(request.client, [{ key: '', pointer: '' }]);
        const isErased = await erase(await bridge.services(), { ...request, client: request.client.name });
        if (!isErased) throw new Problem('session-busy', { headers: { 'retry-after': '1' } });
        return { status: 204 };
      },
      onRefused: auditRefusals(bridge.services, 'erase'),
    },
  },
});

/** Three callers: HTTP, an event that asks for a sync, and the schedule. */
export const handler = middy<unknown, unknown, Error, Context>().handler(async (event, context) => {
  if (isHttp(event)) return http(event, context);
  const telemetry = bridge.telemetry.forInvocation(context.awsRequestId);
  try {
    return await (isSyncRequested(event) ? syncFor(event, context, telemetry) : tick(context, telemetry));
  } catch (error) {
    if (isSyncRequested(event)) telemetry.operationAnswered({ name: 'sync', isSuccess: false });
    telemetry.log('error', isSyncRequested(event) ? 'an event was not taken' : 'the schedule failed', {}, error);
    throw error;
  } finally {
    await telemetry.flush();
  }
});

function isHttp(event: unknown): event is HttpEvent {
  return typeof event === 'object' && event !== null && 'routeKey' in event;
}

/** What is wrong in itself will not get better by being delivered again: it is told, and that is all. */
async function syncFor(event: unknown, context: Context, telemetry: InvocationTelemetry): Promise<object> {
  const correlationId = context.awsRequestId;
  const deadlineMs =
    bridge.clock.now() + Math.min(requestBudgetMs, Math.max(0, context.getRemainingTimeInMillis() - MARGIN_MS));
  let command: ReturnType<typeof readSyncEvent>;
  try {
    command = readSyncEvent(event, { sessionIdPrefix, defaultTtlSeconds: syncDefaultTtlSeconds });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const addressee = addresseeOf(event, { sessionIdPrefix });
    const errors = error.options.errors?.length;
    telemetry.log('error', 'an event was refused', { code: error.code, errors, audited: addressee !== undefined });
    if (addressee === undefined) telemetry.count('OperationRefused');
    else {
      await auditRefusal(bridge.services, {
        ...addressee,
        operation: 'sync',
        problem: error,
        correlationId,
        telemetry,
      });
    }
    telemetry.operationAnswered({ name: 'sync', isSuccess: false });
    return { ended: 'refused', code: error.code };
  }
  const answer = await sync(await bridge.services(), { ...command, correlationId, deadlineMs, telemetry });
  const end = endOfEvent(answer);
  telemetry.log('info', 'sync by event', end);
  const isReplay = 'replayed' in answer && answer.replayed;
  if (!isReplay)
    telemetry.operationAnswered({ name: 'sync', isSuccess: end.ended === 'confirmed' || end.ended === 'pending' });
  return end;
}

/** Every minute works off what is due. What it does not get to is taken next time. */
async function tick(context: Context, telemetry: InvocationTelemetry): Promise<object> {
  const { prompts, ...services } = await bridge.services();
  const deadlineMs = bridge.clock.now() + context.getRemainingTimeInMillis() - MARGIN_MS;
  const due = { shards: dueShards, deadlineMs, telemetry };
  // At once: the table has more of both than one of them alone would take.
  const [lanes, events] = await Promise.all([
    workOffDue({ ...services, ...(prompts && { prompts }) }, { ...due, correlationId: context.awsRequestId }),
    prompts && promptDue({ ...services, prompts }, due),
  ]);
  const report = { ...lanes, ...(events && { prompted: events.prompted, notPrompted: events.failed }) };
  telemetry.log('info', 'due lanes worked off', report);
  return report;
}
