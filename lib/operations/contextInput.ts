import type { JsonObject } from '../context/json.ts';
import type { LoadedMirror, LoadedVariable } from '../context/mirror.ts';
import type { ContextSchema } from '../context/schema.ts';
import type { LoadedOperation } from './plan.ts';

export interface ContextRules {
  readonly schema: ContextSchema;
  /** Largest context, in UTF-8 bytes of its JSON. */
  readonly maxBytes: number;
}

export interface ContextPlanInput extends ContextRules {
  /**
   * What the bot had when it was last confirmed, with what has just been injected: where merging starts from. Also holds what has
   * expired and has not left the bot.
   */
  readonly mirror: LoadedMirror;
  /** What the bot has just been told to forget, as `scope:/key`. */
  readonly forgotten?: ReadonlySet<string>;
  /** What operations that are not among these may have put into the bot for a time: it is not the bot's own. */
  readonly left?: readonly LoadedVariable[];
  /** Syncs and expiries, in commit order. */
  readonly operations: readonly LoadedOperation[];
  /** The bot's context now; `undefined` where it cannot be read. */
  readonly theirs: JsonObject | undefined;
  readonly nowMs: number;
}
