import { describe, expect, it } from 'vitest';
import { barChart, staircaseChart } from '../../../bench/report/charts.ts';

const storm = (atMs: readonly number[]) =>
  staircaseChart({
    title: 'A storm',
    untilMs: 100_000,
    panels: [{ title: 'changes confirmed', staircases: [{ name: 'bridge', atMs }] }],
  });

const pathOf = (svg: string) => /<path class="line s0" d="([^"]*)"/.exec(svg)?.[1];

describe('staircaseChart', () => {
  it('climbs one step at each moment, and goes on to the end of the time', () => {
    // 640 pixels for 100 s from 56 on; 150 for 2 steps.
    expect(pathOf(storm([25_000, 50_000]))).toBe('M56.0 226.0H216.0V151.0H376.0V76.0H696.0');
  });

  it('makes one step of what happens at once, and none of what comes after the end', () => {
    expect(pathOf(storm([50_000, 50_001, 200_000]))?.match(/V/g)).toHaveLength(1);
  });

  it('has its own background and colours for readers in the dark', () => {
    const svg = storm([1]);
    expect(svg).toContain('<rect class="page"');
    expect(svg).toContain('@media (prefers-color-scheme: dark)');
  });

  it('names itself to who cannot see it, with nothing in it that is markup', () => {
    const svg = staircaseChart({ title: 'a < b & "c"', untilMs: 1, panels: [] });
    expect(svg).toContain('aria-label="a &lt; b &amp; &quot;c&quot;"');
  });
});

describe('barChart', () => {
  const svg = barChart({
    title: 'Latency',
    unit: '×',
    limit: { value: 1, name: 'the upstream alone' },
    bars: [
      { name: 'inject', value: 1.4, upTo: 1.6 },
      { name: 'sync', value: 1.2, upTo: 1.4 },
    ],
  });

  it('draws each as long as it is, against the same limit', () => {
    const widths = [...svg.matchAll(/<rect class="bar"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width));
    const [inject = 0, sync = 0] = widths;
    expect(inject / sync).toBeCloseTo(1.4 / 1.2, 2);
    expect(svg).toContain('the upstream alone: 1.00 ×');
  });

  it('tells both figures of each', () => {
    expect(svg).toContain('1.40 – 1.60 ×');
  });
});
