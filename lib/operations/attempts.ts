import type { LoadedOperation } from './plan.ts';
import type { WriteResult } from './ports/cognigy.ts';
import type { Telemetry } from './ports/telemetry.ts';
import { type Attempt, isAboutAccess, isUnknown } from './settlement.ts';

type Result = Attempt['result'];

/** What a push has tried, what became of it, operation by operation, and what that means for the rest. */
export class Attempts {
  readonly #telemetry: Telemetry;
  readonly #byId = new Map<string, Attempt>();
  /** Operations of which a request that held others too may have been applied, although nobody has said so, by id. */
  readonly #unheard = new Set<string>();
  #stopped: Result | undefined;
  #retryAtMs: number | undefined;
  #hasRefused = false;

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** What is to be noted for all that has not been tried, where nothing more is to be. */
  get stopped(): Result | undefined {
    return this.#stopped;
  }

  /** When the upstream may be asked again, where it has said so (epoch milliseconds). */
  get retryAtMs(): number | undefined {
    return this.#retryAtMs;
  }

  /** Has the upstream refused anything? */
  get hasRefused(): boolean {
    return this.#hasRefused;
  }

  resultOf({ entry }: LoadedOperation): Result | undefined {
    return this.#byId.get(entry.operationId)?.result;
  }

  /** In the order of commit. */
  inOrder(): Attempt[] {
    return [...this.#byId.values()].sort((a, b) => a.operation.entry.version - b.operation.entry.version);
  }

  /** What has been confirmed, in the order of commit. */
  confirmed(): LoadedOperation[] {
    return this.inOrder()
      .filter(({ result }) => result.kind === 'confirmed')
      .map(({ operation }) => operation);
  }

  isUnheard({ entry }: LoadedOperation): boolean {
    return this.#unheard.has(entry.operationId);
  }

  /** The last word counts. Returns it with what is known of tries before. */
  note(operation: LoadedOperation, result: Result): Result {
    const { operationId } = operation.entry;
    const isOpen = result.kind === 'unavailable' || result.kind === 'refused';
    const noted = isOpen && this.isUnheard(operation) ? { ...result, outcomeUnknown: true } : result;
    this.#byId.set(operationId, { operation, result: noted });
    return noted;
  }

  /** Together they are refused, and tried one by one; together they may have been applied by a try before. */
  noteUnheard(result: WriteResult, operations: readonly LoadedOperation[]): void {
    if (isUnknown({ result })) for (const { entry } of operations) this.#unheard.add(entry.operationId);
  }

  /** @param latencyMs - from the first request to the last answer */
  count({ attempts }: WriteResult, latencyMs: number): void {
    this.#telemetry.count('UpstreamRequests', attempts);
    if (attempts > 0) this.#telemetry.duration('UpstreamLatency', latencyMs);
  }

  /** Takes to heart what an answer says about those that come after it. */
  heed(result: WriteResult): void {
    this.#hasRefused ||= result.kind === 'refused';
    if (result.throttled !== undefined) this.#telemetry.count('RateLimited', result.throttled);
    if (result.kind === 'unavailable') {
      this.#retryAtMs = result.retryAtMs;
      // Held back by the budget or a pause, without having asked.
      const wasHeldBack = result.attempts === 0 && (result.reason === 'throttled' || result.reason === 'budget');
      if (wasHeldBack) this.#telemetry.count('RateLimited');
    }
    if (result.kind === 'refused' && isAboutAccess(result.code)) this.#telemetry.count('UpstreamAccessDenied');
    if (stopsTheRest(result)) this.#stopped = untried(result);
  }

  /** Nothing more is tried, whatever the upstream says. */
  stop(result: Result): void {
    this.#stopped ??= result;
  }
}

/** The same for what was not even tried. */
function untried(result: WriteResult): WriteResult {
  return { ...result, attempts: 0, ...(result.kind !== 'confirmed' && { outcomeUnknown: false }) };
}

/** After these the rest of the journal is not tried: it would meet the same, or overtake what came before it. */
function stopsTheRest(result: WriteResult): boolean {
  if (result.kind === 'unavailable') return true;
  return result.kind === 'refused' && (result.code === 'session-ended' || isAboutAccess(result.code));
}
