import { createHash } from 'node:crypto';
import { seededRandom } from '../../fixtures/upstream/seededRandom.ts';

/** Everything that happens by chance in one simulation, out of one seed: the same seed, the same chance. */
export class Chance {
  readonly next: () => number;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
    this.next = seededRandom(createHash('sha256').update(name).digest().readInt32LE(0)).next;
  }

  /** Another source, which this one's use does not disturb. */
  of(name: string): Chance {
    return new Chance(`${this.#name}/${name}`);
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  /** From `least` up to, and not including, `most`. */
  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  /** A whole number from `least` to `most`. */
  whole(least: number, most: number): number {
    return Math.floor(this.between(least, most + 1));
  }

  pick<Member>(members: readonly [Member, ...Member[]]): Member {
    return members[Math.floor(this.next() * members.length)] ?? members[0];
  }

  /** One of the names, as often as its weight says. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const entries = Object.entries<number>(weights) as [Name, number][];
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    throw new RangeError('there is nothing to choose from');
  }
}
