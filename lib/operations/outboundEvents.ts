import { maskPii } from '../context/piiPaths.ts';
import type { SchemaRules } from '../context/schemaRules.ts';
import type { SessionId } from '../context/sessionId.ts';
import type { OutboundEvent } from './ports/eventQueue.ts';
import type { AuditPayload, NewAuditEntry } from './ports/sessionStore.ts';

/** Bytes of all paths of one event: with everything else it has to fit into 256 KB (EventBridge's limit). */
const PATHS_MAX_BYTES = 100_000;

const CONFIRMED: Readonly<Record<Exclude<AuditPayload['operation'], 'erase'>, OutboundEvent['type']>> = {
  inject: 'context.injected',
  webhook: 'context.injected',
  sync: 'context.synced',
  expire: 'context.expired',
  'dialog-state': 'dialog.updated',
};

/**
 * What is to be told outside of how an operation ended (SPEC 7 "Out"); `undefined` while it has not ended, and for a request
 * that never became an operation. Made of the audit entry alone, so that whoever makes it makes the same.
 */
export function outboundEventOf(
  { operationId, atMs, payload }: NewAuditEntry,
  { sessionId, schema }: { readonly sessionId: SessionId; readonly schema: Pick<SchemaRules, 'ruleOf'> },
): OutboundEvent | undefined {
  const { operation, outcome, versionAfter: version, code, crm, changes, expired = [] } = payload;
  if (operation === 'erase' || outcome === 'pending' || version === undefined) return undefined;
  const type = outcome === 'confirmed' ? CONFIRMED[operation] : 'context.failed';
  // What the bot has done meanwhile is not what the operation did.
  const own = [...changes.filter(({ cause }) => cause !== 'bot'), ...expired].map(({ path }) => path);
  return {
    type,
    timestamp: new Date(atMs).toISOString(),
    data: {
      sessionId,
      event: type,
      operationId,
      version,
      ...tellablePaths(schema, own),
      ...(code !== undefined && { code }),
      ...(crm !== undefined && { crm }),
    },
  };
}

/** As many paths as an event has room for, and how many there are beside them. */
export function tellablePaths(
  schema: Pick<SchemaRules, 'ruleOf'>,
  all: readonly string[],
): Pick<OutboundEvent['data'], 'paths' | 'pathsOmitted'> {
  const masked = maskPii(schema, all);
  let bytes = 0;
  const end = masked.findIndex((path) => {
    bytes += Buffer.byteLength(path, 'utf8') + 3;
    return bytes > PATHS_MAX_BYTES;
  });
  if (end < 0) return { paths: masked };
  return { paths: masked.slice(0, end), pathsOmitted: masked.length - end };
}
