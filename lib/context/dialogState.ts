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

/**
 * Where somebody else has set what the change sets, too, and to something else: JSON Pointers such as `/session/step`.
 * What has changed beside that does not collide.
 * @param believed - the variables as they were when last heard of
 */
export function collisionsOf(change: DialogChange, believed: DialogVariables, now: DialogVariables): string[] {
  return dialogVariablesOf(change)
    .filter(({ key, scope, value }) => {
      const current = memberOf(now[scope], key);
      return !jsonEquals(current, memberOf(believed[scope], key)) && !jsonEquals(current, value);
    })
    .map(({ key, scope }) => pointerOf([scope, key]));
}

/** What is known of a dialog from before a change was sent. */
export interface DialogBefore {
  readonly etag: string;
  readonly version?: number;
  readonly digest?: string;
}

/**
 * Whether a change has been made of which only is known that it may have been sent, told by the state that the dialog has now.
 *
 * Every change raises the version by one, so an unchanged version says no; one step says ours or another's; what can be seen of
 * ours decides. Where several changes have been made and nothing of ours can be seen, nobody knows: then a transition, which must
 * not be made twice, is not to be made again (SPEC 3 "dialog-state, after a mismatch or an unknown outcome").
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
  if (before?.etag === now.etag) return 'not-made';
  // Begun anew since: whatever was made, was made to another dialog.
  if (before?.version !== undefined && now.version <= before.version) return 'not-made';
  const visible = dialogVariablesOf(change).filter(
    ({ key, scope, value }) => !jsonEquals(memberOf(believed[scope], key), value),
  );
  const isThere = ({ key, scope, value }: DialogVariable) => jsonEquals(memberOf(now[scope], key), value);
  if (visible.length > 0 && visible.every(isThere)) return 'made';
  const isAsBelieved = ({ key, scope }: DialogVariable) =>
    jsonEquals(memberOf(now[scope], key), memberOf(believed[scope], key));
  // How many changes there were nobody knows, but none is seen: it would have had to be undone to the letter.
  if (before === undefined && visible.length > 0 && visible.every(isAsBelieved)) return 'not-made';
  const isOneStep = before?.version !== undefined && now.version === before.version + 1;
  if (isOneStep && visible.length > 0) return 'not-made';
  if (isOneStep && before.digest !== undefined) return dialogDigest(now) === before.digest ? 'made' : 'not-made';
  return change.transition === undefined ? 'not-made' : 'unknown';
}

function memberOf(values: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}
