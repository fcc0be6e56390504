/** Numbers, durations and times as text. */

export type Unit =
  | "reqps"
  | "ops"
  | "s"
  | "bytes"
  | "percentunit"
  | "short"
  | "usd"
  | "tokens";

interface Scale {
  readonly factor: number;
  readonly suffix: string;
}

const TIME: readonly Scale[] = [
  { factor: 86_400, suffix: " d" },
  { factor: 3_600, suffix: " h" },
  { factor: 60, suffix: " min" },
  { factor: 1, suffix: " s" },
  { factor: 1e-3, suffix: " ms" },
  { factor: 1e-6, suffix: " µs" },
  { factor: 1e-9, suffix: " ns" },
];
const BYTES: readonly Scale[] = [
  { factor: 1024 ** 4, suffix: " TiB" },
  { factor: 1024 ** 3, suffix: " GiB" },
  { factor: 1024 ** 2, suffix: " MiB" },
  { factor: 1024, suffix: " KiB" },
  { factor: 1, suffix: " B" },
];
const SHORT: readonly Scale[] = [
  { factor: 1e12, suffix: "T" },
  { factor: 1e9, suffix: "G" },
  { factor: 1e6, suffix: "M" },
  { factor: 1e3, suffix: "k" },
  { factor: 1, suffix: "" },
];
const PERCENT: readonly Scale[] = [{ factor: 0.01, suffix: " %" }];

const SCALES: Record<Unit, readonly Scale[]> = {
  s: TIME,
  bytes: BYTES,
  percentunit: PERCENT,
  reqps: SHORT,
  ops: SHORT,
  short: SHORT,
  tokens: SHORT,
  usd: SHORT,
};
const AFTER: Partial<Record<Unit, string>> = { reqps: " req/s", ops: " /s" };
const BEFORE: Partial<Record<Unit, string>> = { usd: "$" };

export const NO_VALUE = "–";

function scaleFor(size: number, unit: Unit): Scale {
  const scales = SCALES[unit] ?? SHORT;
  const fitting = scales.find((scale) => size >= scale.factor * 0.99995);
  return fitting ?? (scales.at(-1) as Scale);
}

/** Digits after the point that leave three that matter. */
function digits(size: number): number {
  if (size === 0 || size >= 100) return 0;
  if (size >= 10) return 1;
  if (size >= 1) return 2;
  return Math.min(6, 2 - Math.floor(Math.log10(size)));
}

function trimmed(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function signed(text: string, negative: boolean, unit: Unit): string {
  return `${negative ? "−" : ""}${BEFORE[unit] ?? ""}${text}`;
}

/** A value with its unit and three digits that matter: `12.3 ms`, `$0.0042`, `1.5k req/s`. */
export function formatValue(value: number, unit: Unit, decimals: number | null = null): string {
  if (Number.isNaN(value)) return NO_VALUE;
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size === 0) {
    const zero = decimals !== null && unit === "usd" ? (0).toFixed(decimals) : "0";
    return `${BEFORE[unit] ?? ""}${zero}${unit === "percentunit" ? " %" : ""}${AFTER[unit] ?? ""}`;
  }
  const scale = scaleFor(size, unit);
  const shown = size / scale.factor;
  // A fixed number of decimals must not turn a small price into nothing.
  const fixed = decimals !== null && shown >= 10 ** -decimals;
  const text = fixed ? shown.toFixed(decimals) : trimmed(shown.toFixed(digits(shown)));
  return `${signed(text, value < 0, unit)}${scale.suffix}${AFTER[unit] ?? ""}`;
}

/** Distances between the lines of an axis, in units that people count in. */
export const AXIS_STEPS: Partial<Record<Unit, number[]>> = {
  bytes: Array.from({ length: 50 }, (_, power) => 2 ** power),
  s: [
    ...[1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1].flatMap((step) => [step, 2 * step, 5 * step]),
    ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200],
    ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((days) => days * 86_400),
  ],
};

/** The scale that suits the largest tick and splits none of them into odd fractions. */
function axisScale(ticks: readonly number[], unit: Unit): Scale {
  const most = Math.max(0, ...ticks.map(Math.abs));
  const scale = scaleFor(most, unit);
  if (unit !== "s" || scale.factor < 60) return scale;
  const even = (factor: number): boolean => ticks.every((tick) => Number.isInteger((tick / factor) * 2));
  return TIME.find(({ factor }) => factor <= scale.factor && even(factor)) ?? scale;
}

/** The labels of an axis: one scale for all, and as many digits as tell neighbours apart. */
export function axisLabels(ticks: readonly number[], unit: Unit): string[] {
  const scale = axisScale(ticks, unit);
  const gaps = ticks.slice(1).map((tick, index) => Math.abs(tick - (ticks[index] as number)));
  const gap = gaps.length > 0 ? Math.min(...gaps) / scale.factor : 1;
  const places = gap > 0 && gap < 1 ? Math.min(6, Math.ceil(-Math.log10(gap) - 1e-9)) : 0;
  return ticks.map((tick) => {
    if (tick === 0) return signed("0", false, unit);
    const shown = Math.abs(tick) / scale.factor;
    const exact = Math.abs(shown * 10 ** places - Math.round(shown * 10 ** places)) < 1e-6;
    return `${signed(shown.toFixed(exact ? places : places + 1), tick < 0, unit)}${scale.suffix}`;
  });
}

/** A duration given in nanoseconds. */
export function formatNanoseconds(ns: number): string {
  return ns === 0 ? "0" : formatValue(ns / 1e9, "s");
}

/** A length of time in two units at most: `2 h 5 min`, `43 s`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, name]) => `${count} ${name}`)
    .join(" ");
}

export function formatCount(value: number): string {
  return value.toLocaleString("en-US");
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `2026-01-31` in local time. */
export function formatDay(ms: number): string {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** `14:03:07`, with milliseconds on request. */
export function formatTime(ms: number, millis = false): string {
  const at = new Date(ms);
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return millis ? `${text}.${String(at.getMilliseconds()).padStart(3, "0")}` : text;
}

/** Day and time; the day is left out when it is that of `now`. */
export function formatMoment(ms: number, now: number, millis = false): string {
  const day = formatDay(ms);
  const time = formatTime(ms, millis);
  return day === formatDay(now) ? time : `${day} ${time}`;
}

/** `Mon 14:03` within a week, else with the day: for what lies ahead. */
export function formatWeekday(ms: number, now: number = Date.now()): string {
  const time = formatTime(ms).slice(0, 5);
  if (Math.abs(ms - now) > 6 * 86_400_000) return `${formatDay(ms)} ${time}`;
  return `${WEEKDAYS[new Date(ms).getDay()]} ${time}`;
}
