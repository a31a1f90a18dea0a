import type { RulesRun, RulesTiming, SnapshotTiming } from '../measures/rules.ts';
import { median, percentile } from '../statistics.ts';
import { atMost, count, type Figure, ms, type Section, times } from './figures.ts';

/** The size that has a target of its own. */
const TYPICAL_LEAVES = 2_000;
/**
 * How much longer a leaf may take in the largest context than in the smallest: what is large does not fit the processor's caches,
 * and is moved about by the garbage collector while it is needed. A rule that sorts everything would make it 2, a quadratic one 100.
 */
const TOLERANCE = 1.5;

export function rulesSection({ nodeOptions, bySize, snapshot }: RulesRun): Section {
  const typical = bySize.find(({ leaves }) => leaves === TYPICAL_LEAVES);
  const [smallest, largest] = [bySize.at(0), bySize.at(-1)];
  if (typical === undefined || smallest === undefined || largest === undefined) throw new Error('a size is missing');
  const typicalMs = median(typical.timesMs);
  const growth = perLeafUs(largest) / perLeafUs(smallest);
  return {
    title: 'The rules alone',
    method:
      'Merge, expiry, defaults, validation, pruning and the canonical hash of the result: `planContext` and `valueHash`, warm, all ' +
      'sizes in turn. Nested groups of 20 leaves; a fifth patched, a tenth with an expiry (a quarter of these is over), 6 % changed by ' +
      'the bot, some on both sides; the shipped schema with every annotation; 3 % too large. In a process of their own, started as ' +
      `Lambda starts one of 512 MB (${nodeOptions}).`,
    figures: [
      {
        name: nameOf(typical),
        value: ms(typicalMs),
        target: atMost(15, typicalMs, ' ms'),
        remark: 'p50 of all rules together',
      },
      {
        name: `a leaf of ${count(largest.leaves)} against one of ${count(smallest.leaves)}`,
        value: times(growth),
        target: atMost(TOLERANCE, growth, ' ×'),
        remark: `no worse than linear; without garbage collection ${times(perLeafUs(largest, ownMs) / perLeafUs(smallest, ownMs))}`,
      },
      ...bySize.map(figureOf),
      snapshotFigure(snapshot),
    ],
  };
}

function snapshotFigure({ variables, names, timesMs }: SnapshotTiming): Figure {
  const p50 = median(timesMs);
  return {
    name: `${count(variables)} variables of a snapshot: coerced and resolved`,
    value: ms(p50),
    target: atMost(30, p50, ' ms'),
    remark: `p50 of ${timesMs.length}, p95 ${ms(percentile(timesMs, 0.95))}; untyped texts of all kinds, ${count(names)} names in four scopes`,
  };
}

function figureOf(timing: RulesTiming): Figure {
  const { timesMs, conflicts, expired, pruned } = timing;
  return {
    name: `${nameOf(timing)}: a leaf`,
    value: `${perLeafUs(timing).toFixed(2)} µs`,
    remark:
      `whole: p50 ${ms(median(timesMs))}, p95 ${ms(percentile(timesMs, 0.95))} of ${timesMs.length}; ` +
      `${conflicts} conflicts, ${expired} expired, ${pruned} pruned`,
  };
}

function perLeafUs(timing: RulesTiming, of = ({ timesMs }: RulesTiming) => timesMs): number {
  return (1_000 * median(of(timing))) / timing.leaves;
}

/** Without garbage collection. */
function ownMs({ timesMs, collectingMs }: RulesTiming): number[] {
  return timesMs.map((value, index) => value - (collectingMs[index] ?? 0));
}

function nameOf({ leaves, bytes }: RulesTiming): string {
  return `${count(leaves)} leaves, ${(bytes / 1_000).toFixed(0)} kB`;
}
