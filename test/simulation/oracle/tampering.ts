import type { SessionId } from '../../../lib/context/sessionId.ts';
import { sessionPk } from '../../../lib/store/keys.ts';
import type { Chance } from '../world/chance.ts';
import type { Instance } from '../world/instance.ts';
import type { World } from '../world/world.ts';

/**
 * I6: somebody changes one byte of one archived entry, and the audit trail says which one. Done last; what was changed is put back.
 * @returns what is wrong, if anything is
 */
export async function tamperedPlace(
  world: World,
  { deps, process }: Instance,
  session: SessionId,
  chance: Chance,
): Promise<string | undefined> {
  const pk = sessionPk(deps.vault, { sessionId: session });
  const entries = [...world.table.items()].filter(
    (item) => item['pk']?.S === pk && item['sk']?.S?.startsWith('AUDIT#') && item['payload']?.B !== undefined,
  );
  const [first, ...others] = entries;
  if (first === undefined) return undefined;
  const chosen = chance.pick([first, ...others]);
  const changed = Uint8Array.from(chosen['payload']?.B ?? []);
  const at = chance.whole(0, changed.length - 1);
  changed[at] = (changed[at] ?? 0) ^ 1;
  world.table.tamper({ ...chosen, payload: { B: changed } });
  const page = await deps.store.readAudit({ sessionId: session }, { nowMs: process.clock.now(), limit: 1 });
  world.table.tamper(chosen);
  const seq = Number(chosen['seq']?.N);
  if (page?.chain.brokenAt === seq) return undefined;
  return `I6 entry ${seq} of ${session} was changed, and the trail says ${page?.chain.brokenAt ?? 'nothing'}`;
}
