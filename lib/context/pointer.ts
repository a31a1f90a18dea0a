/** A JSON Pointer (RFC 6901) from its reference tokens; the empty list points to the whole document. */
export function pointerOf(tokens: readonly (string | number)[]): string {
  return tokens.map((token) => `/${String(token).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
