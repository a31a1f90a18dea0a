import {
  type BelievedDialog,
  collisionsOf,
  type DialogChange,
  type DialogState,
  type DialogVariables,
  dialogDigest,
  fateOf,
  seenAt,
} from '../../context/dialogState.ts';
import { isJsonObject, type JsonObject } from '../../context/json.ts';
import { pointerOf } from '../../context/pointer.ts';
import { nestingOf } from '../../context/size.ts';
import type { DialogRequest, DialogResult, KnownDialog, UpstreamCall } from '../../operations/ports/cognigy.ts';
import { AuthorizedCall, type Ending } from '../authorizedCall.ts';
import { backoffMs } from '../backoff.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';
import { isHardlyBegun, MAX_TRIES } from '../retry.ts';
import { MAX_READ_NESTING, MAX_ROUNDS, pauseAfterConflict } from './conflict.ts';
import type { SurfaceOptions } from './surfaces.ts';

/**
 * The body of a change of a dialog, byte for byte: only what is there (SPEC 3).
 *
 * @example
 * dialogBody({ user: { tier: 'gold' }, transition: { nextStep: 'offer' } });
 * // {"user":{"tier":"gold"},"transition":{"nextStep":"offer"}}
 */
export function dialogBody({ session, user, transition }: DialogChange): string {
  return JSON.stringify({ session, user, transition });
}

/**
 * Changes a dialog (SPEC 3 "dialog-state", ADR 0016).
 *
 * ```text
 *   ┌─ known, or nothing known ─▶ PATCH, If-Match ─┬─ 200 ────────────────────────────────▶ confirmed
 *   │                               ▲              ├─ 409, 412 ─┬─ client's If-Match ─────▶ version-mismatch
 *   │                               │              │            └─────────────┐
 *   │                    nothing collides          └─ no answer, or a senseless one: made, or not?
 *   │                               │                                         ▼
 *   └─ outdated, or sent before ────┴───────────────────────────────────────  GET ─┬─ made ───▶ confirmed
 *                                                                                  └─ collides, or nobody knows ─▶ conflict
 * ```
 *
 * A PATCH is never repeated blindly: where it may have been made, the dialog is read before anything else is sent; and once one
 * was not heard of, a mismatch may be our own doing, too. One that left without a version can be made at any time after: then
 * the next one is left to a later push. Variables and transition are one PATCH, so they take effect together or not at all.
 */
export function updateDialog(
  options: SurfaceOptions,
  request: DialogRequest,
  upstreamCall: UpstreamCall,
): Promise<DialogResult> {
  return new DialogUpdate(options, request, upstreamCall).run();
}

interface Read {
  readonly state: DialogState;
  readonly known: KnownDialog;
}

/** Of what clients have been told about, this much is remembered (pointers). */
const SEEN_MAX = 200;
const NO_VARIABLES: BelievedDialog = { session: {}, user: {}, ofBot: {} };

class DialogUpdate {
  readonly #options: SurfaceOptions;
  readonly #request: DialogRequest;
  readonly #call: AuthorizedCall;
  readonly #url: string;
  readonly #deadlineMs: number;
  /** What the next PATCH goes by. */
  #known: KnownDialog | undefined;
  /** What an earlier PATCH went by that may have been made, although nobody has told us. Of an outdated one only the tag holds. */
  #before: KnownDialog | undefined;
  /** Such a PATCH has left: whatever we meet may be our own doing. */
  #wasUnheard: boolean;
  /** And it has not been found out yet whether it was made. */
  #isUnknown: boolean;
  /** The upstream says that it has not begun. A look costs less than a transition that is made twice. */
  #isDoubted = false;

  constructor(options: SurfaceOptions, request: DialogRequest, upstreamCall: UpstreamCall) {
    this.#options = options;
    this.#request = request;
    this.#call = new AuthorizedCall(options, upstreamCall);
    this.#url = `${options.baseUrl}/runtime/v2/dialogs/${pathSegment(request.sessionId)}/state`;
    this.#isUnknown = request.isUnknown === true;
    this.#deadlineMs = upstreamCall.deadlineMs;
    this.#wasUnheard = this.#isUnknown;
    const { ifMatch, known, isOutdated } = request;
    // Of the tag that the client insists on we know more only where it is the one we know.
    this.#known = ifMatch === undefined || ifMatch === known?.etag ? known : { etag: ifMatch };
    this.#before = this.#known && isOutdated === true ? { etag: this.#known.etag } : this.#known;
  }

  async run(): Promise<DialogResult> {
    try {
      return await this.#change();
    } finally {
      this.#call.close();
    }
  }

  async #change(): Promise<DialogResult> {
    const { ifMatch, isOutdated, change } = this.#request;
    let mustRead = this.#isUnknown || (isOutdated === true && ifMatch === undefined);
    for (let round = 0; ; round += 1) {
      if (mustRead) {
        const ended = await this.#look();
        if (ended !== undefined) return ended;
      }
      const etag = ifMatch ?? this.#known?.etag;
      const patch = await this.#call.send({
        method: 'PATCH',
        url: this.#url,
        body: dialogBody(change),
        isRepeatable: false,
        ...(etag !== undefined && { ifMatch: etag }),
      });
      if (patch.kind === 'answer') {
        const ended = await this.#judge(patch.answer, round);
        if (ended !== undefined) return ended;
      } else if (patch.ending.kind !== 'unavailable') {
        return this.#end(patch.ending);
      } else if (!patch.ending.outcomeUnknown) {
        const isSaid = isHardlyBegun({ status: patch.ending.upstreamStatus }) && patch.ending.reason === 'down';
        if (!isSaid || round + 1 >= MAX_TRIES || !(await this.#mayAskAgain(patch.ending)))
          return this.#end(patch.ending);
        this.#isDoubted = true;
      } else {
        this.#unheard();
        if (round === MAX_ROUNDS) return this.#stillUnknown();
      }
      if (this.#isUnknown && etag === undefined && change.transition !== undefined) {
        return (await this.#look()) ?? this.#stillUnknown();
      }
      if (round > 0) await pauseAfterConflict(this.#options, round);
      mustRead = true;
    }
  }

  /** False where the upstream wants to be left alone for longer than there is time. */
  async #mayAskAgain({ retryAtMs = 0 }: { readonly retryAtMs?: number | undefined }): Promise<boolean> {
    const { clock, random } = this.#options;
    const atMs = Math.max(retryAtMs, clock.now() + backoffMs(0, random.next()));
    if (atMs >= this.#deadlineMs) return false;
    await clock.sleep(atMs - clock.now());
    return true;
  }

  #unheard(): void {
    this.#isUnknown = true;
    this.#wasUnheard = true;
    this.#before = this.#known;
  }

  /** What an answer to a PATCH means; `undefined` where the dialog has to be read. */
  async #judge(answer: HttpAnswer, round: number): Promise<DialogResult | undefined> {
    const { ifMatch, change } = this.#request;
    if (answer.status === 409 || answer.status === 412) {
      if (this.#wasUnheard) this.#isUnknown = true;
      else if (ifMatch !== undefined) return this.#mismatch(answer);
      if (round < MAX_ROUNDS) return undefined;
      return this.#isUnknown ? this.#stillUnknown() : this.#conflict(allPaths(change));
    }
    if (!isDone(answer)) return this.#end(this.#call.refusedBy(answer));
    const known = knownBy(answer);
    if (known !== undefined) return this.#confirmed(objectOf(answer) ?? {}, known);
    // It says that it was done, in a way that makes no sense: that is not taken for granted, nor done again (SCENARIOS 22).
    this.#unheard();
    return round === MAX_ROUNDS ? this.#stillUnknown() : undefined;
  }

  /** Reads the dialog and decides what that means; `undefined` where the change is to be sent, by what is known now. */
  async #look(): Promise<DialogResult | undefined> {
    const { change, ifMatch, believed, known: remembered } = this.#request;
    const read = await this.#read();
    if (!('state' in read)) return read;
    const { state, known } = read;
    const values = await believed();
    if (this.#isUnknown || this.#isDoubted) {
      const now = { ...state, etag: known.etag };
      const before = this.#isUnknown ? this.#before : this.#known;
      const fate = fateOf(change, { before, believed: values ?? NO_VARIABLES, now });
      if (fate === 'made') return this.#confirmed({ ...state }, known);
      if (fate === 'unknown' && this.#isUnknown) return this.#conflict(allPaths(change));
      this.#isUnknown = false;
      this.#isDoubted = false;
    }
    this.#known = known;
    // What is sent from here on goes by this; and so might what was not heard of.
    this.#before = known;
    if (ifMatch !== undefined) return ifMatch === known.etag ? undefined : this.#mismatch(undefined, known);
    const collisions = values === undefined ? [] : collisionsOf(change, values, state, remembered?.seen);
    if (collisions.length === 0) return undefined;
    // What the client is told about here it has seen: who says it again means it. Of all else we know no more than before.
    const seen = Object.entries({ ...remembered?.seen, ...seenAt(collisions, state) }).slice(-SEEN_MAX);
    return this.#conflict(collisions, { ...(remembered ?? known), seen: Object.fromEntries(seen) });
  }

  async #read(): Promise<Read | DialogResult> {
    const read = await this.#call.send({ method: 'GET', url: this.#url }, { anotherFollows: true });
    if (read.kind === 'ended') return this.#end(read.ending);
    const state = stateOf(read.answer);
    if (state === undefined) return this.#end(this.#call.refusedBy(read.answer));
    const digest = digestOf(state);
    const { version } = state;
    return { state, known: { etag: etagOf(read.answer, version), version, ...(digest !== undefined && { digest }) } };
  }

  /**
   * While nobody knows whether the change was made, trouble with access and with the way there does not end it: it stays pending,
   * and the dialog is read later. Who refuses to show the dialog for good leaves it in dispute.
   */
  #end(ending: Ending): DialogResult {
    if (!this.#isUnknown) return ending;
    if (ending.kind === 'unavailable') return { ...ending, outcomeUnknown: true };
    if (ending.code === 'session-ended') return ending;
    return ending.code === 'upstream-rejected' ? this.#conflict(allPaths(this.#request.change)) : this.#stillUnknown();
  }

  /** For a later push to find out; what is known until then goes along. */
  #stillUnknown(): DialogResult {
    const dialog = this.#before !== undefined && this.#before.version !== undefined && { dialog: this.#before };
    return { kind: 'unavailable', reason: 'down', outcomeUnknown: true, ...this.#call.sent, ...dialog };
  }

  #confirmed(answer: JsonObject, known: KnownDialog): DialogResult {
    const { change, known: remembered } = this.#request;
    // Of other places clients have been told all the same.
    const seen = remembered?.seen !== undefined && { seen: remembered.seen };
    return { kind: 'confirmed', result: shownOf(answer, change), ...this.#call.sent, dialog: { ...known, ...seen } };
  }

  #conflict(paths: readonly string[], dialog?: KnownDialog): DialogResult {
    return { ...this.#call.refused('conflict', paths), ...(dialog !== undefined && { dialog }) };
  }

  /** The client is told the tag that the dialog has instead: from the refusal itself, or by asking. */
  async #mismatch(answer: HttpAnswer | undefined, read?: KnownDialog): Promise<DialogResult> {
    let etag = read?.etag ?? answer?.headers.get('etag') ?? undefined;
    if (etag === undefined) {
      const current = await this.#read();
      if ('state' in current) etag = current.known.etag;
    }
    return { ...this.#call.refused('version-mismatch'), ...(etag !== undefined && { currentEtag: etag }) };
  }
}

/**
 * Of an answer, which may be the whole dialog, what the change is about: the rest is not the client's business, and may have
 * expired.
 */
function shownOf(answer: JsonObject, change: DialogChange): JsonObject {
  const only = (scope: 'session' | 'user'): JsonObject => {
    const values = answer[scope];
    const names = Object.keys(change[scope] ?? {});
    if (!isJsonObject(values)) return {};
    return { [scope]: Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name))) };
  };
  return { ...answer, ...only('session'), ...only('user') };
}

function isDone({ status }: HttpAnswer): boolean {
  return status >= 200 && status < 300;
}

function objectOf({ body }: HttpAnswer): JsonObject | undefined {
  return typeof body !== 'string' && isJsonObject(body.json) && nestingOf(body.json) <= MAX_READ_NESTING
    ? body.json
    : undefined;
}

/** What a proper answer to a change says about the dialog since; undefined where it says nothing that makes sense. */
function knownBy(answer: HttpAnswer): KnownDialog | undefined {
  const said = objectOf(answer);
  if (said === undefined) return undefined;
  const { version, session, user } = said;
  const isVersion = typeof version === 'number' && Number.isSafeInteger(version);
  const etag = answer.headers.get('etag') ?? (isVersion ? `"${version}"` : '');
  if (etag === '') return undefined;
  const digest = isJsonObject(session) && isJsonObject(user) ? digestOf({ session, user }) : undefined;
  return { etag, ...(isVersion && { version }), ...(digest !== undefined && { digest }) };
}

/** The dialog as it is read: `{session, user, version}`. Undefined when this is none (SCENARIOS 22). */
function stateOf(answer: HttpAnswer): DialogState | undefined {
  if (answer.status !== 200) return undefined;
  const { session, user, version } = objectOf(answer) ?? {};
  if (!isJsonObject(session) || !isJsonObject(user)) return undefined;
  return typeof version === 'number' && Number.isSafeInteger(version) ? { session, user, version } : undefined;
}

function etagOf({ headers }: HttpAnswer, version: number): string {
  return headers.get('etag') ?? `"${version}"`;
}

/** Not of text that nobody can hash: half a surrogate pair is JSON, and no text (RFC 8785). */
function digestOf(state: DialogVariables): string | undefined {
  try {
    return dialogDigest(state);
  } catch {
    return undefined;
  }
}

/** JSON Pointers into the request of all that it would change. */
function allPaths({ session = {}, user = {}, transition }: DialogChange): string[] {
  const named = (scope: string, values: JsonObject) => Object.keys(values).map((name) => pointerOf([scope, name]));
  return [...named('session', session), ...named('user', user), ...(transition === undefined ? [] : ['/transition'])];
}
