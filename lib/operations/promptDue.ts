import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { DeliveryQueue, EventRef } from './ports/deliveryQueue.ts';
import { type Prompts, promptOf } from './ports/prompts.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { together } from './severalAtATime.ts';

export interface PromptDueDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly queue: Pick<DeliveryQueue, 'due' | 'notePrompt'>;
  readonly prompts: Prompts;
}

export interface PromptDueCommand {
  /** Shards of the due index, 0 … shards − 1. */
  readonly shards: number;
  /** Epoch milliseconds; what is left then is taken next time. */
  readonly deadlineMs: number;
  readonly telemetry: Telemetry;
}

export interface PromptDueReport {
  readonly prompted: number;
  /** Batches that went wrong; their events are due again after a while. */
  readonly failed: number;
  /** True when the deadline came before the end of the list. */
  readonly cutShort: boolean;
}

/** As many prompts as SQS takes at once. */
const BATCH = 10;
/** Batches under way at a time. */
const AT_A_TIME = 5;
/** No batch is begun this near to the deadline. */
const TOO_LATE_MS = 2_000;

/**
 * The schedule: prompts every event that is due — the long steps of the ladder, what nobody was prompted for, and what a crash has
 * left. Each is noted first and prompted then, so that the next minute's schedule does not do it again.
 */
export async function promptDue(deps: PromptDueDeps, command: PromptDueCommand): Promise<PromptDueReport> {
  const { clock, random } = deps;
  const { shards, deadlineMs, telemetry } = command;
  const isLate = () => clock.now() >= deadlineMs - TOO_LATE_MS;
  let prompted = 0;
  let failed = 0;
  const refs = dueOf(deps, shards, Math.floor(random.next() * shards));
  await together(AT_A_TIME, async () => {
    if (isLate()) return false;
    try {
      const batch = await nextBatch(refs);
      if (batch.length === 0) return false;
      prompted += await promptBatch(deps, batch);
    } catch (error) {
      failed += 1;
      telemetry.log('error', 'due events could not be prompted', {}, error);
    }
    return true;
  });
  return { prompted, failed, cutShort: isLate() };
}

/** All shards, from another one on at each run, so that none always comes last. */
async function* dueOf({ queue, clock }: PromptDueDeps, shards: number, first: number): AsyncGenerator<EventRef> {
  for (let offset = 0; offset < shards; offset += 1) yield* queue.due((first + offset) % shards, clock.now());
}

async function nextBatch(refs: AsyncGenerator<EventRef>): Promise<EventRef[]> {
  // The generator answers in the order in which it was asked.
  const next = await Promise.all(Array.from({ length: BATCH }, () => refs.next()));
  return next.flatMap(({ done, value }) => (done === true ? [] : [value]));
}

async function promptBatch({ queue, prompts, clock }: PromptDueDeps, batch: readonly EventRef[]): Promise<number> {
  const noted = await Promise.all(batch.map((ref) => queue.notePrompt(ref, clock.now())));
  const ours = batch.filter((_ref, index) => noted[index] === true);
  if (ours.length > 0) await prompts.send(ours.map(promptOf));
  return ours.length;
}
