import type { Invocation, RoundTrip } from './function/protocol.ts';

/**
 * The round trips that an invocation waited for, last first: from its end backwards, always the round trip that ended last before
 * the next one began. What ran beside them, or in the shadow of the upstream, is not among them.
 *
 * ```text
 *   commit ════╗                                   ╔═ settle
 *   read ═══   ║                                   ║
 *   permit ═══ ╚═ upstream ════════════════════════╝          path: settle, upstream, commit
 *                 archive ═══   write mirror ═══
 * ```
 */
export function criticalPath({ endMs, roundTrips }: Invocation): RoundTrip[] {
  const path: RoundTrip[] = [];
  let beforeMs = endMs;
  for (const roundTrip of [...roundTrips].sort((a, b) => b.endMs - a.endMs)) {
    if (roundTrip.endMs > beforeMs) continue;
    path.push(roundTrip);
    beforeMs = roundTrip.startMs;
  }
  return path;
}

/** Time in which an invocation waited for nobody: the whole without the round trips of its critical path. */
export function ownMs(invocation: Invocation): number {
  const waitedMs = criticalPath(invocation).reduce((total, { startMs, endMs }) => total + endMs - startMs, 0);
  return invocation.endMs - invocation.startMs - waitedMs;
}
