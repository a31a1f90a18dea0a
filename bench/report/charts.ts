/** Moments at which something happened, one after the other; drawn as a staircase that climbs one step at each. */
export interface Staircase {
  readonly name: string;
  readonly atMs: readonly number[];
}

export interface StaircaseChart {
  readonly title: string;
  /** Where time ends, milliseconds. */
  readonly untilMs: number;
  /** One above the other, with the same time; each with the same staircases in the same order, which have the same colours. */
  readonly panels: readonly { readonly title: string; readonly staircases: readonly Staircase[] }[];
}

export interface BarChart {
  readonly title: string;
  readonly unit: string;
  /** A line across all bars that none of them can go below. */
  readonly limit: { readonly value: number; readonly name: string };
  readonly bars: readonly { readonly name: string; readonly value: number; readonly upTo: number }[];
}

const WIDTH = 720;
const LEFT = 56;
const RIGHT = 24;
const PANEL_HEIGHT = 150;
const PANEL_GAP = 52;
const HEAD = 58;
const BAR_STEP = 26;
const BAR_LEFT = 190;
const GRID_LINES = 5;

/** Legible on light and on dark pages: its own background, and colours by the reader's scheme. */
const STYLE = `<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2328; } .title { font-weight: 600; font-size: 14px; } .small { font-size: 11px; }
  .page { fill: #ffffff; } .grid { stroke: #d1d9e0; } .limit { stroke: #cf222e; stroke-dasharray: 4 3; }
  .line { fill: none; stroke-width: 2; } .s0 { stroke: #0969da; } .s1 { stroke: #bc4c00; } .s2 { stroke: #8250df; }
  .bar { fill: #0969da; } .more { stroke: #0969da; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .page { fill: #0d1117; } .grid { stroke: #3d444d; } .limit { stroke: #ff7b72; }
    .s0 { stroke: #58a6ff; } .s1 { stroke: #f0883e; } .s2 { stroke: #bc8cff; } .bar { fill: #58a6ff; } .more { stroke: #58a6ff; }
  }
</style>`;

/** How much of something there was by when, as an SVG. */
export function staircaseChart({ title, untilMs, panels }: StaircaseChart): string {
  const height = HEAD + panels.length * (PANEL_HEIGHT + PANEL_GAP);
  const x = (atMs: number) => LEFT + (atMs / untilMs) * (WIDTH - LEFT - RIGHT);
  const drawn = panels.flatMap((panel, index) => {
    const top = HEAD + index * (PANEL_HEIGHT + PANEL_GAP) + 18;
    const most = niceCeiling(Math.max(1, ...panel.staircases.map(({ atMs }) => atMs.length)));
    const y = (count: number) => top + PANEL_HEIGHT * (1 - count / most);
    return [
      text(LEFT, top - 8, panel.title),
      ...ticks(most).flatMap((count) => [
        line('grid', LEFT, y(count), WIDTH - RIGHT, y(count)),
        text(LEFT - 6, y(count) + 4, count.toLocaleString('en'), 'small', 'end'),
      ]),
      ...ticks(untilMs).map((atMs) => text(x(atMs), top + PANEL_HEIGHT + 16, `${atMs / 1_000} s`, 'small', 'middle')),
      ...panel.staircases.map(
        ({ atMs }, series) => `<path class="line s${series}" d="${staircasePath(atMs, untilMs, x, y)}"/>`,
      ),
    ];
  });
  const [{ staircases = [] } = {}] = panels;
  const legend = staircases.flatMap(({ name }, series) => {
    const left = LEFT + series * 225;
    return [line(`line s${series}`, left, 38, left + 22, 38), text(left + 28, 42, name)];
  });
  return svg(height, title, [...legend, ...drawn]);
}

/** Values beside each other, each with a thin line to a second one, as an SVG. */
export function barChart({ title, unit, limit, bars }: BarChart): string {
  const most = Math.max(limit.value, ...bars.map(({ upTo }) => upTo)) * 1.2;
  const x = (value: number) => BAR_LEFT + (value / most) * (WIDTH - BAR_LEFT - RIGHT);
  const bottom = HEAD + bars.length * BAR_STEP;
  const drawn = bars.flatMap(({ name, value, upTo }, index) => {
    const top = HEAD + index * BAR_STEP;
    const middle = top + BAR_STEP / 2;
    return [
      text(BAR_LEFT - 8, middle + 4, name, '', 'end'),
      `<rect class="bar" x="${px(BAR_LEFT)}" y="${px(top + 5)}" width="${px(x(value) - BAR_LEFT)}" height="${BAR_STEP - 10}"/>`,
      line('more', x(value), middle, x(upTo), middle),
      text(x(upTo) + 6, middle + 4, `${value.toFixed(2)} – ${upTo.toFixed(2)} ${unit}`, 'small'),
    ];
  });
  const limitLine = [
    line('limit', x(limit.value), HEAD - 4, x(limit.value), bottom + 4),
    text(x(limit.value), bottom + 18, `${limit.name}: ${limit.value.toFixed(2)} ${unit}`, 'small', 'middle'),
  ];
  return svg(bottom + 34, title, [...drawn, ...limitLine]);
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">`,
    STYLE,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="6"/>`,
    text(16, 20, title, 'title'),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

/** Up at each moment; what happens within a tenth of a pixel is one step. */
function staircasePath(
  atMs: readonly number[],
  untilMs: number,
  x: (atMs: number) => number,
  y: (count: number) => number,
): string {
  const steps = new Map<string, number>();
  const shown = atMs.filter((at) => at <= untilMs);
  for (const [index, at] of shown.entries()) steps.set(px(x(Math.max(0, at))), index + 1);
  const climbs = [...steps].map(([at, count]) => `H${at}V${px(y(count))}`);
  return `M${px(x(0))} ${px(y(0))}${climbs.join('')}H${px(x(untilMs))}`;
}

function ticks(most: number): number[] {
  return Array.from({ length: GRID_LINES + 1 }, (_, index) => (most / GRID_LINES) * index);
}

/** The next number that divides well: 1, 2, 2.5 or 5 times a power of ten. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 2.5, 5].find((factor) => factor * power >= value) ?? 10);
}

function text(x: number, y: number, content: string, className = '', anchor = 'start'): string {
  const classes = className === '' ? '' : ` class="${className}"`;
  return `<text x="${px(x)}" y="${px(y)}"${classes} text-anchor="${anchor}">${escaped(content)}</text>`;
}

function line(className: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${className}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}"/>`;
}

const px = (value: number): string => value.toFixed(1);

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
