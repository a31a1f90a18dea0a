import { dialogVariablesOf } from '../context/dialogState.ts';
import { isExpired } from '../context/expiry.ts';
import { type Mirror, putVariables } from '../context/mirror.ts';
import { type Variable, variableId } from '../context/variables.ts';
import type { ExpiredVariable, InjectRequest, PushSurface } from './ports/cognigy.ts';
import type {
  AuditChange,
  DialogPayload,
  InjectPayload,
  JournalEntry,
  OperationPayload,
  WebhookPayload,
} from './ports/sessionStore.ts';

/** A journaled operation with its payload at hand. */
export interface LoadedOperation<Payload extends OperationPayload = OperationPayload> {
  readonly entry: JournalEntry;
  readonly payload: Payload;
}

/** An operation that puts variables, each as a whole. */
export type InjectOperation = LoadedOperation<InjectPayload | WebhookPayload>;

export type DialogOperation = LoadedOperation<DialogPayload>;

export function isInject(operation: LoadedOperation): operation is InjectOperation {
  return operation.payload.kind === 'inject' || operation.payload.kind === 'webhook';
}

export function isDialog(operation: LoadedOperation): operation is DialogOperation {
  return operation.payload.kind === 'dialog-state';
}

/** What a payload says in so many words, variable by variable. */
export function variablesOf(payload: OperationPayload): readonly Variable[] {
  switch (payload.kind) {
    case 'inject':
    case 'webhook':
      return payload.variables;
    case 'dialog-state':
      return dialogVariablesOf(payload.change);
    case 'sync':
    case 'expire':
      return [];
  }
}

/**
 * The operations at the front of a journal that go together: a change of a dialog goes alone, between what was committed before
 * it and what was committed after it (DESIGN I3).
 */
export function leadingRun<Entry extends Pick<JournalEntry, 'kind'>>(open: readonly Entry[]): readonly Entry[] {
  const firstDialog = open.findIndex(({ kind }) => kind === 'dialog-state');
  return firstDialog < 0 ? open : open.slice(0, Math.max(1, firstDialog));
}

/** The surface whose token a run will want first. */
export function firstSurfaceOf(run: readonly Pick<JournalEntry, 'kind'>[]): PushSurface {
  if (run[0]?.kind === 'dialog-state') return 'dialog';
  if (run.every(({ kind }) => kind === 'webhook')) return 'webhook';
  return run.every(({ kind }) => kind === 'sync' || kind === 'expire') ? 'context' : 'inject';
}

/** Operations of one session that leave as one upstream request. */
export interface Batch {
  readonly operations: readonly InjectOperation[];
  /** Absolute values; where operations set the same variable, the last in commit order. */
  readonly variables: readonly Variable[];
  /** What the bot is to forget with the same request. */
  readonly expired?: readonly ExpiredVariable[];
}

/**
 * The surface by which a batch leaves. What derives from messages alone has its own; as soon as there is anything else in it, all
 * of it leaves by the one that can say everything: changes that wait for one session leave as one request (SPEC 3 "Rate").
 */
export function surfaceOf({ operations, expired }: Pick<Batch, 'operations' | 'expired'>): 'inject' | 'webhook' {
  const isMessages = operations.length > 0 && operations.every(({ payload }) => payload.kind === 'webhook');
  return isMessages && expired === undefined ? 'webhook' : 'inject';
}

/** A batch as the upstream is asked to take it. */
export function requestOf(batch: Batch): Omit<InjectRequest, 'sessionId'> {
  const { variables, expired } = batch;
  return { variables, surface: surfaceOf(batch), ...(expired !== undefined && { expired }) };
}

export interface Plan {
  readonly batches: readonly Batch[];
  /** Operations of which nothing is left to push. */
  readonly expired: readonly InjectOperation[];
}

/**
 * Decides what is sent: values that have expired meanwhile are dropped *before* being pushed (SCENARIOS 24), and operations
 * leave together as long as their request stays within `maxBytes`, in commit order.
 */
export function planPush(
  operations: readonly InjectOperation[],
  nowMs: number,
  limits: { readonly maxBytes: number; readonly bytesOf: (batch: Batch) => number },
): Plan {
  const batches: Batch[] = [];
  const expired: InjectOperation[] = [];
  let open: { operations: InjectOperation[]; variables: Map<string, Variable> } | undefined;
  const close = () => {
    if (open !== undefined) batches.push({ operations: open.operations, variables: [...open.variables.values()] });
  };
  for (const operation of operations) {
    const live = operation.payload.variables.filter((variable) => !isExpired(variable, nowMs));
    if (live.length === 0) {
      expired.push(operation);
      continue;
    }
    const own = new Map(live.map((variable) => [variableId(variable), variable]));
    const united = new Map([...(open?.variables ?? []), ...own]);
    const together = { operations: [...(open?.operations ?? []), operation], variables: [...united.values()] };
    if (open !== undefined && limits.bytesOf(together) <= limits.maxBytes) {
      open.operations.push(operation);
      open.variables = united;
    } else {
      close();
      open = { operations: [operation], variables: own };
    }
  }
  close();
  return { batches, expired };
}

/** One batch for each operation, for when the upstream refuses what they say together. */
export function splitBatch({ operations, expired }: Batch, nowMs: number): Batch[] {
  const each = operations.map((operation) => ({
    operations: [operation],
    variables: operation.payload.variables.filter((variable) => !isExpired(variable, nowMs)),
  }));
  return expired === undefined ? each : [...each, { operations: [], variables: [], expired }];
}

export interface Applied {
  readonly mirror: Mirror;
  /** What each operation changes, by its id. */
  readonly changes: ReadonlyMap<string, readonly AuditChange[]>;
}

/** The mirror after `operations`, in commit order. */
export function applyOperations(
  mirror: Mirror,
  operations: readonly (InjectOperation | DialogOperation)[],
  nowMs: number,
): Applied {
  let next = mirror;
  const changes = new Map<string, readonly AuditChange[]>();
  for (const { entry, payload } of operations) {
    const live = variablesOf(payload).filter((variable) => !isExpired(variable, nowMs));
    const put = putVariables(next, live, { version: entry.version, atMs: nowMs, source: entry.client });
    next = put.mirror;
    changes.set(entry.operationId, put.changes);
  }
  return { mirror: next, changes };
}
