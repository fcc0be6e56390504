/** What is said about incidents. */

import type { Incident } from "../api/incidents.ts";
import { formatAge } from "./format.ts";
import { matchersFor, matcherText } from "./matchers.ts";

type Labels = Readonly<Record<string, string>>;

/**
 * Open ones that nobody has first, then those that somebody has, then the resolved; of the open
 * ones first those that page, else the newest.
 */
export function orderedIncidents(incidents: readonly Incident[]): Incident[] {
  const states = ["triggered", "acknowledged", "resolved"];
  const pages = ({ state, severities }: Incident): boolean =>
    state !== "resolved" && severities.some((name) => name === "page" || name === "critical");
  return [...incidents].sort(
    (a, b) =>
      states.indexOf(a.state) - states.indexOf(b.state) ||
      Number(pages(b)) - Number(pages(a)) ||
      b.opened_ms - a.opened_ms,
  );
}

/** The open incident of a group of our own rules. A group's key ends with its labels. */
export function incidentOf(
  labels: Labels,
  receivers: readonly string[],
  incidents: readonly Incident[],
): Incident | undefined {
  const names = Object.keys(labels).sort();
  const texts = names.map((name) => matcherText({ name, op: "=", value: labels[name] as string }));
  const tail = `:{${texts.join(", ")}}`;
  return incidents.find(
    ({ source, state, receiver, group_key }) =>
      source === "rules" && state !== "resolved" && receivers.includes(receiver) && group_key.endsWith(tail),
  );
}

/** What comes next if nobody does anything; empty if nothing does. */
export function nextOf(incident: Incident, now: number): string {
  const { state, waits_for: waits, due_ms: due, policy } = incident;
  if (state === "resolved") return "";
  if (due === null || waits === "") {
    if (state === "acknowledged") return "";
    return policy === "" ? "does not escalate: no policy matches" : "nobody else will be told";
  }
  const left = due <= now ? "now" : `in ${formatAge(due - now)}`;
  if (waits === "quiet") return `quiet hours: goes on ${left}`;
  if (waits === "acknowledged") return `escalates again ${left}, unless it is resolved`;
  return `next step ${left}`;
}

/** How far the escalation has come. */
export function toldOf({ round, step }: Pick<Incident, "round" | "step">): string {
  if (step > 0) return `step ${step} of round ${round}`;
  return round > 1 ? `all of round ${round - 1}` : "nobody yet";
}

/** Matchers that silence what an incident is about. */
export function silenceFilter(labels: Labels): string[] {
  return matchersFor(labels).map(matcherText);
}
