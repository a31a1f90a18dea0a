import { valueHash } from './canonicalJson.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { jsonEquals } from './jsonEquals.ts';
import { pointerOf } from './pointer.ts';
import type { Variable } from './variables.ts';

/** The scopes in which a dialog has variables. */
const DIALOG_SCOPES = ['session', 'user'] as const;

/** What is to become of a dialog, all of it together or nothing. */
export interface DialogChange {
  readonly session?: JsonObject;
  readonly user?: JsonObject;
  readonly transition?: { readonly nextStep: string };
}

export interface DialogVariables {
  readonly session: JsonObject;
  readonly user: JsonObject;
}

/** A dialog as the bot has it. Where it is in its steps, nobody tells. */
export interface DialogState extends DialogVariables {
  /** Raised by one with every change, whoever makes it. */
  readonly version: number;
}

interface DialogVariable extends Variable {
  readonly scope: (typeof DIALOG_SCOPES)[number];
}

/** What a change puts, as variables. They have no expiry of their own. */
export function dialogVariablesOf(change: DialogChange): DialogVariable[] {
  return DIALOG_SCOPES.flatMap((scope) =>
    Object.entries(change[scope] ?? {}).map(([key, value]) => ({ key, value, scope })),
  );
}

/** Says whether two states have the same variables, without saying which. */
export function dialogDigest({ session, user }: DialogVariables): string {
  return valueHash({ session, user });
}

/** A dialog's variables as the bridge believes them to be. */
export interface BelievedDialog extends DialogVariables {
  /** The bot's own, seen where scopes are not told. */
  readonly ofBot: JsonObject;
}

/**
 * Where somebody else has set what the change sets, too, and to something else: JSON Pointers such as `/session/step`.
 * What has changed beside that does not collide.
 * @param seen - hashes of values that a client has been told about, by pointer: those are not news any more
 */
export function collisionsOf(
  change: DialogChange,
  believed: BelievedDialog,
  now: DialogVariables,
  seen: Readonly<Record<string, string>> = {},
): string[] {
  return dialogVariablesOf(change)
    .filter(({ key, scope, value }) => {
      const current = memberOf(now[scope], key);
      if (jsonEquals(current, value) || isAsBelieved(current, key, scope, believed)) return false;
      const pointer = pointerOf([scope, key]);
      return !Object.hasOwn(seen, pointer) || seen[pointer] !== seenHash(current);
    })
    .map(({ key, scope }) => pointerOf([scope, key]));
}

function isAsBelieved(
  current: JsonValue | undefined,
  name: string,
  scope: DialogVariable['scope'],
  believed: BelievedDialog,
): boolean {
  if (jsonEquals(current, memberOf(believed[scope], name))) return true;
  const ofBot = memberOf(believed.ofBot, name);
  return ofBot !== undefined && (current === undefined || jsonEquals(current, ofBot));
}

/** What lies at these pointers now, as a client is told about it. */
export function seenAt(pointers: readonly string[], now: DialogVariables): Record<string, string> {
  const told = dialogVariablesOf(now).map(({ key, scope, value }) => [pointerOf([scope, key]), value] as const);
  const values = new Map<string, JsonValue>(told);
  return Object.fromEntries(pointers.map((pointer) => [pointer, seenHash(values.get(pointer))]));
}

function seenHash(value: JsonValue | undefined): string {
  return value === undefined ? '' : valueHash(value);
}

/** What is known of a dialog from before a change was sent. */
export interface DialogBefore {
  readonly etag: string;
  readonly version?: number;
  readonly digest?: string;
  /** What clients have been told about since, by {@link seenAt}. */
  readonly seen?: Readonly<Record<string, string>>;
}

/**
 * Whether a change has been made of which only is known that it may have been sent, told by the state that the dialog has now.
 *
 * Every change raises the version by one, so an unchanged version says no; one step says ours or another's; what can be seen of
 * ours decides, and a step that has changed nothing to be seen is taken for ours. Where several changes have been made and nothing
 * of ours can be seen, nobody knows: then a transition, which must not be made twice, is not to be made again (SPEC 3
 * "dialog-state, after a mismatch or an unknown outcome", ADR 0016).
 * @param before - undefined where nothing was known when it was sent
 */
export function fateOf(
  change: DialogChange,
  {
    before,
    believed,
    now,
  }: {
    readonly before: DialogBefore | undefined;
    readonly believed: DialogVariables;
    readonly now: DialogState & { readonly etag: string };
  },
): 'made' | 'not-made' | 'unknown' {
  const variables = dialogVariablesOf(change);
  const isThere = ({ key, scope, value }: DialogVariable) => jsonEquals(memberOf(now[scope], key), value);
  // Whoever has done it, it is as it was to be.
  if (change.transition === undefined && variables.every(isThere)) return 'made';
  if (before?.etag === now.etag) return 'not-made';
  // Begun anew since: whatever was made, was made to another dialog.
  if (before?.version !== undefined && now.version <= before.version) return 'not-made';
  const visible = variables.filter(({ key, scope, value }) => !jsonEquals(memberOf(believed[scope], key), value));
  if (visible.length > 0 && visible.every(isThere)) return 'made';
  const isUnchanged = ({ key, scope }: DialogVariable) =>
    jsonEquals(memberOf(now[scope], key), memberOf(believed[scope], key));
  // How many changes there were nobody knows, but none is seen: it would have had to be undone to the letter.
  if (before?.version === undefined && visible.length > 0 && visible.every(isUnchanged)) return 'not-made';
  const isOneStep = before?.version !== undefined && now.version === before.version + 1;
  if (isOneStep && visible.length > 0) return 'not-made';
  if (isOneStep && before.digest !== undefined) return dialogDigest(now) === before.digest ? 'made' : 'not-made';
  return change.transition === undefined ? 'not-made' : 'unknown';
}

function memberOf(values: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}
