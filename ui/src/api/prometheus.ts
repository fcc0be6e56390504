/** Prometheus' HTTP API. */

import type { Bounds } from "../lib/timerange.ts";
import { getJson } from "./http.ts";

export type Labels = Record<string, string>;

export interface MatrixSeries {
  readonly metric: Labels;
  readonly values: readonly (readonly [number, string])[];
}

export interface VectorSample {
  readonly metric: Labels;
  readonly value: readonly [number, string];
}

interface Envelope<T> {
  readonly status: string;
  readonly data: T;
  readonly warnings?: readonly string[];
}

interface QueryData<T> {
  readonly resultType: string;
  readonly result: T;
}

/** `start`, `end` and `step` in seconds. */
export async function queryRange(
  query: string,
  { start, end }: Bounds,
  step: number,
  signal?: AbortSignal,
): Promise<readonly MatrixSeries[]> {
  const answer = await getJson<Envelope<QueryData<readonly MatrixSeries[]>>>(
    "api/v1/query_range",
    { query, start, end, step },
    signal,
  );
  return answer.data.result;
}

/** The value at one moment, in seconds; a scalar becomes a sample without labels. */
export async function queryInstant(
  query: string,
  time: number,
  signal?: AbortSignal,
): Promise<readonly VectorSample[]> {
  const answer = await getJson<
    Envelope<QueryData<readonly VectorSample[] | readonly [number, string]>>
  >("api/v1/query", { query, time }, signal);
  const { resultType, result } = answer.data;
  if (resultType === "vector") return result as readonly VectorSample[];
  return [{ metric: {}, value: result as readonly [number, string] }];
}

export async function labelValues(
  label: string,
  selector: string,
  { start, end }: Bounds,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const answer = await getJson<Envelope<readonly string[]>>(
    `api/v1/label/${encodeURIComponent(label)}/values`,
    {
      "match[]": selector === "" ? [] : [selector],
      start: Math.floor(start / 1000),
      end: Math.ceil(end / 1000),
    },
    signal,
  );
  return answer.data;
}

export interface Exemplar {
  /** Seconds. */
  readonly at: number;
  readonly value: number;
  readonly traceId: string;
  readonly labels: Labels;
}

interface ExemplarSeries {
  readonly seriesLabels: Labels;
  readonly exemplars: readonly {
    readonly labels: Labels;
    readonly value: string;
    readonly timestamp: number;
  }[];
}

export async function queryExemplars(
  query: string,
  { start, end }: Bounds,
  signal?: AbortSignal,
): Promise<Exemplar[]> {
  const answer = await getJson<Envelope<readonly ExemplarSeries[]>>(
    "api/v1/query_exemplars",
    { query, start, end },
    signal,
  );
  return answer.data.flatMap(({ seriesLabels, exemplars }) =>
    exemplars.flatMap(({ labels, value, timestamp }) => {
      const traceId = labels["trace_id"] ?? labels["traceID"] ?? "";
      return traceId === ""
        ? []
        : [{ at: timestamp, value: Number(value), traceId, labels: seriesLabels }];
    }),
  );
}

export interface Alert {
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly state: "pending" | "firing" | "inactive";
  readonly activeAt: string;
  readonly value: string;
}

export interface Rule {
  readonly type: "alerting" | "recording";
  readonly name: string;
  readonly query: string;
  readonly duration?: number;
  readonly keepFiringFor?: number;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly alerts?: readonly Alert[];
  readonly state?: "inactive" | "pending" | "firing";
  readonly health: string;
  readonly lastError?: string;
  readonly lastEvaluation?: string;
  readonly evaluationTime?: number;
}

export interface RuleGroup {
  readonly name: string;
  readonly file: string;
  readonly interval: number;
  readonly rules: readonly Rule[];
}

export async function rules(signal?: AbortSignal): Promise<readonly RuleGroup[]> {
  const answer = await getJson<Envelope<{ groups: readonly RuleGroup[] }>>(
    "api/v1/rules",
    {},
    signal,
  );
  return answer.data.groups;
}

export async function alerts(signal?: AbortSignal): Promise<readonly Alert[]> {
  const answer = await getJson<Envelope<{ alerts: readonly Alert[] }>>("api/v1/alerts", {}, signal);
  return answer.data.alerts;
}
