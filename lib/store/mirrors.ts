import * as z from 'zod';
import type { JsonValue } from '../context/json.ts';
import type { Mirror, MirrorValue, MirrorVariable } from '../context/mirror.ts';
import { SCOPES, variableId } from '../context/variables.ts';
import { type SessionKey, type StoredMirror, StoreError } from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { STATE_PREFIX, sessionPk, stateKey, stateRefOf } from './keys.ts';
import type { Payloads } from './payloads.ts';
import { collect, type Item, type Table, ttlSeconds } from './table.ts';

const STATE_FORMAT = 1;
/** Values from this size on lie in items of their own, so that a new version of the mirror does not write them again. */
const VALUE_INLINE_BYTES = 1_024;
/** A mirror's item without its large values; beyond this it lies out of line too. */
const STATE_INLINE_BYTES = 300_000;
/** Out-of-line values are written to live this much longer than asked, so that they are rarely renewed. */
const VALUE_SLACK_MS = 24 * 3_600_000;

const storedState = z.object({
  version: z.number().int(),
  variables: z.array(
    z.object({
      key: z.string(),
      scope: z.enum(SCOPES),
      value: z.union([
        z.object({ inline: z.custom<JsonValue>() }),
        z.object({ ref: z.string(), keptUntilMs: z.number() }),
      ]),
      hash: z.string(),
      bytes: z.number(),
      expiresAtMs: z.number().exactOptional(),
      updatedAtMs: z.number(),
      source: z.string(),
      version: z.number(),
    }),
  ),
});

/** Immutable versions of sessions' mirrors. A version is invisible until a lane points to it. */
export class Mirrors {
  readonly #table: Table;
  readonly #payloads: Payloads;
  readonly #vault: Vault;

  constructor(table: Table, payloads: Payloads, vault: Vault) {
    this.#table = table;
    this.#payloads = payloads;
    this.#vault = vault;
  }

  async readNewest(session: SessionKey): Promise<StoredMirror | undefined> {
    const pk = sessionPk(this.#vault, session);
    const [item] = await collect(this.#table.query({ pk, prefix: STATE_PREFIX, newestFirst: true, limit: 1 }));
    return item && this.#decode(pk, item);
  }

  async read(session: SessionKey, stateRef: string): Promise<StoredMirror | undefined> {
    const pk = sessionPk(this.#vault, session);
    const item = await this.#table.get(stateKey(pk, stateRef));
    return item && this.#decode(pk, item);
  }

  async write(
    session: SessionKey,
    mirror: Mirror,
    options: { readonly fence: string; readonly keepUntilMs: number },
  ): Promise<string> {
    const pk = sessionPk(this.#vault, session);
    const { keepUntilMs } = options;
    const variables = await Promise.all(
      [...mirror.variables.values()].map(async (variable) => ({
        ...variable,
        value: await this.#place(pk, variable, keepUntilMs),
      })),
    );
    const state: z.infer<typeof storedState> = { version: mirror.version, variables };
    const body = await this.#payloads.store(pk, Buffer.from(JSON.stringify(state), 'utf8'), {
      inlineBytes: STATE_INLINE_BYTES,
      keepUntilMs,
    });
    const stateRef = stateRefOf(mirror.version, options.fence);
    await this.#table.put({ ...stateKey(pk, stateRef), format: STATE_FORMAT, body, ttl: ttlSeconds(keepUntilMs) });
    return stateRef;
  }

  /** Where a value is to lie in the next version: in it, or out of line for long enough. */
  async #place(pk: string, { value, bytes }: MirrorVariable, keepUntilMs: number): Promise<MirrorValue> {
    if ('ref' in value) {
      if (value.keptUntilMs >= keepUntilMs) return value;
      const keptUntilMs = keepUntilMs + VALUE_SLACK_MS;
      await this.#payloads.keep(pk, [value.ref], keptUntilMs);
      return { ref: value.ref, keptUntilMs };
    }
    if (bytes < VALUE_INLINE_BYTES) return value;
    const keptUntilMs = keepUntilMs + VALUE_SLACK_MS;
    const plain = Buffer.from(JSON.stringify(value.inline), 'utf8');
    return { ref: await this.#payloads.storeOutOfLine(pk, plain, keptUntilMs), keptUntilMs };
  }

  async loadValues(session: SessionKey, mirror: Mirror): Promise<Mirror> {
    const pk = sessionPk(this.#vault, session);
    const refs = [...mirror.variables.values()].flatMap(({ value }) => ('ref' in value ? [value.ref] : []));
    if (refs.length === 0) return mirror;
    const plains = await this.#payloads.openMany(pk, refs);
    const inlineByRef = new Map(refs.map((ref, index) => [ref, plains[index]]));
    const variables = new Map(mirror.variables);
    for (const [id, variable] of mirror.variables) {
      if (!('ref' in variable.value)) continue;
      const plain = inlineByRef.get(variable.value.ref);
      variables.set(id, { ...variable, value: { inline: JSON.parse(Buffer.from(plain ?? []).toString('utf8')) } });
    }
    return { version: mirror.version, variables };
  }

  async #decode(pk: string, item: Item): Promise<StoredMirror> {
    const { sk, format, body } = item;
    const isKnown = typeof format === 'number' && format <= STATE_FORMAT;
    if (!isKnown || typeof sk !== 'string' || !(body instanceof Uint8Array || typeof body === 'string')) {
      throw new StoreError('store-unavailable', new Error('a mirror has a format that this version does not know'));
    }
    const plain = await this.#payloads.open(pk, body);
    const { version, variables } = storedState.parse(JSON.parse(Buffer.from(plain).toString('utf8')));
    return {
      stateRef: sk.slice(STATE_PREFIX.length),
      mirror: { version, variables: new Map(variables.map((variable) => [variableId(variable), variable])) },
    };
  }
}
