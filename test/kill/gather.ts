import type { JournalEntry } from '../../infra/local/tenant/journal.ts';
import type { SessionView } from '../../infra/local/tenant/sessions.ts';
import type { JsonObject } from '../../lib/context/json.ts';
import { type Json, send } from '../fixtures/stack/send.ts';
import type { Delivery, DepartureEvidence, Evidence, FollowedAnswer, SessionEvidence, TrailEntry } from './evidence.ts';
import type { Departure, Exchange } from './exchange.ts';
import { API_KEY } from './settings.ts';

/** Where everything is that can be asked. */
export interface Witnesses {
  readonly bridgeUrl: string;
  readonly tenantUrl: string;
  /** Lines of `npm run receiver`. */
  readonly receiverLines: readonly string[];
  readonly sessions: readonly string[];
  readonly departures: readonly Departure[];
}

export interface Given extends Pick<Evidence, 'exchanges' | 'ratePerMinute' | 'areDeliveriesComplete'> {
  /** Whether every `202` is followed to where it points. */
  readonly followsAnswers: boolean;
}

const PAGE = 500;

/** Asks the bridge, the tenant and the receiver what there is. */
export async function gather(witnesses: Witnesses, { followsAnswers, ...given }: Given): Promise<Evidence> {
  const { tenantUrl, receiverLines } = witnesses;
  const { sessions: atTenant } = await admin<{ sessions: SessionView[] }>(tenantUrl, 'sessions');
  const { entries: journal } = await admin<{ entries: JournalEntry[] }>(tenantUrl, 'journal');
  const sessions: SessionEvidence[] = [];
  for (const sessionId of witnesses.sessions) {
    const tenant = atTenant.find((each) => each.sessionId === sessionId);
    sessions.push(await askAbout(witnesses, sessionId, tenant));
  }
  const departures: DepartureEvidence[] = [];
  for (const departure of witnesses.departures) {
    const { bridgeUrl } = witnesses;
    const isKnown = (await ask(bridgeUrl, `/v1/sessions/${departure.sessionId}`)) !== undefined;
    departures.push({ ...departure, isKnown, ...(await trailOf(bridgeUrl, departure.sessionId)) });
  }
  const followed = followsAnswers ? await follow(witnesses, given.exchanges) : [];
  const deliveries = receiverLines.flatMap(deliveryOf);
  return { ...given, takenAtMs: Date.now(), sessions, departures, journal, deliveries, followed };
}

/** What changes at the tenant changes this. */
export async function tenantVersions(tenantUrl: string): Promise<string> {
  const { sessions } = await admin<{ sessions: SessionView[] }>(tenantUrl, 'sessions');
  return sessions.map(({ sessionId, version }) => `${sessionId} ${version}`).join();
}

/** Operations that wait, of all sessions together. */
export async function pendingOperations({ bridgeUrl, sessions }: Witnesses): Promise<number> {
  const bodies = await Promise.all(sessions.map((sessionId) => ask(bridgeUrl, `/v1/sessions/${sessionId}`)));
  return bodies.reduce((sum, body) => sum + (body?.pendingOperations ?? 0), 0);
}

async function askAbout(
  { bridgeUrl }: Witnesses,
  sessionId: string,
  tenant: SessionView | undefined,
): Promise<SessionEvidence> {
  const trail = await trailOf(bridgeUrl, sessionId);
  const body = await ask(bridgeUrl, `/v1/sessions/${sessionId}`);
  const context: JsonObject = body?.context ?? {};
  return { sessionId, ...trail, pendingOperations: body?.pendingOperations ?? 0, context, tenant };
}

/** All entries, oldest first. */
async function trailOf(bridgeUrl: string, sessionId: string): Promise<Pick<SessionEvidence, 'trail' | 'chain'>> {
  const trail: TrailEntry[] = [];
  let chain: SessionEvidence['chain'] = { valid: true, brokenAt: null };
  for (let cursor: string | null = ''; cursor !== null; ) {
    const more: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await ask(bridgeUrl, `/v1/sessions/${sessionId}/audit?limit=${PAGE}${more}`);
    trail.unshift(...(page?.entries ?? []).toReversed());
    if (page?.chain.valid === false) chain = page.chain;
    cursor = page?.nextCursor ?? null;
  }
  return { trail, chain };
}

async function follow({ bridgeUrl }: Witnesses, exchanges: readonly Exchange[]): Promise<FollowedAnswer[]> {
  const locations = exchanges.flatMap(({ attempts }) => attempts.flatMap(({ answer }) => answer?.location ?? []));
  const followed: FollowedAnswer[] = [];
  for (const location of new Set(locations)) {
    const page = await ask(bridgeUrl, location);
    const entries: TrailEntry[] = page?.entries ?? [];
    followed.push({ location, outcomes: entries.map(({ outcome }) => outcome) });
  }
  return followed;
}

/** `undefined` for what is not known (yet). */
async function ask(bridgeUrl: string, path: string): Promise<Json | undefined> {
  const { status, body, text } = await send(bridgeUrl, path, { headers: { authorization: `Bearer ${API_KEY}` } });
  if (status === 200) return body;
  if (status === 404) return undefined;
  throw new Error(`${path} answers ${status}: ${text}`);
}

async function admin<Body>(tenantUrl: string, what: string): Promise<Body> {
  const { status, body } = await send(tenantUrl, `/__admin/${what}`);
  if (status !== 200) throw new Error(`the tenant answers ${status} about ${what}`);
  return body;
}

/** As in `12:00:00  verified  01M7…  context.injected  sess_7  /crm_tier  → 204`. */
function deliveryOf(line: string): Delivery[] {
  const [time = '', verdict = '', id = '', type = '', sessionId = '', ...rest] = line.split('  ');
  if (!/^\d\d:\d\d:\d\d$/.test(time)) return [];
  return [{ verified: verdict === 'verified', id, type, sessionId, rest: rest.join('  ') }];
}
