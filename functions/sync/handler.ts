import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import { workOffDue } from '../../lib/operations/workOffDue.ts';
import { createBridge, wireLane } from '../../lib/platform/deps.ts';

const bridge = createBridge('sync', wireLane);

/** Left of the Lambda's time for what is under way when the last lane is begun. */
const MARGIN_MS = 2_000;

/** The schedule: every minute works off what is due. What it does not get to is taken next time. */
export const handler = middy<unknown, object, Error, Context>().handler(async (_event, context) => {
  const correlationId = context.awsRequestId;
  const telemetry = bridge.telemetry.forInvocation(correlationId);
  try {
    const deadlineMs = bridge.clock.now() + context.getRemainingTimeInMillis() - MARGIN_MS;
    const report = await workOffDue(await bridge.services(), {
      shards: bridge.config.dueShards,
      deadlineMs,
      correlationId,
      telemetry,
    });
    telemetry.log('info', 'due lanes worked off', { ...report });
    return report;
  } catch (error) {
    telemetry.log('error', 'the schedule failed', {}, error);
    throw error;
  } finally {
    telemetry.flush();
  }
});
