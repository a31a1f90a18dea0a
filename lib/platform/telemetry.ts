import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Telemetry } from '../operations/ports/telemetry.ts';
import { SecretError } from './secrets.ts';

/** Telemetry of one invocation. */
export interface InvocationTelemetry extends Telemetry {
  /** Writes the metrics out; call once, at the end. */
  flush(): void;
}

/** Makes each invocation its own logger and metrics: several may share one process (Lambda Managed Instances). */
export class TelemetryFactory {
  readonly #logger = new Logger();
  readonly #functionName: string;
  #isCold = true;

  constructor(functionName: string) {
    this.#functionName = functionName;
  }

  /** Dimensions are service and function: never an id, of which there are too many, and which say too much. */
  forInvocation(correlationId: string): InvocationTelemetry {
    const logger = this.#logger.createChild({ persistentKeys: { correlationId, function: this.#functionName } });
    const metrics = new Metrics({ defaultDimensions: { function: this.#functionName } });
    metrics.addMetric('ColdStart', MetricUnit.Count, this.#isCold ? 1 : 0);
    this.#isCold = false;
    return {
      count: (metric, value = 1) => metrics.addMetric(metric, MetricUnit.Count, value),
      duration: (metric, ms) => metrics.addMetric(metric, MetricUnit.Milliseconds, ms),
      log: (level, message, fields = {}, error = undefined) => {
        logger[level](
          message,
          error === undefined ? { ...fields } : { ...fields, failure: { ...describeError(error) } },
        );
      },
      flush: () => metrics.publishStoredMetrics(),
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
