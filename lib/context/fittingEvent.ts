import type { JsonObject } from './json.ts';

interface Tellable {
  readonly data: { readonly paths: readonly string[]; readonly pathsOmitted?: number; readonly crm?: JsonObject };
}

/**
 * The event, or as much of it as fits into `maxBytes` of JSON: without its paths, then without `crm`, which is whatever a client
 * has sent. Better told of in part than never (EventBridge takes 256 KB, an item 400 KB).
 */
export function fittingEvent<Event extends Tellable>(event: Event, maxBytes: number): Event {
  if (isWithin(event, maxBytes)) return event;
  const { paths, pathsOmitted = 0, crm, ...rest } = event.data;
  const data = { ...rest, paths: [], pathsOmitted: pathsOmitted + paths.length };
  const withoutPaths = { ...event, data: { ...data, ...(crm !== undefined && { crm }) } };
  return isWithin(withoutPaths, maxBytes) ? withoutPaths : { ...event, data };
}

function isWithin(event: Tellable, maxBytes: number): boolean {
  return Buffer.byteLength(JSON.stringify(event), 'utf8') <= maxBytes;
}
