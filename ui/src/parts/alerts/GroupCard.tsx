/** One group of alerts: what fires, who is told, and what can be done about it. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { GroupedAlert, Silence } from "../../api/alertmanager.ts";
import { commonLabels, isActive, labelsKey, type ShownGroup, titleOf } from "../../lib/alertgroups.ts";
import { formatAge, formatMoment, formatValue } from "../../lib/format.ts";
import { matchersFor, matcherText } from "../../lib/matchers.ts";
import { linkTo } from "../../lib/route.ts";
import { currentPlace } from "../../state/location.ts";
import { LabelChips } from "./LabelChips.tsx";
import { Links, OtherAnnotations } from "./Links.tsx";
import { Severity } from "./Severity.tsx";

/** What is known beside the groups. */
export interface Around {
  readonly now: number;
  readonly silences: ReadonlyMap<string, Silence>;
  /** Names of alerts by fingerprint. */
  readonly names: ReadonlyMap<string, string>;
  /** Values of alerts by `labelsKey`. */
  readonly values: ReadonlyMap<string, number>;
  /** Alerts of rules that must hold for longer before they fire. */
  readonly pending: number;
}

const SHOWN_AT_FIRST = 10;

/** The address of the form that silences what has these labels. */
export function silenceLink(labels: Readonly<Record<string, string>>): string {
  return linkTo("/silences/new", currentPlace().params, { filter: matchersFor(labels).map(matcherText) });
}

interface Props {
  readonly group: ShownGroup;
  readonly around: Around;
  /** What stands beside the button that silences. */
  readonly actions?: ComponentChildren;
  readonly note?: ComponentChildren;
}

export function GroupCard({ group, around, actions, note }: Props) {
  const [all, setAll] = useState(false);
  const { alerts, active, quiet, receivers, severity } = group;
  const title = titleOf(group);
  const state = active > 0 ? "firing" : "suppressed";
  const shown = all ? alerts : alerts.slice(0, SHOWN_AT_FIRST);
  const said = new Set(["alertname", "severity", ...Object.keys(group.labels)]);
  const muted = alerts.length - active;
  return (
    <article
      class={`group group-${quiet ? "quiet" : state}`}
      data-testid="alert-group"
      data-name={title}
      data-alert-state={active > 0 ? "active" : "suppressed"}
    >
      <header class="group-head">
        <div class="group-title">
          <span class={`state-tag state-${state}`}>
            <span class={`dot dot-${state}`} />
            {active > 0 ? "firing" : "muted"}
          </span>
          <h3>{title}</h3>
          <Severity name={severity} />
          {note}
        </div>
        <div class="group-actions">
          {actions}
          {!quiet && (
            <a class="button" href={silenceLink(commonLabels(alerts))} data-testid="silence-group" aria-label={`Silence ${title}`}>
              Silence{alerts.length > 1 && ` all ${alerts.length}`}
            </a>
          )}
        </div>
        <p class="group-facts">
          <span>
            since {formatMoment(group.since, around.now)} ({formatAge(around.now - group.since)})
          </span>
          <span>
            {alerts.length} {alerts.length === 1 ? "alert" : "alerts"}
            {muted > 0 && active > 0 && `, ${muted} muted`}
          </span>
          {quiet ? (
            <span>fires always, to show that alerting works</span>
          ) : (
            <span>
              to <b>{receivers.join(", ")}</b>
            </span>
          )}
        </p>
        <LabelChips labels={group.labels} filter />
      </header>
      {shown.map((alert) => (
        <AlertItem key={alert.fingerprint} alert={alert} said={said} around={around} alone={alerts.length === 1} />
      ))}
      {shown.length < alerts.length && (
        <button type="button" class="plain link group-more" onClick={() => setAll(true)}>
          Show all {alerts.length} alerts
        </button>
      )}
    </article>
  );
}

interface ItemProps {
  readonly alert: GroupedAlert;
  readonly said: ReadonlySet<string>;
  readonly around: Around;
  readonly alone: boolean;
}

function AlertItem({ alert, said, around, alone }: ItemProps) {
  const { summary, description } = alert.annotations;
  const since = Date.parse(alert.startsAt);
  const value = around.values.get(labelsKey(alert.labels));
  const active = isActive(alert);
  return (
    <div class={`alert alert-${active ? "firing" : "suppressed"}`} data-testid="alert" data-alert-state={alert.status.state}>
      <div class="alert-top">
        <b>{summary ?? alert.labels["alertname"] ?? "An alert without a name"}</b>
        {!alone && (
          <a class="link" href={silenceLink(alert.labels)} data-testid="silence-alert">
            Silence
          </a>
        )}
      </div>
      {description && <p>{description}</p>}
      {!active && <MutedBy alert={alert} around={around} />}
      <p class="alert-facts">
        {value !== undefined && !Number.isNaN(value) && (
          <span title={String(value)}>
            value <b>{formatValue(value, "short")}</b>
          </span>
        )}
        {!alone && (
          <span>
            since {formatMoment(since, around.now)} ({formatAge(around.now - since)})
          </span>
        )}
        <Links annotations={alert.annotations} />
      </p>
      <LabelChips labels={alert.labels} skip={said} filter />
      <OtherAnnotations annotations={alert.annotations} />
    </div>
  );
}

/** By whom an alert is kept quiet. */
function MutedBy({ alert, around }: { readonly alert: GroupedAlert; readonly around: Around }) {
  const { params } = currentPlace();
  return (
    <p class="muted-by" data-testid="muted-by">
      {alert.status.silencedBy.map((id) => {
        const silence = around.silences.get(id);
        return (
          <span key={id}>
            Silenced{silence && ` by ${silence.createdBy} until ${formatMoment(Date.parse(silence.endsAt), around.now)}`}:{" "}
            <a href={linkTo(`/silences/${id}`, params)} data-testid="silenced-by">
              {silence?.comment || "the silence"}
            </a>
          </span>
        );
      })}
      {alert.status.inhibitedBy.map((fingerprint) => {
        const name = around.names.get(fingerprint);
        return (
          <span key={fingerprint}>
            Held back while{" "}
            {name ? (
              <a href={linkTo("/alerts", params, { name })} data-testid="inhibited-by">
                {name}
              </a>
            ) : (
              <code>{fingerprint}</code>
            )}{" "}
            fires
          </span>
        );
      })}
    </p>
  );
}
