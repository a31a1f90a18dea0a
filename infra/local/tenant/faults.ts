import * as z from 'zod';
import { anyJson } from './bodies.ts';
import { SURFACES, type Surface } from './surface-table.ts';

/** What a fault does. One of `status`, `reset`, `malformed`, `redirectTo`, each also with `delayMs`; or `delayMs` alone. */
const actionSchema = z
  .strictObject({
    /** Answers this. The change is made first only when `applied` is true. */
    status: z.exactOptional(z.int().min(200).max(599)),
    headers: z.exactOptional(z.record(z.string(), z.string())),
    /** A string is sent as it is, anything else as JSON. */
    body: z.exactOptional(anyJson),
    applied: z.exactOptional(z.boolean()),
    /** Cuts the connection before or after the change is made. */
    reset: z.exactOptional(z.enum(['before', 'after'])),
    /** Makes the change and answers 200 with a body nobody can use. */
    malformed: z.exactOptional(z.enum(['html', 'truncated', 'wrong-shape', 'empty'])),
    /** 307 to this location; no change. */
    redirectTo: z.exactOptional(z.string().min(1)),
    /** Holds the answer back. The change itself, if there is one, is made on arrival. */
    delayMs: z.exactOptional(z.int().nonnegative()),
  })
  .refine(({ status, reset, malformed, redirectTo, delayMs }) => {
    const kinds = [status, reset, malformed, redirectTo].filter((kind) => kind !== undefined).length;
    return kinds === 1 || (kinds === 0 && delayMs !== undefined);
  }, 'must have exactly one of status, reset, malformed, redirectTo, or delayMs alone')
  .refine(
    ({ status, headers, body, applied }) => status !== undefined || (headers ?? body ?? applied) === undefined,
    'headers, body and applied go with status only',
  );
export type FaultAction = z.infer<typeof actionSchema>;

/** A fault to be scripted. */
export const faultSchema = z.strictObject({
  /** What the journal calls it; `fault-1`, `fault-2`, … when absent. */
  name: z.exactOptional(z.string().min(1)),
  /** Which requests it is for; all of the members have to fit. */
  match: z
    .strictObject({
      surface: z.exactOptional(z.enum(SURFACES)),
      method: z.exactOptional(z.string().toUpperCase()),
      pathIncludes: z.exactOptional(z.string()),
      sessionId: z.exactOptional(z.string()),
    })
    .default({}),
  /** How many requests it strikes; 0 = all until it is cleared. */
  times: z.int().nonnegative().default(1),
  /** How many requests that fit it lets pass first. */
  skip: z.int().nonnegative().default(0),
  action: actionSchema,
});
export type NewFault = z.input<typeof faultSchema>;

/** A scripted fault and how far it has got. */
export interface Fault {
  readonly name: string;
  readonly match: z.infer<typeof faultSchema>['match'];
  readonly times: number;
  readonly skip: number;
  readonly action: FaultAction;
  /** Requests that it has let pass and that it has struck. */
  readonly skipped: number;
  readonly struck: number;
}

/** What a fault looks at. */
interface FaultTarget {
  readonly surface: Surface;
  readonly method: string;
  readonly path: string;
  readonly sessionId?: string;
}

/** The faults that are scripted, in the order in which they came. Of several that fit, the first strikes. */
export class Faults {
  #faults: Fault[] = [];
  #added = 0;

  add(fault: NewFault): Fault {
    const parsed = faultSchema.parse(fault);
    this.#added += 1;
    const added = { name: `fault-${this.#added}`, ...parsed, skipped: 0, struck: 0 };
    this.#faults.push(added);
    return added;
  }

  /** The fault that strikes this request, if any, and counts it. */
  take(target: FaultTarget): Fault | undefined {
    for (const [index, fault] of this.#faults.entries()) {
      if (!fits(fault, target) || isSpent(fault)) continue;
      if (fault.skipped < fault.skip) {
        this.#faults[index] = { ...fault, skipped: fault.skipped + 1 };
        continue;
      }
      const struck = { ...fault, struck: fault.struck + 1 };
      this.#faults[index] = struck;
      return struck;
    }
    return undefined;
  }

  /** All faults, also those that are spent, so that a test can ask whether its fault has struck. */
  list(): readonly Fault[] {
    return [...this.#faults];
  }

  clear(): void {
    this.#faults = [];
  }
}

function isSpent({ times, struck }: Fault): boolean {
  return times !== 0 && struck >= times;
}

function fits({ match }: Fault, target: FaultTarget): boolean {
  return (
    (match.surface === undefined || match.surface === target.surface) &&
    (match.method === undefined || match.method === target.method) &&
    (match.pathIncludes === undefined || target.path.includes(match.pathIncludes)) &&
    (match.sessionId === undefined || match.sessionId === target.sessionId)
  );
}
