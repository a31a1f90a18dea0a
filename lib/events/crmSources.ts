import * as z from 'zod/mini';
import { CRM_SOURCE_NAME } from '../context/crmRecord.ts';
import { CRM_SCHEMES, type CrmSource } from '../context/crmSource.ts';
import { MAX_TTL_SECONDS } from '../context/expiry.ts';
import { isJsonObject, type JsonPrimitive } from '../context/json.ts';
import { isPointer, pointerOf } from '../context/pointer.ts';
import { isPrototypeName } from '../context/strictJson.ts';
import { SCOPES, VARIABLE_KEY } from '../context/variables.ts';

/** The sources file cannot be used. Its message lists every problem, each behind the pointer to its place. */
export class CrmSourcesError extends Error {
  override readonly name = 'CrmSourcesError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.problems = problems;
  }
}

/** Messages go on from the pointer. */
const text = z.string('is missing or not a string');

const NO_POINTER = 'is not a JSON Pointer, as in /data/id';
const pointer = text.check(z.refine(isPointer, NO_POINTER));

const key = text.check(
  z.regex(VARIABLE_KEY, 'must have 1 to 128 characters of A–Z a–z 0–9 _ -'),
  z.refine((given) => !isPrototypeName(given), 'is a name that is never accepted'),
);

/** Checked entry by entry: zod's records overlook `__proto__`, and a condition that is overlooked is always met. */
const when = z.custom<Readonly<Record<string, JsonPrimitive>>>(isJsonObject, 'must be an object').check(
  z.superRefine((conditions, { addIssue }) => {
    for (const [at, value] of Object.entries(conditions)) {
      if (!isPointer(at)) addIssue({ code: 'custom', path: [at], message: NO_POINTER });
      if (typeof value === 'object' && value !== null) {
        addIssue({ code: 'custom', path: [at], message: 'must be a string, a number, true, false or null' });
      }
    }
  }),
);

const mapping = z.strictObject(
  {
    from: pointer,
    key,
    scope: z._default(z.enum(SCOPES, `must be one of ${SCOPES.join(', ')}`), 'session'),
    ttlSeconds: z.exactOptional(
      z
        .int('must be a whole number of seconds')
        .check(
          z.minimum(1, 'must be at least 1 second'),
          z.maximum(MAX_TTL_SECONDS, `must be at most ${MAX_TTL_SECONDS} seconds`),
        ),
    ),
    when: z.exactOptional(when),
  },
  'must be an object',
);

/** Headers are looked up by their lower-case names. */
const header = text.check(z.regex(/^[\w-]{1,64}$/, 'is not the name of a header, as in x-signature'), z.toLowerCase());

const signature = z.strictObject(
  {
    header: z.exactOptional(header),
    encoding: z.exactOptional(z.enum(['hex', 'base64'], 'must be hex or base64')),
    prefix: z.exactOptional(
      text.check(z.regex(/^[\x21-\x7e]{0,32}$/, 'must have at most 32 visible ASCII characters')),
    ),
    timestampHeader: z.exactOptional(header),
  },
  'must be an object',
);

/** Made anew for each file: it remembers the names. */
function sourcesFile() {
  const names = new Set<string>();
  const name = text.check(
    z.regex(CRM_SOURCE_NAME, 'must have 1 to 64 characters of a–z 0–9 -, not beginning with -'),
    z.refine((given) => names.size < names.add(given).size, 'is the name of another source already'),
  );
  const source = z
    .strictObject(
      {
        name,
        scheme: z.enum(CRM_SCHEMES, `must be one of ${CRM_SCHEMES.join(', ')}`),
        signature: z.exactOptional(signature),
        recordId: pointer,
        eventId: pointer,
        uniqueWith: z.exactOptional(z.array(pointer, 'must be a list')),
        occurredAt: pointer,
        // Each takes part in the condition of one write, of which DynamoDB takes 4 KB.
        mapping: z.array(mapping, 'is missing or not a list').check(z.maxLength(32, 'has more than 32 entries')),
      },
      'must be an object',
    )
    .check(
      z.refine((given) => given.signature === undefined || given.scheme === 'hmac-sha256', {
        error: 'belongs to the scheme hmac-sha256 only',
        path: ['signature'],
        // Also beside other problems: all of them are told.
        when: ({ value }) => isJsonObject(value),
      }),
    );
  return z.strictObject({ sources: z.array(source, 'is missing or not a list') }, 'must be an object');
}

/**
 * Reads the sources file (SPEC 7), by name. `scripts/build.ts` does it once and for all.
 * @throws {CrmSourcesError}
 */
export function parseCrmSources(json: unknown): ReadonlyMap<string, CrmSource> {
  const parsed = sourcesFile().safeParse(json);
  if (!parsed.success) throw new CrmSourcesError(parsed.error.issues.flatMap(problemsOf));
  return new Map(parsed.data.sources.map((source) => [source.name, source]));
}

function problemsOf(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.map((token) => (typeof token === 'symbol' ? String(token) : token));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((member) => `${pointerOf([...path, member])} is not a known member`);
  }
  return [`${path.length === 0 ? 'it' : pointerOf(path)} ${issue.message}`];
}
