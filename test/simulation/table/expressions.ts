import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { compare, equals, kindOf, lengthOf, membersOf, type StoredItem } from './attributes.ts';
import { type Token, tokensOf } from './tokens.ts';

/** What placeholders of an expression stand for in one request. */
export interface Bound {
  readonly names: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, AttributeValue>>;
}

/** A name, a placeholder of one, or a place in a list. */
type Step = string | number;
export type Path = readonly Step[];

/** A value that an expression speaks of; `undefined` where the path leads nowhere. */
type Operand = (item: StoredItem, bound: Bound) => AttributeValue | undefined;
export type Condition = (item: StoredItem, bound: Bound) => boolean;

/** What an update does to one path. */
export type Action =
  | { readonly kind: 'set'; readonly path: Path; readonly value: Operand }
  | { readonly kind: 'remove'; readonly path: Path }
  | { readonly kind: 'add' | 'delete'; readonly path: Path; readonly value: Operand };

/** An expression that is read once, and the placeholders that are in it. */
export interface Parsed<Meaning> {
  readonly meaning: Meaning;
  readonly placeholders: ReadonlySet<string>;
}

/** Expressions that are remembered, before all are forgotten: those of a settle name places in lists. */
const REMEMBERED_MAX = 4_000;

function remembering<Meaning>(read: (parser: Parser) => Meaning): (text: string) => Parsed<Meaning> {
  const known = new Map<string, Parsed<Meaning>>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const parser = new Parser(text);
    const meaning = read(parser);
    parser.end();
    const parsed = { meaning, placeholders: parser.placeholders };
    if (known.size >= REMEMBERED_MAX) known.clear();
    known.set(text, parsed);
    return parsed;
  };
}

/** @throws {SyntaxError} for what the grammar below does not know; so do the others. */
export const conditionOf = remembering((parser): Condition => parser.condition());
export const updateOf = remembering((parser): readonly Action[] => parser.update());
export const projectionOf = remembering((parser): readonly Path[] => parser.list(() => parser.path()));

/** The name that a step of a path stands for. */
export function nameOf(step: string, { names }: Bound): string {
  if (!step.startsWith('#')) return step;
  const name = names[step];
  if (name === undefined) throw new SyntaxError(`nothing says what ${step} stands for`);
  return name;
}

/** What lies at a path. */
export function valueAt(item: StoredItem, path: Path, bound: Bound): AttributeValue | undefined {
  let value: AttributeValue | undefined = { M: item as Record<string, AttributeValue> };
  for (const step of path) {
    if (typeof step === 'number') value = value.L?.[step];
    else {
      const name = nameOf(step, bound);
      value = value.M !== undefined && Object.hasOwn(value.M, name) ? value.M[name] : undefined;
    }
    if (value === undefined) return undefined;
  }
  return value;
}

const COMPARATORS: Readonly<Record<string, (order: number) => boolean>> = {
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

/**
 * The grammar of DynamoDB's condition, key condition, update and projection expressions, as far as the bridge speaks it. What it
 * does not know it throws at, loudly: nothing is guessed.
 */
class Parser {
  readonly placeholders = new Set<string>();
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokensOf(text);
  }

  end(): void {
    if (this.#next.kind !== 'end') throw this.#unknown();
  }

  /** `a OR b`, weakest first: OR, AND, NOT. */
  condition(): Condition {
    const first = this.#conjunction();
    if (!this.#takesWord('OR')) return first;
    const second = this.condition();
    return (item, bound) => first(item, bound) || second(item, bound);
  }

  #conjunction(): Condition {
    const first = this.#negation();
    if (!this.#takesWord('AND')) return first;
    const second = this.#conjunction();
    return (item, bound) => first(item, bound) && second(item, bound);
  }

  #negation(): Condition {
    if (!this.#takesWord('NOT')) return this.#primary();
    const negated = this.#negation();
    return (item, bound) => !negated(item, bound);
  }

  #primary(): Condition {
    if (this.#takes('(')) {
      const inner = this.condition();
      this.#expect(')');
      return inner;
    }
    return this.#predicate() ?? this.#comparison();
  }

  #predicate(): Condition | undefined {
    if (this.#peek(1).text !== '(') return undefined;
    switch (this.#next.text) {
      case 'attribute_exists':
        return this.#call(
          () => this.path(),
          (path) => (item, bound) => valueAt(item, path, bound) !== undefined,
        );
      case 'attribute_not_exists':
        return this.#call(
          () => this.path(),
          (path) => (item, bound) => valueAt(item, path, bound) === undefined,
        );
      case 'begins_with':
        return this.#call(
          () => this.#pair(),
          ([whole, start]) =>
            (item, bound) => {
              const [text, prefix] = [whole(item, bound)?.S, start(item, bound)?.S];
              return text !== undefined && prefix !== undefined && text.startsWith(prefix);
            },
        );
      case 'contains':
        return this.#call(
          () => this.#pair(),
          ([whole, part]) =>
            (item, bound) =>
              holds(whole(item, bound), part(item, bound)),
        );
      default:
        return undefined;
    }
  }

  #call<Arguments>(read: () => Arguments, meaning: (given: Arguments) => Condition): Condition {
    this.#at += 2;
    const given = read();
    this.#expect(')');
    return meaning(given);
  }

  #pair(): [Operand, Operand] {
    const first = this.#operand();
    this.#expect(',');
    return [first, this.#operand()];
  }

  #comparison(): Condition {
    const left = this.#operand();
    const sign = this.#take().text;
    if (sign === 'BETWEEN') return this.#between(left);
    const right = this.#operand();
    // What is not there compares with nothing: neither `=` nor `<>` nor an order holds.
    const both = (hold: (one: AttributeValue, other: AttributeValue) => boolean): Condition => {
      return (item, bound) => {
        const [one, other] = [left(item, bound), right(item, bound)];
        return one !== undefined && other !== undefined && hold(one, other);
      };
    };
    if (sign === '=') return both(equals);
    if (sign === '<>') return both((one, other) => !equals(one, other));
    const isSo = COMPARATORS[sign];
    if (isSo === undefined) throw this.#unknown();
    return both((one, other) => {
      const order = compare(one, other);
      return order !== undefined && isSo(order);
    });
  }

  #between(whole: Operand): Condition {
    const low = this.#operand();
    if (!this.#takesWord('AND')) throw this.#unknown();
    const high = this.#operand();
    return (item, bound) => {
      const [value, least, most] = [whole(item, bound), low(item, bound), high(item, bound)];
      if (value === undefined || least === undefined || most === undefined) return false;
      return (compare(value, least) ?? -1) >= 0 && (compare(value, most) ?? 1) <= 0;
    };
  }

  /** A path, a placeholder of a value, or `size(path)`. */
  #operand(): Operand {
    if (this.#next.kind === 'value') return this.#placeholder();
    if (this.#next.text === 'size' && this.#peek(1).text === '(') {
      this.#at += 2;
      const path = this.path();
      this.#expect(')');
      return (item, bound) => {
        const value = valueAt(item, path, bound);
        const length = value === undefined ? undefined : lengthOf(value);
        return length === undefined ? undefined : { N: String(length) };
      };
    }
    const path = this.path();
    return (item, bound) => valueAt(item, path, bound);
  }

  #placeholder(): Operand {
    const { text } = this.#take();
    this.placeholders.add(text);
    return (_item, { values }) => {
      const value = values[text];
      if (value === undefined) throw new SyntaxError(`nothing says what ${text} stands for`);
      return value;
    };
  }

  path(): Path {
    const steps: Step[] = [this.#name()];
    for (;;) {
      if (this.#takes('.')) steps.push(this.#name());
      else if (this.#takes('[')) {
        const { kind, text } = this.#take();
        if (kind !== 'number') throw this.#unknown();
        steps.push(Number(text));
        this.#expect(']');
      } else return steps;
    }
  }

  #name(): string {
    const { kind, text } = this.#take();
    if (kind !== 'name') throw this.#unknown();
    if (text.startsWith('#')) this.placeholders.add(text);
    return text;
  }

  update(): Action[] {
    const actions: Action[] = [];
    const clauses = new Set<string>();
    while (this.#next.kind === 'name') {
      const clause = this.#take().text;
      if (clauses.has(clause)) throw this.#unknown();
      clauses.add(clause);
      actions.push(...this.list(() => this.#action(clause)));
    }
    return actions;
  }

  #action(clause: string): Action {
    const path = this.path();
    switch (clause) {
      case 'SET':
        this.#expect('=');
        return { kind: 'set', path, value: this.#sum() };
      case 'REMOVE':
        return { kind: 'remove', path };
      case 'ADD':
        return { kind: 'add', path, value: this.#placeholder() };
      case 'DELETE':
        return { kind: 'delete', path, value: this.#placeholder() };
      default:
        throw this.#unknown();
    }
  }

  #sum(): Operand {
    const left = this.#given();
    const sign = this.#next.text;
    if (!this.#takes('+') && !this.#takes('-')) return left;
    const right = this.#given();
    return (item, bound) => {
      const [one, other] = [numberIn(left(item, bound)), numberIn(right(item, bound))];
      return { N: String(sign === '+' ? one + other : one - other) };
    };
  }

  /** What may be set: an operand, `if_not_exists` or `list_append`. */
  #given(): Operand {
    if (this.#peek(1).text === '(' && this.#next.text === 'if_not_exists') {
      this.#at += 2;
      const path = this.path();
      this.#expect(',');
      const otherwise = this.#given();
      this.#expect(')');
      return (item, bound) => valueAt(item, path, bound) ?? otherwise(item, bound);
    }
    if (this.#peek(1).text === '(' && this.#next.text === 'list_append') {
      this.#at += 2;
      const first = this.#given();
      this.#expect(',');
      const second = this.#given();
      this.#expect(')');
      return (item, bound) => ({ L: [...listIn(first(item, bound)), ...listIn(second(item, bound))] });
    }
    return this.#operand();
  }

  list<Member>(read: () => Member): Member[] {
    const members = [read()];
    while (this.#takes(',')) members.push(read());
    return members;
  }

  get #next(): Token {
    return this.#peek(0);
  }

  #peek(ahead: number): Token {
    return this.#tokens[this.#at + ahead] ?? { kind: 'end', text: '' };
  }

  #take(): Token {
    const token = this.#next;
    this.#at += 1;
    return token;
  }

  #takes(sign: string): boolean {
    if (this.#next.kind !== 'sign' || this.#next.text !== sign) return false;
    this.#at += 1;
    return true;
  }

  #takesWord(word: string): boolean {
    if (this.#next.kind !== 'name' || this.#next.text !== word) return false;
    this.#at += 1;
    return true;
  }

  #expect(sign: string): void {
    if (!this.#takes(sign)) throw this.#unknown();
  }

  #unknown(): SyntaxError {
    return new SyntaxError(`not expected: "${this.#next.text}" in ${this.#text}`);
  }
}

function holds(whole: AttributeValue | undefined, part: AttributeValue | undefined): boolean {
  if (whole === undefined || part === undefined) return false;
  if (whole.S !== undefined) return part.S !== undefined && whole.S.includes(part.S);
  if (whole.L !== undefined) return whole.L.some((each) => equals(each, part));
  if (!['SS', 'NS', 'BS'].includes(kindOf(whole))) return false;
  if (part.B !== undefined) {
    const wanted = part.B;
    return whole.BS?.some((each) => Buffer.compare(each, wanted) === 0) ?? false;
  }
  for (const member of membersOf(whole).values()) if (equals(member, part)) return true;
  return false;
}

/** A write that asks for something that cannot be: DynamoDB calls it a ValidationException. */
export class InvalidRequest extends Error {}

function numberIn(value: AttributeValue | undefined): number {
  if (value?.N === undefined) throw new InvalidRequest('an operand is no number, or not there');
  return Number(value.N);
}

function listIn(value: AttributeValue | undefined): readonly AttributeValue[] {
  if (value?.L === undefined) throw new InvalidRequest('an operand is no list, or not there');
  return value.L;
}
