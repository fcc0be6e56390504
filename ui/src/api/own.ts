/** watchkeeper's own endpoints. */

import type { Unit } from "../lib/format.ts";
import { getJson } from "./http.ts";

export interface BoardEntry {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
}

export interface BoardQuery {
  readonly expr: string;
  readonly legend: string;
  readonly instant: boolean;
}

export interface Threshold {
  readonly value: number;
  readonly severity: "warning" | "critical";
}

export interface PanelSpec {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly kind: "timeseries" | "stat" | "table" | "bar";
  readonly unit: Unit;
  readonly width: number;
  readonly stacked: boolean;
  readonly decimals: number | null;
  readonly queries: readonly BoardQuery[];
  readonly thresholds: readonly Threshold[];
}

export interface Variable {
  readonly name: string;
  readonly label: string;
  readonly query: string;
  readonly multi: boolean;
  readonly all: boolean;
}

export interface Board extends BoardEntry {
  readonly refresh_s: number;
  readonly variables: readonly Variable[];
  readonly rows: readonly {
    readonly title: string;
    readonly question: string;
    readonly panels: readonly PanelSpec[];
  }[];
}

export interface Notification {
  readonly id: string | number;
  readonly rule: string;
  readonly labels: Record<string, string>;
  readonly status: string;
  readonly receiver: string;
  readonly group_key?: string;
  readonly created_ms: number;
  readonly sent_ms: number | null;
  readonly attempts: number;
  readonly outcome: string;
  readonly answer: string;
}

const BASE = "api/watchkeeper/v1";

export async function boards(signal?: AbortSignal): Promise<readonly BoardEntry[]> {
  return (await getJson<{ dashboards: BoardEntry[] }>(`${BASE}/dashboards`, {}, signal)).dashboards;
}

export function board(uid: string, signal?: AbortSignal): Promise<Board> {
  return getJson<Board>(`${BASE}/dashboards/${encodeURIComponent(uid)}`, {}, signal);
}

export async function notifications(
  limit: number,
  signal?: AbortSignal,
): Promise<readonly Notification[]> {
  const answer = await getJson<{ notifications: Notification[] }>(
    `${BASE}/notifications`,
    { limit },
    signal,
  );
  return answer.notifications.map((entry) => ({ ...entry, labels: asRecord(entry.labels) }));
}

/** Labels come as an object or as pairs. */
function asRecord(labels: unknown): Record<string, string> {
  if (Array.isArray(labels)) return Object.fromEntries(labels as [string, string][]);
  return (labels ?? {}) as Record<string, string>;
}

export interface Status {
  readonly version?: string;
  readonly started_ms?: number;
  /** What was wrong at the last load of rules, by file. */
  readonly rule_errors?: Readonly<Record<string, string>>;
}

export function status(signal?: AbortSignal): Promise<Status> {
  return getJson<Status>(`${BASE}/status`, {}, signal);
}
