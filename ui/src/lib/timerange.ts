/** Time ranges as the URL holds them, and the steps that queries use. */

import { formatDay, formatTime } from "./format.ts";

/** `from` and `to` are `now`, `now-15m`, or milliseconds since 1970. */
export interface TimeRange {
  readonly from: string;
  readonly to: string;
}

export interface Bounds {
  readonly start: number;
  readonly end: number;
}

export const DEFAULT_RANGE: TimeRange = { from: "now-15m", to: "now" };

export const PRESETS: readonly [string, string][] = [
  ["5m", "Last 5 minutes"],
  ["15m", "Last 15 minutes"],
  ["30m", "Last 30 minutes"],
  ["1h", "Last hour"],
  ["3h", "Last 3 hours"],
  ["6h", "Last 6 hours"],
  ["12h", "Last 12 hours"],
  ["24h", "Last 24 hours"],
  ["2d", "Last 2 days"],
  ["7d", "Last 7 days"],
];

export const REFRESHES: readonly [number, string][] = [
  [0, "Off"],
  [1, "1 s"],
  [5, "5 s"],
  [15, "15 s"],
];

const UNITS: Record<string, number> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const SHORTEST_MS = 1_000;

/** Milliseconds of `90s`, `15m`, `2h`, `7d`; null if the text is none of these. */
export function durationMs(text: string): number | null {
  const match = /^(\d+)([smhdw])$/.exec(text);
  if (!match) return null;
  return Number(match[1]) * (UNITS[match[2] as string] as number);
}

/** A moment in milliseconds; null if the text is none. */
export function momentMs(text: string, now: number): number | null {
  if (text === "now") return now;
  const relative = /^now-(\d+[smhdw])$/.exec(text);
  if (relative) return now - (durationMs(relative[1] as string) as number);
  if (/^\d{9,16}$/.test(text)) return Number(text);
  const parsed = Date.parse(text);
  return Number.isNaN(parsed) ? null : parsed;
}

/** The range in milliseconds; what cannot be read falls back to the default range. */
export function bounds(range: TimeRange, now: number): Bounds {
  const end = momentMs(range.to, now);
  const start = momentMs(range.from, now);
  if (start === null || end === null || start >= end) {
    return { start: now - 900_000, end: now };
  }
  return { start, end: Math.max(end, start + SHORTEST_MS) };
}

export function isRelative(range: TimeRange): boolean {
  return range.to === "now" && range.from.startsWith("now-");
}

export function absolute({ start, end }: Bounds): TimeRange {
  return { from: String(Math.round(start)), to: String(Math.round(end)) };
}

/** The range as a person says it. */
export function describe(range: TimeRange, now: number): string {
  if (isRelative(range)) {
    const length = range.from.slice(4);
    const preset = PRESETS.find(([name]) => name === length);
    return preset ? preset[1] : `Last ${length}`;
  }
  const { start, end } = bounds(range, now);
  const sameDay = formatDay(start) === formatDay(end);
  const first = `${formatDay(start)} ${formatTime(start)}`;
  return `${first} – ${sameDay ? "" : `${formatDay(end)} `}${formatTime(end)}`;
}

/** A range twice as long around the same middle, not beyond now. */
export function zoomedOut(range: Bounds, now: number): Bounds {
  const half = (range.end - range.start) / 2;
  const end = Math.min(now, range.end + half);
  return { start: end - 4 * half, end };
}

/** The range moved by half its length, not beyond now. */
export function shifted(range: Bounds, direction: -1 | 1, now: number): Bounds {
  const length = range.end - range.start;
  const end = Math.min(now, range.end + (direction * length) / 2);
  return { start: end - length, end };
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400];
const SHORTEST_STEP_S = 5;

/** Seconds between points, such that `points` of them cover the range. */
export function stepFor({ start, end }: Bounds, points: number, least = SHORTEST_STEP_S): number {
  const wanted = (end - start) / 1000 / Math.max(1, points);
  return Math.max(least, STEPS.find((step) => step >= wanted) ?? (STEPS.at(-1) as number));
}

/** The bounds in whole steps of seconds, so that refreshed points keep their places. */
export function aligned({ start, end }: Bounds, step: number): Bounds {
  const last = Math.floor(end / 1000 / step) * step;
  const first = Math.floor(start / 1000 / step) * step;
  return { start: first, end: Math.max(first, last) };
}

/** The window of `rate()` in seconds: four scrapes of 5 s, or four steps. */
export function rateInterval(step: number): number {
  return Math.max(20, 4 * Math.round(step));
}

/** The value of a `datetime-local` field. */
export function toField(ms: number): string {
  return `${formatDay(ms)}T${formatTime(ms)}`;
}
