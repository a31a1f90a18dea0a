/** A target and whether it was reached. */
export interface Target {
  /** As in `at most 1.35 ×`. */
  readonly text: string;
  readonly isMet: boolean;
}

/** One line of the report. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  /** Absent where nothing was promised. */
  readonly target?: Target;
  /** What it is to be compared with, or how it was found. */
  readonly remark?: string;
}

/** Figures side by side. The first cell of a row names it. */
export interface Table {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Section {
  readonly title: string;
  /** How it was measured, in a sentence or two. */
  readonly method: string;
  readonly figures: readonly Figure[];
  readonly tables?: readonly Table[];
}

export function atMost(limit: number, value: number, unit: string): Target {
  return { text: `at most ${limit}${unit}`, isMet: value <= limit };
}

/** `MISSED` is meant to be seen. */
export function verdictOf({ target }: Figure): string {
  if (target === undefined) return '';
  return target.isMet ? 'met' : 'MISSED';
}

/** As in `10,000`. */
export const count = (value: number): string => value.toLocaleString('en');
export const ms = (value: number): string => `${value.toFixed(1)} ms`;
export const times = (value: number): string => `${value.toFixed(2)} ×`;
export const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;
export const seconds = (valueMs: number): string => `${(valueMs / 1_000).toFixed(1)} s`;
export const mb = (bytes: number): string => `${(bytes / 1_000_000).toFixed(0)} MB`;
