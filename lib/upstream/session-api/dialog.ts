import {
  collisionsOf,
  type DialogChange,
  type DialogState,
  type DialogVariables,
  dialogDigest,
  fateOf,
} from '../../context/dialogState.ts';
import { isJsonObject, type JsonObject } from '../../context/json.ts';
import { pointerOf } from '../../context/pointer.ts';
import { nestingOf } from '../../context/size.ts';
import type { DialogRequest, DialogResult, KnownDialog, UpstreamCall } from '../../operations/ports/cognigy.ts';
import { AuthorizedCall, type Ending } from '../authorizedCall.ts';
import { type HttpAnswer, pathSegment } from '../httpClient.ts';
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
 * Changes a dialog (SPEC 3 "dialog-state").
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
 * A PATCH is never repeated blindly: where it may have been made, the dialog is read before anything else is sent. Variables and
 * transition are one PATCH, so they take effect together or not at all.
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

class DialogUpdate {
  readonly #options: SurfaceOptions;
  readonly #request: DialogRequest;
  readonly #call: AuthorizedCall;
  readonly #url: string;
  /** What the next PATCH goes by. */
  #known: KnownDialog | undefined;
  /** A PATCH may have been made of which nobody has told us. */
  #isUnknown: boolean;

  constructor(options: SurfaceOptions, request: DialogRequest, upstreamCall: UpstreamCall) {
    this.#options = options;
    this.#request = request;
    this.#call = new AuthorizedCall(options, upstreamCall);
    this.#url = `${options.baseUrl}/runtime/v2/dialogs/${pathSegment(request.sessionId)}/state`;
    this.#isUnknown = request.isUnknown === true;
    const { ifMatch, known } = request;
    // Of the tag that the client insists on we know more only where it is the one we know.
    this.#known = ifMatch === undefined || ifMatch === known?.etag ? known : undefined;
  }

  async run(): Promise<DialogResult> {
    try {
      return await this.#change();
    } finally {
      this.#call.close();
    }
  }

  async #change(): Promise<DialogResult> {
    const { ifMatch, isOutdated } = this.#request;
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
        body: dialogBody(this.#request.change),
        isRepeatable: false,
        ...(etag !== undefined && { ifMatch: etag }),
      });
      if (patch.kind === 'ended') {
        const { ending } = patch;
        if (ending.kind !== 'unavailable' || !ending.outcomeUnknown || round === MAX_ROUNDS) return this.#end(ending);
        this.#isUnknown = true;
      } else {
        const { answer } = patch;
        const isMismatch = answer.status === 409 || answer.status === 412;
        const known = knownBy(answer);
        if (isMismatch && ifMatch !== undefined) return this.#mismatch(answer);
        if (isMismatch && round === MAX_ROUNDS) return this.#conflict(allPaths(this.#request.change));
        if (!isMismatch && !isDone(answer)) return this.#call.refusedBy(answer);
        if (!isMismatch && known !== undefined) return this.#confirmed(objectOf(answer) ?? {}, known);
        // It says that it was done, in a way that makes no sense: that is not taken for granted, nor done again (SCENARIOS 22).
        if (!isMismatch) this.#isUnknown = true;
        if (!isMismatch && round === MAX_ROUNDS) return this.#stillUnknown();
      }
      if (round > 0) await pauseAfterConflict(this.#options, round);
      mustRead = true;
    }
  }

  /** Reads the dialog and decides what that means; `undefined` where the change is to be sent, by what is known now. */
  async #look(): Promise<DialogResult | undefined> {
    const { change, ifMatch, believed } = this.#request;
    const read = await this.#read();
    if (!('state' in read)) return read;
    const { state, known } = read;
    const before = this.#known ?? (ifMatch === undefined ? undefined : { etag: ifMatch });
    const values = await believed();
    if (this.#isUnknown) {
      const fate = fateOf(change, { before, believed: values, now: { ...state, etag: known.etag } });
      if (fate === 'made') return this.#confirmed({ ...state }, known);
      if (fate === 'unknown') return this.#conflict(allPaths(change), known);
      this.#isUnknown = false;
    }
    this.#known = known;
    if (ifMatch !== undefined) return ifMatch === known.etag ? undefined : this.#mismatch(undefined, known);
    const collisions = collisionsOf(change, values, state);
    return collisions.length > 0 ? this.#conflict(collisions, known) : undefined;
  }

  async #read(): Promise<Read | Ending> {
    const read = await this.#call.send({ method: 'GET', url: this.#url }, { anotherFollows: true });
    if (read.kind === 'ended') return this.#end(read.ending);
    const state = stateOf(read.answer);
    if (state === undefined) return this.#end(this.#call.refusedBy(read.answer));
    const digest = digestOf(state);
    const { version } = state;
    return { state, known: { etag: etagOf(read.answer, version), version, ...(digest !== undefined && { digest }) } };
  }

  /** While nobody knows whether the change was made, no other trouble ends it: it stays pending, and is read again later. */
  #end(ending: Ending): Ending {
    const isOver = ending.kind === 'refused' && ending.code === 'session-ended';
    if (!this.#isUnknown || isOver) return ending;
    return ending.kind === 'unavailable' ? { ...ending, outcomeUnknown: true } : this.#stillUnknown();
  }

  #stillUnknown(): Ending {
    return { kind: 'unavailable', reason: 'down', outcomeUnknown: true, ...this.#call.sent };
  }

  #confirmed(result: JsonObject, dialog: KnownDialog): DialogResult {
    return { kind: 'confirmed', result, ...this.#call.sent, dialog };
  }

  #conflict(paths: readonly string[], dialog?: KnownDialog): DialogResult {
    return { ...this.#call.refused('conflict', paths), ...(dialog !== undefined && { dialog }) };
  }

  /** The client is told the tag that the dialog has instead: from the refusal itself, or by asking. */
  async #mismatch(answer: HttpAnswer | undefined, read?: KnownDialog): Promise<DialogResult> {
    const etag = answer?.headers.get('etag');
    let dialog = read ?? (etag === null || etag === undefined ? undefined : { etag });
    if (dialog === undefined) {
      const current = await this.#read();
      if ('state' in current) dialog = current.known;
    }
    return { ...this.#call.refused('version-mismatch'), ...(dialog !== undefined && { dialog }) };
  }
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
