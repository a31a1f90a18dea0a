import * as z from 'zod/mini';
import type { Prompt } from '../../lib/operations/ports/prompts.ts';

const session = z.string().check(z.regex(/^[A-Za-z0-9_-]{43}$/));

const prompt = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('lane'), session }),
  z.object({ kind: z.literal('event'), session, eventId: z.string().check(z.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/)) }),
]);

/** A message's body as a prompt; `undefined` for what the bridge did not send. */
export function readPrompt(body: string): Prompt | undefined {
  try {
    return prompt.safeParse(JSON.parse(body)).data;
  } catch {
    return undefined;
  }
}
