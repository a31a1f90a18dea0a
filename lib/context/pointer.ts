/** A JSON Pointer (RFC 6901) from its reference tokens; the empty list points to the whole document. */
export function pointerOf(tokens: readonly (string | number)[]): string {
  return tokens.map((token) => `/${escapeToken(String(token))}`).join('');
}

/** The pointer to a member of what `pointer` leads to. */
export function memberPointer(pointer: string, name: string): string {
  return `${pointer}/${escapeToken(name)}`;
}

/** Inverse of {@link pointerOf}. Expects a pointer: {@link isPointer} tells. */
export function tokensOf(pointer: string): string[] {
  const [, ...tokens] = pointer.split('/');
  return pointer.includes('~') ? tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~')) : tokens;
}

/** RFC 6901 section 3: empty, or tokens that each begin with a slash and in which `~` is `~0` or `~1`. */
export function isPointer(text: string): boolean {
  return /^(?:\/(?:[^/~]|~[01])*)*$/.test(text);
}

/** The pointer and those of everything around it, from the inside out, without the whole document: `/a/b`, then `/a`. */
export function* outwards(pointer: string): Generator<string> {
  for (let here = pointer; here !== ''; here = here.slice(0, here.lastIndexOf('/'))) yield here;
}

function escapeToken(token: string): string {
  return /[~/]/.test(token) ? token.replaceAll('~', '~0').replaceAll('/', '~1') : token;
}
