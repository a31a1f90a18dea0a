import * as z from 'zod';
import type { JsonValue } from '../context/json.ts';
import type { Mirror, MirrorVariable } from '../context/mirror.ts';
import { SCOPES, variableId } from '../context/variables.ts';
import { type SessionKey, type StoredMirror, StoreError } from '../operations/ports/sessionStore.ts';
import type { Vault } from '../platform/vault.ts';
import { STATE_PREFIX, sessionPk, stateKey, stateRefOf } from './keys.ts';
import type { Payloads } from './payloads.ts';
import { type Item, type Table, ttlSeconds } from './table.ts';

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
    const variables = await this.#place(pk, [...mirror.variables.values()], keepUntilMs);
    const state: z.infer<typeof storedState> = { version: mirror.version, variables };
    const body = await this.#payloads.store(pk, Buffer.from(JSON.stringify(state), 'utf8'), {
      inlineBytes: STATE_INLINE_BYTES,
      keepUntilMs,
    });
    const stateRef = stateRefOf(mirror.version, options.fence);
    await this.#table.put({ ...stateKey(pk, stateRef), format: STATE_FORMAT, body, ttl: ttlSeconds(keepUntilMs) });
    return stateRef;
  }

  /** The variables with their values where they are to lie in the next version: in it, or out of line for long enough. */
  async #place(pk: string, variables: readonly MirrorVariable[], keepUntilMs: number): Promise<MirrorVariable[]> {
    const keptUntilMs = keepUntilMs + VALUE_SLACK_MS;
    const large: { readonly id: string; readonly plain: Uint8Array }[] = [];
    const aging: { readonly id: string; readonly ref: string }[] = [];
    for (const variable of variables) {
      const { value, bytes } = variable;
      const id = variableId(variable);
      if ('ref' in value) {
        if (value.keptUntilMs < keepUntilMs) aging.push({ id, ref: value.ref });
      } else if (bytes >= VALUE_INLINE_BYTES) {
        large.push({ id, plain: Buffer.from(JSON.stringify(value.inline), 'utf8') });
      }
    }
    const [refs] = await Promise.all([
      this.#payloads.storeOutOfLine(
        pk,
        large.map(({ plain }) => plain),
        keptUntilMs,
      ),
      this.#payloads.keep(
        pk,
        aging.map(({ ref }) => ref),
        keptUntilMs,
      ),
    ]);
    const moved = new Map(aging.map(({ id, ref }) => [id, ref]));
    large.forEach(({ id }, index) => {
      const ref = refs[index];
      if (ref !== undefined) moved.set(id, ref);
    });
    return variables.map((variable) => {
      const ref = moved.get(variableId(variable));
      return ref === undefined ? variable : { ...variable, value: { ref, keptUntilMs } };
    });
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
