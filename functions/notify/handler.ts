import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import type { PartialItemFailureResponse } from '@aws-lambda-powertools/batch/types';
import middy from '@middy/core';
import type { Context, SQSEvent, SQSRecord } from 'aws-lambda';
import { workOffPrompt } from '../../lib/operations/workOffPrompt.ts';
import { deliverySettings } from '../../lib/platform/deliveryConfig.ts';
import { createBridge, wireNotify } from '../../lib/platform/deps.ts';
import { readPrompt } from './request.ts';

const bridge = createBridge('notify', wireNotify, deliverySettings);

/** Left of the Lambda's time for noting what has become of the last delivery. */
const MARGIN_MS = 2_000;
/** Failures are logged here, by what they are: the library would log their messages. */
const SILENT = { debug: () => {}, warn: () => {}, error: () => {} };

/** The queue's messages: delivers the events that they prompt. Those that could not be worked off come again. */
export const handler = middy<SQSEvent, PartialItemFailureResponse, Error, Context>().handler(async (event, context) => {
  const telemetry = bridge.telemetry.forInvocation(context.awsRequestId);
  const deadlineMs = bridge.clock.now() + context.getRemainingTimeInMillis() - MARGIN_MS;
  const workOff = async ({ messageId, body }: SQSRecord) => {
    const prompt = readPrompt(body);
    // Again it would be no better.
    if (prompt === undefined)
      return telemetry.log('error', 'a message that is none of ours was dropped', { messageId });
    try {
      await workOffPrompt(await bridge.services(), prompt, { deadlineMs, telemetry });
    } catch (error) {
      telemetry.log('error', 'a message could not be worked off', { messageId, kind: prompt.kind }, error);
      throw error;
    }
  };
  try {
    const processor = new BatchProcessor(EventType.SQS, { logger: SILENT });
    return await processPartialResponse(event, workOff, processor, { context, throwOnFullBatchFailure: false });
  } finally {
    await telemetry.flush();
  }
});
