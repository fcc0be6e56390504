/** What is wrong now, grouped as people are told of it. */

import { useMemo } from "preact/hooks";
import { activeAlerts, alertGroups, silences } from "../api/alertmanager.ts";
import { type Incident, incidents } from "../api/incidents.ts";
import { alerts as ruleAlerts } from "../api/prometheus.ts";
import { labelsKey, shownGroups, type ShownGroup } from "../lib/alertgroups.ts";
import { parseNumber } from "../lib/frame.ts";
import { incidentOf } from "../lib/incidents.ts";
import { filtersOf, matcherText } from "../lib/matchers.ts";
import { linkTo } from "../lib/route.ts";
import { type Around, GroupCard } from "../parts/alerts/GroupCard.tsx";
import { RuleErrors } from "../parts/alerts/RuleErrors.tsx";
import { AlertTabs } from "../parts/alerts/Tabs.tsx";
import { FilterBar } from "../parts/alerts/FilterBar.tsx";
import { Act } from "../parts/incidents/Act.tsx";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { useBeat } from "../state/beat.ts";
import { setParams, usePlace } from "../state/location.ts";
import { usePolled } from "../state/polled.ts";
import { Told } from "./Notifications.tsx";
import { Rules } from "./Rules.tsx";

const GROUPS_MOST = 100;
const INCIDENTS_MOST = 1_000;

export function AlertsPage() {
  const now = useBeat(5);
  const { params } = usePlace();
  const name = params.get("name") ?? "";
  const receiver = params.get("receiver") ?? "";
  const shown = params.get("state") ?? "";
  const filters = filtersOf(params.getAll("filter"));
  const named = name === "" ? [] : [matcherText({ name: "alertname", op: "=", value: name })];
  const asked = JSON.stringify([filters, name, receiver]);
  const found = usePolled((signal) => alertGroups([...filters, ...named], receiver, signal), now, asked);
  const groups = useMemo(() => shownGroups(found.data ?? []), [found.data]);
  const around = useAround(now, groups);
  const open = usePolled((signal) => incidents("open", INCIDENTS_MOST, signal), now, "open").data ?? [];
  const wanted = groups.filter((group) => shown === "" || stateOfGroup(group) === shown);
  const trouble = groups.filter(({ quiet }) => !quiet);
  const ready = found.data !== null && !found.stale;
  const state = found.error !== null && !ready ? "error" : !ready ? "loading" : wanted.length === 0 ? "empty" : "data";
  return (
    <Page title="Alerts" subtitle="What is wrong now, and who is told." testid="page-alerts" live={null}>
      <AlertTabs />
      <RuleErrors now={now} />
      <FilterBar
        filters={filters}
        name={name}
        receiver={receiver}
        state={shown}
        pending={around.pending}
        active={trouble.filter((group) => stateOfGroup(group) === "active").length}
        suppressed={trouble.filter((group) => stateOfGroup(group) === "suppressed").length}
      />
      <section class="groups" data-testid="alert-groups" data-state={state} aria-busy={found.stale}>
        {state === "error" && <Failure message={found.error ?? ""} />}
        {state === "loading" && <Loading what="Loading the alerts" />}
        {ready && trouble.length === 0 && shown === "" && <Calm filtered={filters.length > 0 || name !== "" || receiver !== ""} name={name} />}
        {ready && wanted.length === 0 && shown !== "" && (
          <Empty title={shown === "active" ? "Nothing fires that somebody would be told of" : "Nothing is muted"}>
            <button type="button" class="button" onClick={() => setParams({ state: null })}>
              Show all alerts
            </button>
          </Empty>
        )}
        {ready && wanted.slice(0, GROUPS_MOST).map((group) => {
          const incident = incidentOf(group.labels, group.receivers, open);
          return (
            <GroupCard
              key={group.key}
              group={group}
              around={around}
              note={incident && <Held incident={incident} />}
              actions={incident?.state === "triggered" && <Act id={incident.id} verb="acknowledge" primary />}
            />
          );
        })}
        {ready && wanted.length > GROUPS_MOST && (
          <p class="faint">
            {wanted.length - GROUPS_MOST} more groups are not shown. Narrow them down with a label.
          </p>
        )}
      </section>
      {name !== "" && (
        <>
          <section class="row">
            <div class="row-head">
              <h2>Its rule</h2>
            </div>
            <Rules now={now} name={name} />
          </section>
          <section class="row">
            <div class="row-head">
              <h2>Notifications</h2>
              <p>What was sent to whom, newest first.</p>
            </div>
            <Told now={now} name={name} />
          </section>
        </>
      )}
    </Page>
  );
}

function stateOfGroup(group: ShownGroup): "active" | "suppressed" {
  return group.active > 0 ? "active" : "suppressed";
}

/** Silences, names and values: what groups do not say themselves. */
function useAround(now: number, groups: readonly ShownGroup[]): Around {
  const alerts = groups.flatMap((group) => group.alerts);
  const known = new Set(alerts.map(({ fingerprint }) => fingerprint));
  // Who holds alerts back may not be among those that the filters let through.
  const hidden = alerts.some(({ status }) => status.inhibitedBy.some((each) => !known.has(each)));
  const kept = usePolled(silences, now, "silences");
  const rules = usePolled(ruleAlerts, now, "values");
  const others = usePolled((signal) => (hidden ? activeAlerts([], signal) : Promise.resolve([])), now, hidden ? "all" : "none");
  return useMemo(
    () => ({
      now,
      silences: new Map((kept.data ?? []).map((each) => [each.id, each])),
      names: new Map(
        [...alerts, ...(others.data ?? [])].map(({ fingerprint, labels }) => [fingerprint, labels["alertname"] ?? ""]),
      ),
      pending: (rules.data ?? []).filter(({ state }) => state === "pending").length,
      values: new Map((rules.data ?? []).map(({ labels, value }) => [labelsKey(labels), parseNumber(value)])),
    }),
    [now, groups, kept.data, rules.data, others.data],
  );
}

/** The incident of a group, and who has it. */
function Held({ incident }: { readonly incident: Incident }) {
  return (
    <a
      class={`tag tag-${incident.state === "triggered" ? "red" : "amber"}`}
      href={linkTo(`/incidents/${incident.id}`, usePlace().params)}
      data-testid="group-incident"
    >
      {incident.state === "triggered" ? "nobody has it" : `${incident.owner} has it`}
    </a>
  );
}

function Calm({ filtered, name }: { readonly filtered: boolean; readonly name: string }) {
  const { params } = usePlace();
  if (!filtered) {
    return (
      <Empty title="No alert fires">
        <span>
          Alerts appear here as soon as one does. <a href={linkTo("/rules", params)}>See what is watched</a>
        </span>
      </Empty>
    );
  }
  return (
    <Empty title={name === "" ? "No alert has these labels" : `${name} does not fire now`}>
      <button type="button" class="button" onClick={() => setParams({ filter: null, name: null, receiver: null })}>
        Show all alerts
      </button>
    </Empty>
  );
}
