import type { SessionId } from '../../../lib/context/sessionId.ts';
import type { AuditPage } from '../../../lib/operations/ports/sessionStore.ts';
import { Vault } from '../../../lib/platform/vault.ts';
import { sessionPk } from '../../../lib/store/keys.ts';
import type { Call } from '../clients/calls.ts';
import type { Clients } from '../clients/clients.ts';
import { slotsIn } from '../clients/slots.ts';
import { type Instance, MASTER_KEY } from '../world/instance.ts';
import { type Arrival, type Crossing, sessionOf } from '../world/network.ts';
import type { Process } from '../world/process.ts';
import type { World, WorldWatchers } from '../world/world.ts';
import { checkAccepted } from './accepted.ts';
import { checkBot } from './bot.ts';
import { Budget } from './budget.ts';
import { Effects, type Ending, nameOf } from './effects.ts';
import type { Evidence, Rest, SessionEvidence } from './evidence.ts';
import { type LaneHistory, Lanes } from './lanes.ts';
import { checkLate } from './late.ts';
import { checkOnce } from './once.ts';
import { checkOrder } from './order.ts';
import { checkReaders } from './readers.ts';
import { checkRests } from './rests.ts';
import { Secrets } from './secrets.ts';
import { type Sighting, type Transition, transitionIn, valuesIn } from './sightings.ts';
import { checkTrail } from './trail.ts';

/** More of the same says nothing new. */
const BROKEN_MAX = 20;

/**
 * Looks at all that crosses between the bridge and the world, and says which invariant is broken. It goes by what clients were
 * told, what has reached the tenant, and what lies in the table; of the bridge's own code it asks only the audit trail, at the end.
 */
export class Oracle implements WorldWatchers {
  readonly violations: string[] = [];
  readonly secrets: Secrets;
  readonly budget: Budget;
  readonly lanes: Lanes;
  readonly #world: World;
  readonly #sessions: readonly SessionId[];
  readonly #sightings: Sighting[] = [];
  readonly #underWay = new Map<Crossing, Sighting[]>();
  readonly #transitions: Transition[] = [];
  readonly #rests: Rest[] = [];
  readonly #botChanges: { readonly session: SessionId; readonly atMs: number }[] = [];

  constructor(world: World, sessions: readonly SessionId[]) {
    this.#world = world;
    this.#sessions = sessions;
    this.secrets = new Secrets(this.broken);
    this.budget = new Budget(world.ratePerMinute, this.broken);
    const vault = new Vault(MASTER_KEY);
    const byKey = new Map(sessions.map((sessionId) => [sessionPk(vault, { sessionId }), sessionId]));
    this.lanes = new Lanes(byKey, () => world.timeline.exactMs, this.broken);
    world.table.watch((change) => {
      this.lanes.note(change);
      this.secrets.stored(change);
    });
    world.watchers = this;
  }

  readonly broken = (what: string): void => {
    if (this.violations.length < BROKEN_MAX) this.violations.push(what);
  };

  left(crossing: Crossing): void {
    this.budget.left(crossing);
    const session = this.#sessionOf(crossing.path);
    if (session === undefined) return;
    const isRewrite = crossing.path.startsWith('/api/v1/') && crossing.method === 'PUT';
    const sightings = [...valuesIn(crossing)].map(([slot, value]): Sighting => {
      return { session, slot, value, isRewrite, leftMs: crossing.leftMs, byClockMs: crossing.process.clock.now() };
    });
    this.#sightings.push(...sightings);
    this.#underWay.set(crossing, sightings);
  }

  arrived(arrival: Arrival): void {
    const sightings = this.#underWay.get(arrival.of) ?? [];
    if (arrival.applied) for (const sighting of sightings) sighting.atMs = arrival.atMs;
    const nextStep = transitionIn(arrival);
    const session = this.#sessionOf(arrival.path);
    if (nextStep !== undefined && session !== undefined) this.#transitions.push({ session, nextStep });
  }

  heard(arrival: Arrival): void {
    this.#underWay.delete(arrival.of);
    this.budget.heard(arrival, this.#world.timeline.exactMs);
  }

  /** The bot is about to change its own context. */
  botChanged(session: SessionId): void {
    this.#botChanges.push({ session, atMs: this.#world.timeline.exactMs });
  }

  /** The schedule has come round, with nothing in its way. */
  rested(): void {
    const atMs = this.#world.timeline.exactMs;
    for (const session of this.#sessions) {
      if (this.lanes.isBusy(session)) continue;
      const bot = slotsIn(this.#world.tenant.sessions.inspect(session)?.context ?? {});
      this.#rests.push({ session, atMs, bot });
    }
  }

  tableFailed(process: Process, pk: string): void {
    if (pk.startsWith('RATE#')) this.budget.isAlone(process, this.#world.timeline.exactMs);
  }

  tableAnswered(process: Process, _command: object, answer: unknown): void {
    const item: unknown = Reflect.get(Object(answer), 'Item') ?? Reflect.get(Object(answer), 'Attributes');
    const pk: unknown = Reflect.get(Object(Reflect.get(Object(item), 'pk')), 'S');
    if (typeof pk !== 'string' || !pk.startsWith('RATE#')) return;
    const untilMs = Number(Reflect.get(Object(Reflect.get(Object(item), 'pausedUntilMs')), 'N') ?? 0);
    this.budget.knows(process, untilMs, this.#world.timeline.exactMs);
  }

  #sessionOf(path: string): SessionId | undefined {
    const id = sessionOf(path);
    return this.#sessions.find((session) => session === id);
  }

  /** Looks at everything, when nothing is left to do. */
  async check(clients: Clients, observer: Instance): Promise<Evidence> {
    const callsById = new Map(clients.calls.map((call) => [call.id, call]));
    for (const { error } of clients.calls) this.secrets.error(error);
    const sessions: SessionEvidence[] = [];
    for (const session of this.#sessions) {
      const lane = this.lanes.of(session);
      const audit = await observer.deps.store.readAudit(
        { sessionId: session },
        { nowMs: observer.process.clock.now(), limit: Number.MAX_SAFE_INTEGER },
      );
      const endings = this.#endingsOf(lane, audit?.records ?? [], callsById);
      const bot = slotsIn(this.#world.tenant.sessions.inspect(session)?.context ?? {});
      const effects = new Effects(lane.committed, callsById);
      const botChangesMs = this.#botChanges.filter((each) => each.session === session).map(({ atMs }) => atMs);
      sessions.push({ session, lane, audit, endings, bot, effects, botChangesMs });
    }
    const evidence: Evidence = {
      calls: clients.calls,
      callsById,
      reads: clients.reads,
      sightings: this.#sightings,
      transitions: this.#transitions,
      told: this.#world.told,
      sessions,
      rests: this.#rests,
      mayIdle: this.#world.sessionTtlMs < 24 * 3_600_000,
      endMs: observer.process.clock.now(),
    };
    this.budget.check();
    for (const check of [
      checkAccepted,
      checkOnce,
      checkOrder,
      checkLate,
      checkBot,
      checkRests,
      checkReaders,
      checkTrail,
    ]) {
      check(evidence, this.broken);
    }
    return evidence;
  }

  /** How operations ended, and whether they may have reached the bot: with the last attempt, or with one before it. */
  #endingsOf(
    { session, committed }: LaneHistory,
    records: AuditPage['records'],
    callsById: ReadonlyMap<string, Call>,
  ): Map<string, Ending> {
    const tried = new Set(
      records.filter(({ payload }) => (payload?.attempts ?? 0) > 0).map(({ operationId }) => operationId),
    );
    const arrivedMs = new Map<string, number>();
    for (const { session: where, slot, value, atMs = Number.POSITIVE_INFINITY } of this.#sightings) {
      const name = nameOf(slot, value);
      if (where === session) arrivedMs.set(name, Math.min(atMs, arrivedMs.get(name) ?? Number.POSITIVE_INFINITY));
    }
    const endings = new Map<string, Ending>();
    for (const { operationId, payload } of records) {
      if (payload === undefined || payload.outcome === 'pending') continue;
      const by = committed.find((each) => each.operationId === operationId);
      const writes = callsById.get(by?.correlationId ?? '')?.writes ?? [];
      const hasReached = writes.some(
        ({ slot, value }) =>
          value === undefined ||
          (arrivedMs.get(nameOf(slot, value)) ?? Number.POSITIVE_INFINITY) <=
            (by?.endedAtMs ?? Number.POSITIVE_INFINITY),
      );
      const { outcome, code } = payload;
      endings.set(operationId, { outcome, code, mayHaveReached: tried.has(operationId) && hasReached });
    }
    return endings;
  }
}
