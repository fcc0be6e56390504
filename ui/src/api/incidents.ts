/** Incidents, and who is on call. */

import { getJson, sendJson } from "./http.ts";

type Labels = Readonly<Record<string, string>>;

export interface Incident {
  readonly id: string;
  /** `rules`, or the name of the Alertmanager that sent the group. */
  readonly source: string;
  readonly group_key: string;
  readonly receiver: string;
  readonly title: string;
  readonly state: "triggered" | "acknowledged" | "resolved";
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly severities: readonly string[];
  readonly firing: number;
  readonly truncated: number;
  /** Empty if it does not escalate. */
  readonly policy: string;
  readonly round: number;
  /** Steps told so far in this round. */
  readonly step: number;
  readonly waits_for: "" | "step" | "quiet" | "acknowledged";
  readonly due_ms: number | null;
  readonly owner: string;
  readonly opened_ms: number;
  readonly changed_ms: number;
  readonly acknowledged_ms: number | null;
  readonly resolved_ms: number | null;
  /** `alerts`, or a person. */
  readonly resolved_by: string;
}

export interface IncidentAlert {
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly starts_ms: number;
  readonly ends_ms: number | null;
  readonly fingerprint: string;
}

export interface TimelineEntry {
  readonly number: number;
  readonly at_ms: number;
  readonly kind: string;
  readonly who: string;
  readonly via: string;
  readonly text: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One message to one integration of a receiver. */
export interface Told {
  readonly key: string;
  readonly kind: string;
  readonly receiver: string;
  readonly outlet: string;
  readonly person: string;
  readonly why: string;
  readonly created_ms: number;
  readonly attempts: number;
  readonly sent_ms: number | null;
  readonly outcome: string;
  readonly answer: string;
}

export interface WholeIncident extends Incident {
  readonly alerts: readonly IncidentAlert[];
  readonly timeline: readonly TimelineEntry[];
  readonly pages: readonly Told[];
}

export interface Shift {
  readonly start_ms: number;
  readonly end_ms: number;
  /** Null: nobody. */
  readonly user: string | null;
  readonly origin: string;
}

export interface OnCall {
  readonly schedule: string;
  readonly time_zone: string;
  readonly now: string | null;
  readonly until_ms: number | null;
  readonly shifts: readonly Shift[];
}

export type Verb = "acknowledge" | "unacknowledge" | "take" | "resolve" | "comment";
export type Listed = "open" | "all" | "triggered" | "acknowledged" | "resolved";

const BASE = "api/watchkeeper/v1";

function place(id: string): string {
  return `${BASE}/incidents/${encodeURIComponent(id)}`;
}

/** Newest first. */
export async function incidents(
  state: Listed,
  limit: number,
  signal?: AbortSignal,
): Promise<readonly Incident[]> {
  const params = { state, limit };
  return (await getJson<{ incidents: Incident[] }>(`${BASE}/incidents`, params, signal)).incidents;
}

export function incident(id: string, signal?: AbortSignal): Promise<WholeIncident> {
  return getJson<WholeIncident>(place(id), {}, signal);
}

export function act(id: string, verb: Verb, by: string, text = ""): Promise<Incident> {
  return sendJson<Incident>("POST", `${place(id)}/${verb}`, { by, text, via: "ui" });
}

/** Where the incident is found as Markdown. */
export function markdownAddress(id: string): string {
  return `./${place(id)}.md`;
}

export async function onCall(signal?: AbortSignal): Promise<readonly OnCall[]> {
  return (await getJson<{ schedules: OnCall[] }>(`${BASE}/oncall`, {}, signal)).schedules;
}
