/** Rules, the alerts they raised, and whom they told. */

import { useMemo } from "preact/hooks";
import { notifications } from "../api/own.ts";
import { rules, type Rule } from "../api/prometheus.ts";
import { Notifications } from "../parts/alerts/Notifications.tsx";
import { RuleRow } from "../parts/alerts/RuleRow.tsx";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { useAsked } from "../state/asked.ts";
import { useLive } from "../state/live.ts";
import { setParams, usePlace } from "../state/location.ts";

const STATES = ["firing", "pending", "inactive"] as const;
const LISTED = 200;

export type RuleState = (typeof STATES)[number];

export function stateOfRule(rule: Rule): RuleState {
  if (rule.state) return rule.state;
  const states = new Set((rule.alerts ?? []).map(({ state }) => state));
  return states.has("firing") ? "firing" : states.has("pending") ? "pending" : "inactive";
}

export function AlertsPage() {
  const live = useLive(5);
  const { params } = usePlace();
  const found = useAsked(rules, [live.now]);
  const told = useAsked((signal) => notifications(LISTED, signal), [live.now]);
  const wanted = params.get("state") ?? "";
  const name = params.get("name") ?? "";
  const all = useMemo(
    () =>
      (found.data ?? [])
        .flatMap((group) => group.rules.map((rule) => ({ rule, group: group.name })))
        .filter(({ rule }) => rule.type === "alerting")
        .sort((a, b) => order(a.rule) - order(b.rule)),
    [found.data],
  );
  const inState = (rule: Rule, state: string): boolean =>
    stateOfRule(rule) === state && !(state === "firing" && isQuiet(rule));
  const shown = all.filter(
    ({ rule }) => (wanted === "" || inState(rule, wanted)) && (name === "" || rule.name === name),
  );
  return (
    <Page title="Alerts" subtitle="What is wrong now, and who was told." testid="page-alerts" live={live}>
      <div class="alert-filters">
        {STATES.map((state) => {
          const count = all.filter(({ rule }) => inState(rule, state)).length;
          return (
            <button
              key={state}
              type="button"
              class="button"
              aria-pressed={wanted === state}
              data-testid={`state-${state}`}
              onClick={() => setParams({ state: wanted === state ? null : state })}
            >
              <span class={`dot dot-${state}`} /> {state} <b>{count}</b>
            </button>
          );
        })}
        {name !== "" && (
          <button type="button" class="chip" onClick={() => setParams({ name: null })}>
            {name} ×
          </button>
        )}
      </div>
      <section class="panel" data-testid="alert-rules" data-state={stateOf(found.data, found.error, shown.length)}>
        {found.error !== null && !found.data && <Failure message={found.error} />}
        {found.error === null && !found.data && <Loading what="Loading the rules" />}
        {found.data && all.length === 0 && (
          <Empty title="There are no alert rules">
            <span>Start the server with a rule file, or without one to use the rules that ship with it.</span>
          </Empty>
        )}
        {found.data && all.length > 0 && shown.length === 0 && (
          <Empty title={wanted === "" ? "No rule has this name" : `No rule is ${wanted}`}>
            <button type="button" class="button" onClick={() => setParams({ state: null, name: null })}>
              Show all rules
            </button>
          </Empty>
        )}
        {shown.map(({ rule, group }) => (
          <RuleRow
            key={`${group}/${rule.name}/${rule.query}`}
            rule={rule}
            group={group}
            state={stateOfRule(rule)}
            quiet={isQuiet(rule)}
            open={name !== ""}
            now={live.now}
          />
        ))}
      </section>
      <section class="row">
        <div class="row-head">
          <h2>Notifications</h2>
          <p>What was sent to whom, newest first.</p>
        </div>
        <div class="panel" data-testid="notifications" data-state={stateOf(told.data, told.error, told.data?.length ?? 0)}>
          {told.error !== null && !told.data && <Failure message={told.error} />}
          {told.error === null && !told.data && <Loading />}
          {told.data && <Notifications entries={told.data} name={name} now={live.now} />}
        </div>
      </section>
    </Page>
  );
}

/** Whether nobody is told: a watchdog fires always, to show that alerting works. */
function isQuiet(rule: Rule): boolean {
  return rule.labels?.["severity"] === "none";
}

function stateOf(data: unknown, error: string | null, count: number): string {
  if (!data) return error === null ? "loading" : "error";
  return count === 0 ? "empty" : "data";
}

/** Trouble first, and of that what wakes people; a rule that cannot run counts as trouble. */
function order(rule: Rule): number {
  if (isQuiet(rule)) return 100;
  const urgent = rule.labels?.["severity"] === "page" ? 0 : 1;
  const broken = rule.health === "err" ? 0.5 : 0;
  return (STATES.indexOf(stateOfRule(rule)) - broken) * 10 + urgent;
}
