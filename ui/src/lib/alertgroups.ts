/** Groups of alerts in the order in which somebody on call reads them. */

import type { AlertGroup, GroupedAlert, Labels, Silence } from "../api/alertmanager.ts";

/** A group as it is shown: once, whoever is told of it. */
export interface ShownGroup {
  readonly key: string;
  readonly labels: Labels;
  readonly receivers: readonly string[];
  readonly alerts: readonly GroupedAlert[];
  /** Alerts that nothing keeps quiet. */
  readonly active: number;
  readonly since: number;
  readonly severity: string;
  /** Tells nobody by its nature, as a watchdog. */
  readonly quiet: boolean;
}

const RANKS: Readonly<Record<string, number>> = { page: 0, critical: 0, ticket: 2, warning: 2, info: 3, none: 9 };

function rankOf(severity: string): number {
  return RANKS[severity] ?? 1;
}

export function isActive(alert: GroupedAlert): boolean {
  return alert.status.state !== "suppressed";
}

/** The same for the same labels, whatever their order. */
export function labelsKey(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function mostSevere(alerts: readonly GroupedAlert[]): string {
  const found = alerts.map(({ labels }) => labels["severity"] ?? "");
  return found.sort((a, b) => rankOf(a) - rankOf(b))[0] ?? "";
}

/** Several receivers of the same alerts make one group; trouble comes first, then what is new. */
export function shownGroups(groups: readonly AlertGroup[]): ShownGroup[] {
  const merged = new Map<string, AlertGroup & { receivers: string[] }>();
  for (const group of groups) {
    const members = group.alerts.map(({ fingerprint }) => fingerprint).sort();
    const key = `${labelsKey(group.labels)} ${members.join(" ")}`;
    const held = merged.get(key);
    if (held) held.receivers.push(group.receiver.name);
    else merged.set(key, { ...group, receivers: [group.receiver.name] });
  }
  return [...merged.values()]
    .map((group): ShownGroup => {
      const alerts = [...group.alerts].sort((a, b) => Number(isActive(b)) - Number(isActive(a)) || startOf(b) - startOf(a));
      const severity = mostSevere(alerts);
      return {
        key: `${labelsKey(group.labels)} ${group.receivers.join(" ")}`,
        labels: group.labels,
        receivers: group.receivers,
        alerts,
        active: alerts.filter(isActive).length,
        since: Math.min(...alerts.map(startOf)),
        severity,
        quiet: severity === "none",
      };
    })
    .sort((a, b) => placeOf(a) - placeOf(b) || b.since - a.since);
}

function placeOf({ quiet, active, severity }: ShownGroup): number {
  return (quiet ? 200 : active > 0 ? 0 : 100) + rankOf(severity);
}

function startOf({ startsAt }: GroupedAlert): number {
  return Date.parse(startsAt);
}

/** What a group is called: the alert's name, or else the labels that it is grouped by. */
export function titleOf({ labels, alerts }: Pick<ShownGroup, "labels" | "alerts">): string {
  const names = new Set(alerts.map((alert) => alert.labels["alertname"] ?? ""));
  const [only = ""] = names;
  if (names.size === 1 && only !== "") return only;
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return pairs.length > 0 ? pairs.join(", ") : `${names.size} kinds of alerts`;
}

/** The labels that all alerts have in common: what a silence of the whole group asks for. */
export function commonLabels(alerts: readonly GroupedAlert[]): Labels {
  const [first, ...rest] = alerts;
  return Object.fromEntries(
    Object.entries(first?.labels ?? {}).filter(([name, value]) => rest.every(({ labels }) => labels[name] === value)),
  );
}

/** Those that count now by their end, those to come by their start, then what has ended, newest first. */
export function orderedSilences(silences: readonly Silence[]): Silence[] {
  const place = ({ status, startsAt, endsAt }: Silence): [number, number] => {
    if (status.state === "active") return [0, Date.parse(endsAt)];
    if (status.state === "pending") return [1, Date.parse(startsAt)];
    return [2, -Date.parse(endsAt)];
  };
  return [...silences].sort((a, b) => {
    const [left, right] = [place(a), place(b)];
    return left[0] - right[0] || left[1] - right[1];
  });
}
