/** Alertmanager's API, version 2: groups of alerts, and silences. */

import type { Matcher } from "../lib/matchers.ts";
import { getJson, sendJson } from "./http.ts";

export type Labels = Readonly<Record<string, string>>;

export interface GroupedAlert {
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly updatedAt: string;
  readonly fingerprint: string;
  readonly generatorURL?: string;
  readonly receivers: readonly { readonly name: string }[];
  readonly status: {
    readonly state: "active" | "suppressed" | "unprocessed";
    readonly silencedBy: readonly string[];
    readonly inhibitedBy: readonly string[];
  };
}

export interface AlertGroup {
  readonly labels: Labels;
  readonly receiver: { readonly name: string };
  readonly alerts: readonly GroupedAlert[];
}

export interface ApiMatcher {
  readonly name: string;
  readonly value: string;
  readonly isRegex: boolean;
  readonly isEqual?: boolean;
}

export interface PostedSilence {
  readonly id?: string;
  readonly matchers: readonly ApiMatcher[];
  readonly startsAt: string;
  readonly endsAt: string;
  readonly createdBy: string;
  readonly comment: string;
}

export interface Silence extends PostedSilence {
  readonly id: string;
  readonly updatedAt: string;
  readonly status: { readonly state: "active" | "pending" | "expired" };
}

const BASE = "api/v2";

/** Groups with the alerts that fulfil every filter. `receiver` is a name; empty for all. */
export function alertGroups(
  filter: readonly string[],
  receiver: string,
  signal?: AbortSignal,
): Promise<readonly AlertGroup[]> {
  const params = { filter, receiver: receiver.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&") };
  return getJson<AlertGroup[]>(`${BASE}/alerts/groups`, params, signal);
}

export function activeAlerts(
  filter: readonly string[],
  signal?: AbortSignal,
): Promise<readonly GroupedAlert[]> {
  return getJson<GroupedAlert[]>(`${BASE}/alerts`, { filter }, signal);
}

/** How many alerts fire that nothing keeps quiet, but for those that tell nobody by their nature. */
export async function troubleCount(signal?: AbortSignal): Promise<number> {
  const params = { silenced: "false", inhibited: "false", filter: ['severity!="none"'] };
  return (await getJson<GroupedAlert[]>(`${BASE}/alerts`, params, signal)).length;
}

export function silences(signal?: AbortSignal): Promise<readonly Silence[]> {
  return getJson<Silence[]>(`${BASE}/silences`, {}, signal);
}

export function silence(id: string, signal?: AbortSignal): Promise<Silence> {
  return getJson<Silence>(`${BASE}/silence/${encodeURIComponent(id)}`, {}, signal);
}

/** Make a silence, or change the one whose id is given; returns the id that it has then. */
export async function saveSilence(wanted: PostedSilence): Promise<string> {
  return (await sendJson<{ silenceID: string }>("POST", `${BASE}/silences`, wanted)).silenceID;
}

export function expireSilence(id: string): Promise<void> {
  return sendJson("DELETE", `${BASE}/silence/${encodeURIComponent(id)}`);
}

export function toApi({ name, op, value }: Matcher): ApiMatcher {
  return { name, value, isRegex: op.endsWith("~"), isEqual: op.startsWith("=") };
}

export function fromApi({ name, value, isRegex, isEqual = true }: ApiMatcher): Matcher {
  return { name, value, op: isRegex ? (isEqual ? "=~" : "!~") : isEqual ? "=" : "!=" };
}
