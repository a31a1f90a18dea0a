import type { LargeContextRun, LargeContexts, Peak } from '../measures/largeContexts.ts';
import { median } from '../statistics.ts';
import { type Figure, mb, ms, type Section } from './figures.ts';

const LIMIT_BYTES = 256_000_000;
/** The largest answer that Lambda takes from a function (6 MiB). */
const LARGEST_ANSWER_BYTES = 6 * 1_048_576;

export function largeContextSection({ nodeOptions, shapes }: LargeContextRun): Section {
  const [first] = shapes;
  return {
    title: 'Contexts of 1 MiB',
    method:
      `${first?.rounds} syncs of a whole context of about ${first?.bytesEach} bytes for each shape, all new each time, and a GET after ` +
      `each: by processes that hold only the function, started as Lambda starts one of 256 MB (${nodeOptions}). Resident set, peak; ` +
      '1 MB = 1,000,000 bytes.',
    figures: shapes.flatMap(figuresOf),
  };
}

function figuresOf({
  shape,
  sync,
  get,
  syncMs,
  getMs,
  compared,
  equal,
  answerBytes,
  answerMembers,
}: LargeContexts): Figure[] {
  return [
    peakFigure(`${shape}: sync, peak`, sync, syncMs),
    peakFigure(`${shape}: GET, peak`, get, getMs),
    {
      name: `${shape}: answer of GET`,
      value: mb(answerBytes),
      target: { text: 'at most 6 MiB', isMet: answerBytes <= LARGEST_ANSWER_BYTES },
      remark: `the largest that Lambda takes from a function; of it ${answerMembers.slice(0, 3).map(memberText).join(', ')}`,
    },
    {
      name: `${shape}: same as sent`,
      value: `${equal} of ${compared}`,
      target: { text: 'all', isMet: equal === compared },
      remark: 'in the answer to the sync, by GET, and in the bot; canonical JSON, byte for byte',
    },
  ];
}

function memberText([name, bytes]: readonly [name: string, bytes: number]): string {
  return `${name} ${mb(bytes)}`;
}

function peakFigure(name: string, { loadedBytes, firstBytes, peakBytes }: Peak, tookMs: readonly number[]): Figure {
  return {
    name,
    value: mb(peakBytes),
    target: { text: 'below 256 MB', isMet: peakBytes < LIMIT_BYTES },
    remark: `loaded ${mb(loadedBytes)}, after the first ${mb(firstBytes)}; p50 of the time ${ms(median(tookMs))}`,
  };
}
