/** The alert rules and what each of them says now. */

import { useMemo } from "preact/hooks";
import { rules, type Rule } from "../api/prometheus.ts";
import { RuleErrors } from "../parts/alerts/RuleErrors.tsx";
import { RuleRow } from "../parts/alerts/RuleRow.tsx";
import { AlertTabs } from "../parts/alerts/Tabs.tsx";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { useBeat } from "../state/beat.ts";
import { setParams, usePlace } from "../state/location.ts";
import { usePolled } from "../state/polled.ts";

const STATES = ["firing", "pending", "inactive"] as const;

export type RuleState = (typeof STATES)[number];

export function stateOfRule(rule: Rule): RuleState {
  if (rule.state) return rule.state;
  const states = new Set((rule.alerts ?? []).map(({ state }) => state));
  return states.has("firing") ? "firing" : states.has("pending") ? "pending" : "inactive";
}

export function RulesPage() {
  const now = useBeat(5);
  return (
    <Page title="Rules" subtitle="What is watched, and what each rule says now." testid="page-rules" live={null}>
      <AlertTabs />
      <RuleErrors now={now} />
      <Rules now={now} name="" />
    </Page>
  );
}

interface RulesProps {
  readonly now: number;
  /** Only the rules of this name, unfolded; empty for all. */
  readonly name: string;
}

export function Rules({ now, name }: RulesProps) {
  const { params } = usePlace();
  const found = usePolled(rules, now, "rules");
  const wanted = name === "" ? (params.get("state") ?? "") : "";
  const all = useMemo(
    () =>
      (found.data ?? [])
        .flatMap((group) => group.rules.map((rule) => ({ rule, group: group.name })))
        .filter(({ rule }) => rule.type === "alerting" && (name === "" || rule.name === name))
        .sort((a, b) => order(a.rule) - order(b.rule)),
    [found.data, name],
  );
  const inState = (rule: Rule, state: string): boolean =>
    stateOfRule(rule) === state && !(state === "firing" && isQuiet(rule));
  const shown = all.filter(({ rule }) => wanted === "" || inState(rule, wanted));
  return (
    <>
      {name === "" && (
        <div class="alert-filters">
          {STATES.map((state) => (
            <button
              key={state}
              type="button"
              class="button"
              aria-pressed={wanted === state}
              data-testid={`state-${state}`}
              onClick={() => setParams({ state: wanted === state ? null : state })}
            >
              <span class={`dot dot-${state}`} /> {state} <b>{all.filter(({ rule }) => inState(rule, state)).length}</b>
            </button>
          ))}
        </div>
      )}
      <section class="panel" data-testid="alert-rules" data-state={stateOf(found.data, found.error, shown.length)}>
        {found.error !== null && !found.data && <Failure message={found.error} />}
        {found.error === null && !found.data && <Loading what="Loading the rules" />}
        {found.data && all.length === 0 && (
          <Empty title={name === "" ? "There are no alert rules" : "No rule has this name"}>
            <span>
              {name === ""
                ? "Start the server with a rule file, or without one to use the rules that ship with it."
                : "The alert comes from somewhere else, or its rule was taken out."}
            </span>
          </Empty>
        )}
        {all.length > 0 && shown.length === 0 && (
          <Empty title={`No rule is ${wanted}`}>
            <button type="button" class="button" onClick={() => setParams({ state: null })}>
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
            now={now}
          />
        ))}
      </section>
    </>
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
