import { isExpired } from '../context/expiry.ts';
import {
  hashOf,
  type LoadedVariable,
  type Mirror,
  type MirrorVariable,
  mirrorId,
  seenScopes,
  topOf,
} from '../context/mirror.ts';
import { pointerOf, tokensOf } from '../context/pointer.ts';
import type { ContextSchema } from '../context/schema.ts';
import { type Variable, variableId } from '../context/variables.ts';
import {
  type Applied,
  type Batch,
  type InjectOperation,
  type LoadedOperation,
  requestOf,
  variablesOf,
} from './plan.ts';
import type { CognigyPort, ExpiredVariable } from './ports/cognigy.ts';
import type { AuditChange } from './ports/sessionStore.ts';
import { isSync, temporaryLeaves } from './syncPatch.ts';

/** How what has expired leaves the bot by the way it has come: key by key (ADR 0011). */

/** What the bot is to forget leaves with the first variables, if there are any and there is room; else by itself. */
export function withForgotten(
  cognigy: CognigyPort,
  batches: readonly Batch[],
  { leaving, restored }: { readonly leaving: readonly ExpiredVariable[]; readonly restored: readonly Variable[] },
): readonly Batch[] {
  const all = restored.length === 0 ? batches : [{ operations: [], variables: restored }, ...batches];
  if (leaving.length === 0) return all;
  const expired = [...new Map(leaving.map((each) => [forgottenId(each), each])).values()];
  const [first, ...rest] = all;
  const withAll = first && { ...first, expired };
  if (withAll !== undefined && fits(cognigy, withAll)) return [withAll, ...rest];
  return [...pieces(cognigy, expired).map(forgetting), ...all];
}

function fits(cognigy: CognigyPort, batch: Batch): boolean {
  return cognigy.injectBytes(requestOf(batch)) <= cognigy.capabilities.injectMaxBytes;
}

/** As many requests as it takes: to forget a variable may take more bytes than to be told of it. */
function pieces(cognigy: CognigyPort, expired: readonly ExpiredVariable[]): (readonly ExpiredVariable[])[] {
  if (expired.length === 1 || fits(cognigy, forgetting(expired))) return [expired];
  const half = Math.ceil(expired.length / 2);
  return [...pieces(cognigy, expired.slice(0, half)), ...pieces(cognigy, expired.slice(half))];
}

/** A batch of nothing but what the bot is to forget. */
function forgetting(expired: readonly ExpiredVariable[]): Batch {
  return { operations: [], variables: [], expired };
}

/**
 * How what may be in the bot, but should not, is set right: the bot forgets it, or gets back what the mirror has there. What is
 * sent anyway needs nothing.
 */
export function undoing(
  lapsed: readonly Variable[],
  current: Mirror,
  { nowMs, sent }: { readonly nowMs: number; readonly sent: readonly InjectOperation[] },
): { forget: ExpiredVariable[]; restore: Variable[] } {
  const versions = new Set(sent.map(({ entry }) => entry.version));
  const forget: ExpiredVariable[] = [];
  const restore: Variable[] = [];
  for (const { key, scope, expiresAtMs = 0 } of new Map(lapsed.map((each) => [variableId(each), each])).values()) {
    const held = current.variables.get(mirrorId({ scope, path: pointerOf([key]) }));
    if (held === undefined || isExpired(held, nowMs)) forget.push({ key, scope, expiresAtMs });
    else if (held.value !== undefined && !versions.has(held.version)) {
      const expiry = held.expiresAtMs !== undefined && { expiresAtMs: held.expiresAtMs };
      restore.push({ key, scope, value: held.value, ...expiry });
    }
  }
  return { forget, restore };
}

/**
 * What an operation would have put for a time only, as over by now. It has no version: what was committed before it and is still
 * pending takes its place like what comes later.
 */
export function temporaryOf(
  operation: LoadedOperation,
  { mirror, schema, nowMs }: { readonly mirror: Mirror; readonly schema: ContextSchema; readonly nowMs: number },
): LoadedVariable[] {
  const over = ({ expiresAtMs = nowMs }: { readonly expiresAtMs?: number }) => Math.min(expiresAtMs, nowMs);
  if (isSync(operation)) {
    const scopes = seenScopes(mirror.variables.values());
    return temporaryLeaves(operation, schema).map((leaf) => {
      return { ...leaf, scope: scopes.get(topOf(leaf.path)) ?? leaf.scope, expiresAtMs: over(leaf), version: 0 };
    });
  }
  const { client: source } = operation.entry;
  return variablesOf(operation.payload)
    .filter(({ expiresAtMs }) => expiresAtMs !== undefined)
    .map(({ key, scope, value, ...rest }): LoadedVariable => {
      const path = pointerOf([key]);
      return { path, scope, via: 'inject', value, expiresAtMs: over(rest), updatedAtMs: nowMs, source, version: 0 };
    });
}

/** The keys to forget: a key goes as a whole, with all that has expired in it. */
export function keysToForget(leaving: readonly MirrorVariable[]): ExpiredVariable[] {
  const byKey = new Map<string, ExpiredVariable>();
  for (const { path, scope, expiresAtMs = 0 } of leaving) {
    const [key = ''] = tokensOf(path);
    const variable = { key, scope, expiresAtMs };
    const id = forgottenId(variable);
    if ((byKey.get(id)?.expiresAtMs ?? 0) <= expiresAtMs) byKey.set(id, variable);
  }
  return [...byKey.values()];
}

function forgottenId({ key, scope }: Pick<ExpiredVariable, 'key' | 'scope'>): string {
  return mirrorId({ scope, path: pointerOf([key]) });
}

/** Without what has left the bot. */
export function withoutLeft(applied: Applied, left: readonly MirrorVariable[], { entry }: LoadedOperation): Applied {
  const variables = new Map(applied.mirror.variables);
  for (const variable of left) variables.delete(mirrorId(variable));
  const changes = new Map(applied.changes);
  changes.set(entry.operationId, left.map(removalOf));
  return { mirror: { version: Math.max(applied.mirror.version, entry.version), variables }, changes };
}

function removalOf(variable: MirrorVariable): AuditChange {
  return { path: variable.path, scope: variable.scope, before: hashOf(variable), after: null, cause: 'expired' };
}
