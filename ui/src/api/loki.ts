/** Loki's HTTP API. */

import type { LokiStream } from "../lib/logs.ts";
import type { Bounds } from "../lib/timerange.ts";
import { getJson } from "./http.ts";
import type { MatrixSeries } from "./prometheus.ts";

interface Answer<T> {
  readonly data: { readonly resultType: string; readonly result: T };
}

/** `start` and `end` in nanoseconds as text. */
export async function queryLines(
  query: string,
  start: string,
  end: string,
  limit: number,
  direction: "forward" | "backward",
  signal?: AbortSignal,
): Promise<readonly LokiStream[]> {
  const answer = await getJson<Answer<readonly LokiStream[]>>(
    "loki/api/v1/query_range",
    { query, start, end, limit, direction },
    signal,
    { "X-Loki-Response-Encoding-Flags": "categorize-labels" },
  );
  return answer.data.resultType === "streams" ? answer.data.result : [];
}

/** Numbers over time; `start`, `end` and `step` in seconds. */
export async function queryNumbers(
  query: string,
  { start, end }: Bounds,
  step: number,
  signal?: AbortSignal,
): Promise<readonly MatrixSeries[]> {
  const answer = await getJson<Answer<readonly MatrixSeries[]>>(
    "loki/api/v1/query_range",
    { query, start, end, step },
    signal,
  );
  return answer.data.resultType === "matrix" ? answer.data.result : [];
}

export async function logLabelValues(
  label: string,
  { start, end }: Bounds,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const answer = await getJson<{ data?: readonly string[] }>(
    `loki/api/v1/label/${encodeURIComponent(label)}/values`,
    { start: nanoseconds(start), end: nanoseconds(end) },
    signal,
  );
  return answer.data ?? [];
}

/** Milliseconds as nanoseconds in text. */
export function nanoseconds(ms: number): string {
  return `${Math.floor(ms)}000000`;
}
