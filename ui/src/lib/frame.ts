/** Query results on one time axis, ready to be drawn. */

import { legendFor } from "./interpolate.ts";

export interface Frame {
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly series: readonly FrameSeries[];
  /** Series left out because there were too many. */
  readonly leftOut: number;
}

export interface FrameSeries {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly values: readonly (number | null)[];
}

export interface Matrix {
  readonly legend: string;
  readonly series: readonly {
    readonly metric: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [number, string])[];
  }[];
}

export const SERIES_MOST = 120;

export function parseNumber(text: string): number {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/** Put results on the axis from `start` to `end`; where a series has no point there is a gap. */
export function toFrame(
  results: readonly Matrix[],
  start: number,
  end: number,
  step: number,
): Frame {
  const count = Math.floor((end - start) / step + 1e-9) + 1;
  const times = Array.from({ length: count }, (_, index) => start + index * step);
  const series: FrameSeries[] = [];
  for (const { legend, series: found } of results) {
    const named = found.map(({ metric, values: points }) => {
      const values = new Array<number | null>(count).fill(null);
      for (const [at, text] of points) {
        const index = Math.round((at - start) / step);
        const value = parseNumber(text);
        if (index >= 0 && index < count && Number.isFinite(value)) values[index] = value;
      }
      return { name: legendFor(legend, metric), labels: metric, values };
    });
    named.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    series.push(...named);
  }
  const distinct = withDistinctNames(series.filter(hasPoints));
  return { times, series: distinct.slice(0, SERIES_MOST), leftOut: Math.max(0, distinct.length - SERIES_MOST) };
}

function hasPoints({ values }: FrameSeries): boolean {
  return values.some((value) => value !== null);
}

function withDistinctNames(series: readonly FrameSeries[]): FrameSeries[] {
  const seen = new Map<string, number>();
  return series.map((each) => {
    const count = (seen.get(each.name) ?? 0) + 1;
    seen.set(each.name, count);
    return count === 1 ? each : { ...each, name: `${each.name} (${count})` };
  });
}

/** Each series on top of those before it; hidden ones take no room. */
export function stacked(frame: Frame, shown: (name: string) => boolean): (number | null)[][] {
  const sums = new Array<number>(frame.times.length).fill(0);
  const some = frame.times.map((_, index) =>
    frame.series.some(({ name, values }) => shown(name) && values[index] !== null),
  );
  return frame.series.map(({ name, values }) =>
    values.map((value, index) => {
      if (!some[index]) return null;
      if (shown(name)) sums[index] = (sums[index] as number) + (value ?? 0);
      return sums[index] as number;
    }),
  );
}

export interface Summary {
  readonly last: number;
  readonly max: number;
  readonly mean: number;
}

/** The newest value, the highest and the mean; NaN where there is none. */
export function summary(values: readonly (number | null)[]): Summary {
  let last = NaN;
  let max = NaN;
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (value === null) continue;
    last = value;
    max = Number.isNaN(max) || value > max ? value : max;
    sum += value;
    count += 1;
  }
  return { last, max, mean: count === 0 ? NaN : sum / count };
}

/** The limits of the value axis: from 0 unless there are negative values, with room on top. */
export function valueLimits(
  low: number | null,
  high: number | null,
  thresholds: readonly number[],
  ratio: boolean,
): [number, number] {
  let max = high ?? 0;
  const min = Math.min(0, low ?? 0);
  // A threshold that is near belongs into the picture; a distant one would flatten it.
  for (const value of thresholds) if (value > max && value <= max * 1.6) max = value;
  if (max <= 0 && min >= 0) return [0, ratio ? 0.01 : 1];
  const padded = max + (max - min) * 0.08;
  return [min < 0 ? min - (max - min) * 0.08 : 0, ratio && max <= 1 ? Math.min(1, padded) : padded];
}

/** The severest threshold that a value has reached. */
export function reached<T extends { readonly value: number }>(
  value: number,
  thresholds: readonly T[],
): T | null {
  let found: T | null = null;
  for (const threshold of thresholds) {
    if (value >= threshold.value && (found === null || threshold.value >= found.value)) {
      found = threshold;
    }
  }
  return found;
}

function cell(text: string): string {
  // A spreadsheet would run a text that begins like a formula.
  const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(inert) ? `"${inert.replace(/"/g, '""')}"` : inert;
}

/** The frame as CSV: a time column, then one for each series. */
export function toCsv(frame: Frame): string {
  const header = ["time", ...frame.series.map(({ name }) => name)].map(cell).join(",");
  const rows = frame.times.map((time, index) =>
    [
      new Date(time * 1000).toISOString(),
      ...frame.series.map(({ values }) => {
        const value = values[index];
        return value === null || value === undefined ? "" : String(value);
      }),
    ].join(","),
  );
  return `${[header, ...rows].join("\n")}\n`;
}
