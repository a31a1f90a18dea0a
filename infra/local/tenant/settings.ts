import * as z from 'zod';
import { ETAG_KINDS } from './etag.ts';

const wholeNumber = z.int().nonnegative();

/** Everything about the tenant that can be set at the start and changed while it runs. */
const settingsSchema = z.strictObject({
  /** The one client that gets tokens. */
  clientId: z.string().min(1),
  clientSecret: z.string().min(1),
  /** Life of a token in seconds. Applies to tokens issued from now on. */
  tokenLifeSeconds: z.int().positive(),
  /** False leaves `expires_in` out of token answers; the tokens end all the same. */
  includeExpiresIn: z.boolean(),
  /** Requests in any sliding 60 seconds over all surfaces. 0 = no limit. */
  ratePerMinute: wholeNumber,
  /** Milliseconds that every answer of a surface or a token endpoint takes. */
  latencyMs: wholeNumber,
  /** True: a session nobody has heard of comes to life when it is first touched. */
  autoCreate: z.boolean(),
  /** Variables on one page of the snapshot surface. */
  pageSize: z.int().positive(),
  /** How the snapshot surface points to the next page: `nextPage` or `nextCursor`. */
  pagination: z.enum(['page', 'cursor']),
  /** True: the snapshot surface says each variable's type. */
  includeTypes: z.boolean(),
  /** Status of the dialog surface for a stale `If-Match`. Tenants are seen to answer either (SPEC 3). */
  dialogMismatchStatus: z.union([z.literal(409), z.literal(412)]),
  /** Which ETags the sync surface hands out. */
  syncEtags: z.enum(ETAG_KINDS),
  /** Largest bodies in bytes. */
  injectMaxBytes: z.int().positive(),
  dialogMaxBytes: z.int().positive(),
  contextMaxBytes: z.int().positive(),
});

export type Settings = Readonly<z.infer<typeof settingsSchema>>;

/** A change of some settings. A member that is absent stays as it is. */
export const settingsPatchSchema = z.strictObject({
  clientId: z.exactOptional(settingsSchema.shape.clientId),
  clientSecret: z.exactOptional(settingsSchema.shape.clientSecret),
  tokenLifeSeconds: z.exactOptional(settingsSchema.shape.tokenLifeSeconds),
  includeExpiresIn: z.exactOptional(settingsSchema.shape.includeExpiresIn),
  ratePerMinute: z.exactOptional(settingsSchema.shape.ratePerMinute),
  latencyMs: z.exactOptional(settingsSchema.shape.latencyMs),
  autoCreate: z.exactOptional(settingsSchema.shape.autoCreate),
  pageSize: z.exactOptional(settingsSchema.shape.pageSize),
  pagination: z.exactOptional(settingsSchema.shape.pagination),
  includeTypes: z.exactOptional(settingsSchema.shape.includeTypes),
  dialogMismatchStatus: z.exactOptional(settingsSchema.shape.dialogMismatchStatus),
  syncEtags: z.exactOptional(settingsSchema.shape.syncEtags),
  injectMaxBytes: z.exactOptional(settingsSchema.shape.injectMaxBytes),
  dialogMaxBytes: z.exactOptional(settingsSchema.shape.dialogMaxBytes),
  contextMaxBytes: z.exactOptional(settingsSchema.shape.contextMaxBytes),
});

export type SettingsPatch = Readonly<z.infer<typeof settingsPatchSchema>>;

const DEFAULT_SETTINGS: Settings = {
  clientId: 'client',
  clientSecret: 'secret',
  tokenLifeSeconds: 900,
  includeExpiresIn: true,
  ratePerMinute: 100,
  latencyMs: 0,
  autoCreate: true,
  pageSize: 50,
  pagination: 'page',
  includeTypes: false,
  dialogMismatchStatus: 412,
  syncEtags: 'strong',
  injectMaxBytes: 262_144,
  dialogMaxBytes: 524_288,
  contextMaxBytes: 2_097_152,
};

/** The settings in force. */
export class SettingsHolder {
  readonly #initial: Settings;
  #current: Settings;

  constructor(initial: SettingsPatch = {}) {
    this.#initial = { ...DEFAULT_SETTINGS, ...settingsPatchSchema.parse(initial) };
    this.#current = this.#initial;
  }

  get current(): Settings {
    return this.#current;
  }

  change(patch: SettingsPatch): void {
    this.#current = { ...this.#current, ...patch };
  }

  /** Back to what the tenant was started with. */
  reset(): void {
    this.#current = this.#initial;
  }
}
