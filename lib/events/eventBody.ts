import type { JsonObject } from '../context/json.ts';
import type { OutboundEvent } from '../operations/ports/eventQueue.ts';

/** An event as it is told (SPEC 7 "Out"): `crm` is null where nobody has said anything. */
export function eventBody({ type, timestamp, data }: OutboundEvent): JsonObject {
  const { sessionId, event, operationId, version, paths, pathsOmitted, code, crm } = data;
  return {
    type,
    timestamp,
    data: {
      sessionId,
      event,
      operationId,
      version,
      paths,
      ...(pathsOmitted !== undefined && { pathsOmitted }),
      ...(code !== undefined && { code }),
      crm: crm ?? null,
    },
  };
}
