/** One word of an expression: a name, a placeholder, a number, or a sign. */
export interface Token {
  readonly kind: 'name' | 'value' | 'number' | 'sign' | 'end';
  readonly text: string;
}

const WORD =
  /\s*(?:(?<name>#?[A-Za-z_][A-Za-z0-9_]*|#[A-Za-z0-9_]+)|(?<value>:[A-Za-z0-9_]+)|(?<number>\d+)|(?<sign><=|>=|<>|[=<>()[\],.+-]))/y;

/** @throws {SyntaxError} for a character that no expression has. */
export function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  for (WORD.lastIndex = 0; WORD.lastIndex < end; ) {
    const at = WORD.lastIndex;
    const groups = WORD.exec(text)?.groups;
    const found = Object.entries(groups ?? {}).find(([, word]) => word !== undefined);
    if (found === undefined) throw new SyntaxError(`no expression has this at ${at}: ${text}`);
    const [kind, word = ''] = found;
    tokens.push({ kind: kind as Token['kind'], text: word });
  }
  return [...tokens, { kind: 'end', text: '' }];
}
