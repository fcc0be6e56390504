/** Tempo's HTTP API. */

import { parseTrace, type Trace } from "../lib/otlp.ts";
import type { Bounds } from "../lib/timerange.ts";
import { getJson } from "./http.ts";

export interface TraceSummary {
  readonly id: string;
  readonly service: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly spans: number;
  readonly errors: number;
  readonly services: readonly string[];
}

interface Answer {
  readonly traces?: readonly {
    readonly traceID: string;
    readonly rootServiceName?: string;
    readonly rootTraceName?: string;
    readonly startTimeUnixNano: string;
    readonly durationMs?: number;
    readonly serviceStats?: Record<string, { spanCount?: number; errorCount?: number }>;
  }[];
}

export async function searchTraces(
  q: string,
  { start, end }: Bounds,
  limit: number,
  signal?: AbortSignal,
): Promise<TraceSummary[]> {
  const answer = await getJson<Answer>(
    "api/search",
    { q, start: Math.floor(start / 1000), end: Math.ceil(end / 1000), limit },
    signal,
  );
  return (answer.traces ?? []).map((trace) => {
    const stats = Object.entries(trace.serviceStats ?? {});
    return {
      id: trace.traceID,
      service: (trace.rootServiceName ?? "").startsWith("<root") ? "" : (trace.rootServiceName ?? ""),
      name: trace.rootTraceName ?? "",
      startMs: Number(trace.startTimeUnixNano) / 1e6,
      durationMs: trace.durationMs ?? 0,
      spans: stats.reduce((sum, [, each]) => sum + (each.spanCount ?? 0), 0),
      errors: stats.reduce((sum, [, each]) => sum + (each.errorCount ?? 0), 0),
      services: stats.map(([name]) => name),
    };
  });
}

export async function traceById(id: string, signal?: AbortSignal): Promise<Trace | null> {
  return parseTrace(id, await getJson<unknown>(`api/traces/${encodeURIComponent(id)}`, {}, signal));
}

export async function tagValues(
  tag: string,
  { start, end }: Bounds,
  signal?: AbortSignal,
): Promise<string[]> {
  const answer = await getJson<{ tagValues?: readonly { value: string }[] }>(
    `api/v2/search/tag/${encodeURIComponent(tag)}/values`,
    { start: Math.floor(start / 1000), end: Math.ceil(end / 1000) },
    signal,
  );
  return (answer.tagValues ?? []).map(({ value }) => value);
}

export async function tagNames({ start, end }: Bounds, signal?: AbortSignal): Promise<string[]> {
  const answer = await getJson<{ scopes?: readonly { name: string; tags: readonly string[] }[] }>(
    "api/v2/search/tags",
    { start: Math.floor(start / 1000), end: Math.ceil(end / 1000) },
    signal,
  );
  return (answer.scopes ?? [])
    .filter(({ name }) => name === "span" || name === "resource")
    .flatMap(({ name, tags }) => tags.map((tag) => `${name}.${tag}`));
}
