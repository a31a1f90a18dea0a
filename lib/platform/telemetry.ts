import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { OperationEnd, Telemetry } from '../operations/ports/telemetry.ts';
import { type MeterOptions, OperationMeter } from './operationMeter.ts';
import { SecretError } from './secrets.ts';

/** Telemetry of one invocation. */
export interface InvocationTelemetry extends Telemetry {
  /** How the invocation's own operation was answered. Ignored where a settle has told it already. */
  operationAnswered(end: OperationEnd): void;
  /** Writes the metrics out, and waits a moment for the counts that are being written; call once, at the end. Never rejects. */
  flush(): Promise<void>;
}

type Figure = Parameters<Metrics['addMetric']>;

/** Keeps the figures of each invocation apart: several may share one process (Lambda Managed Instances). */
export class TelemetryFactory {
  readonly #logger = new Logger();
  readonly #metrics: Metrics;
  readonly #functionName: string;
  readonly #meter: MeterOptions | undefined;
  #isCold = true;

  /** Without a `meter` operations are not counted for everybody. */
  constructor(functionName: string, meter?: MeterOptions) {
    this.#metrics = new Metrics({ defaultDimensions: { function: functionName } });
    this.#functionName = functionName;
    this.#meter = meter;
  }

  /** Dimensions are service and function: never an id, of which there are too many, and which say too much. */
  forInvocation(correlationId: string): InvocationTelemetry {
    // Beside every line instead of in a logger of its own, which takes longer to make than all its lines.
    const always = { correlationId, function: this.#functionName };
    // Handed over all at once: invocations may share a process.
    const figures: Figure[] = [['ColdStart', MetricUnit.Count, this.#isCold ? 1 : 0]];
    this.#isCold = false;
    const telemetry: Pick<Telemetry, 'count' | 'duration' | 'log'> = {
      count: (metric, value = 1) => figures.push([metric, MetricUnit.Count, value]),
      duration: (metric, ms) => figures.push([metric, MetricUnit.Milliseconds, ms]),
      log: (level, message, fields = {}, error = undefined) => {
        const failure = error !== undefined && { failure: { ...describeError(error) } };
        this.#logger[level](message, { ...fields, ...failure, ...always });
      },
    };
    const meter =
      this.#meter &&
      new OperationMeter(this.#meter, (error) => {
        telemetry.count('OperationNotCounted');
        telemetry.log('error', 'an operation could not be counted', {}, error);
      });
    return {
      ...telemetry,
      operationsSettling: (settling) => meter?.settling(settling),
      operationAnswered: (end) => meter?.answered(end),
      flush: async () => {
        await meter?.end();
        for (const figure of figures.splice(0)) this.#metrics.addMetric(...figure);
        this.#metrics.publishStoredMetrics();
      },
    };
  }
}

/** What of an error may be logged. */
export interface DescribedError {
  readonly name: string;
  readonly code?: string;
  /** Only of errors that are known to name things and to quote nothing. */
  readonly message?: string;
  readonly cause?: DescribedError;
}

/** Reduces an error to what may be logged: no stack, and no foreign message, which may quote input (SPEC 2, DESIGN I7). */
export function describeError(error: unknown): DescribedError {
  if (!(error instanceof Error)) return { name: typeof error };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    name: error.name,
    ...(code !== undefined && { code }),
    ...(error instanceof SecretError && { message: error.message }),
    ...(error.cause !== undefined && { cause: describeError(error.cause) }),
  };
}
