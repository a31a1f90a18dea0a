import { eventually } from '../fixtures/stack/time.ts';
import { account } from './accounting/account.ts';
import { type Given, gather, pendingOperations, tenantVersions, type Witnesses } from './gather.ts';
import { SHORT_TTL_MAX_SECONDS } from './load/requests.ts';

const LOOK_EVERY_MS = 1_000;
/** So many looks in a row nothing has happened at the tenant: the schedule comes every second. */
const QUIET_LOOKS = 4;

/**
 * Waits until nobody has anything left to do: nothing is pending, what was to expire has, the tenant hears nothing new, and the
 * books balance. What does not come within `withinMs` does not come, and is found when the accounts are made.
 */
export async function comeToRest(
  witnesses: Witnesses,
  given: Omit<Given, 'followsAnswers'>,
  withinMs: number,
): Promise<void> {
  const untilMs = Date.now() + withinMs;
  const lastSentAtMs = Math.max(
    0,
    ...given.exchanges.flatMap(({ attempts }) => attempts.map(({ sentAtMs }) => sentAtMs)),
  );
  const expiredAtMs = lastSentAtMs + SHORT_TTL_MAX_SECONDS * 1_000;
  let versions = '';
  let quietLooks = 0;
  const isQuiet = async () => {
    const now = await tenantVersions(witnesses.tenantUrl);
    quietLooks = now === versions ? quietLooks + 1 : 0;
    versions = now;
    return quietLooks >= QUIET_LOOKS && Date.now() > expiredAtMs && (await pendingOperations(witnesses)) === 0;
  };
  const balances = async () => account(await gather(witnesses, { ...given, followsAnswers: false })).length === 0;
  const within = () => ({ withinMs: Math.max(0, untilMs - Date.now()), everyMs: LOOK_EVERY_MS });
  try {
    await eventually(isQuiet, within());
    await eventually(balances, within());
  } catch {
    // The accounts will say what is missing.
  }
}
