/** One alert rule: its state, its alerts and what to do about them. */

import { useState } from "preact/hooks";
import type { Alert, Rule } from "../../api/prometheus.ts";
import { formatAge, formatMoment, formatValue } from "../../lib/format.ts";
import { parseNumber } from "../../lib/frame.ts";
import { Copy } from "../Copy.tsx";
import { Icon } from "../icons.tsx";
import { LabelChips } from "./LabelChips.tsx";
import { Severity } from "./Severity.tsx";
import { Links, OtherAnnotations } from "./Links.tsx";

interface Props {
  readonly rule: Rule;
  readonly group: string;
  readonly state: "firing" | "pending" | "inactive";
  /** Tells nobody, so its firing is no trouble. */
  readonly quiet: boolean;
  readonly open: boolean;
  readonly now: number;
}

export function RuleRow({ rule, group, state, quiet, open: first, now }: Props) {
  const alerts = rule.alerts ?? [];
  const [open, setOpen] = useState(first || (state !== "inactive" && !quiet));
  const severity = rule.labels?.["severity"] ?? "";
  const since = alerts.map(({ activeAt }) => Date.parse(activeAt)).filter((at) => !Number.isNaN(at));
  return (
    <article class={quiet ? "rule rule-quiet" : "rule"} data-testid="alert-rule" data-name={rule.name} data-alert-state={state}>
      <header class="rule-head" onClick={() => setOpen(!open)}>
        <button type="button" class="plain fold" aria-expanded={open} aria-label={`${open ? "Fold" : "Unfold"} ${rule.name}`}>
          <Icon name={open ? "down" : "right"} />
        </button>
        <span class={`state-tag state-${state}`}>
          <span class={`dot dot-${state}`} />
          {state}
        </span>
        <h3>{rule.name}</h3>
        <Severity name={severity} />
        {rule.health === "err" && <span class="tag tag-red">cannot be evaluated</span>}
        <span class="rule-summary">{alerts[0]?.annotations["summary"] ?? ""}</span>
        <span class="rule-since">
          {alerts.length > 1 && `${alerts.length} alerts · `}
          {since.length > 0 && `since ${formatAge(now - Math.min(...since))}`}
        </span>
      </header>
      {open && (
        <div class="rule-body">
          {rule.lastError && <p class="notice notice-red">{rule.lastError}</p>}
          {alerts.map((alert) => (
            <AlertCard key={JSON.stringify(alert.labels)} alert={alert} now={now} />
          ))}
          {alerts.length === 0 && <Links annotations={rule.annotations ?? {}} />}
          <div class="query">
            <code>{rule.query}</code>
            <Copy text={rule.query} title="Copy the expression" />
          </div>
          <p class="faint">
            Group {group}
            {rule.duration ? `, must hold for ${formatAge(rule.duration * 1000)}` : ", fires at once"}
            {rule.keepFiringFor ? `, keeps firing for ${formatAge(rule.keepFiringFor * 1000)}` : ""}
            {rule.lastEvaluation && `, evaluated ${formatAge(now - Date.parse(rule.lastEvaluation))} ago`}
          </p>
        </div>
      )}
    </article>
  );
}

function AlertCard({ alert, now }: { readonly alert: Alert; readonly now: number }) {
  const { summary, description } = alert.annotations;
  const since = Date.parse(alert.activeAt);
  const value = parseNumber(alert.value);
  return (
    <div class={`alert alert-${alert.state}`} data-testid="alert" data-alert-state={alert.state}>
      <p class="alert-title">
        <span class={`state-tag state-${alert.state}`}>
          <span class={`dot dot-${alert.state}`} />
          {alert.state}
        </span>
        <b>{summary ?? alert.labels["alertname"]}</b>
      </p>
      {description && <p>{description}</p>}
      <p class="alert-facts">
        {!Number.isNaN(since) && (
          <span>
            since {formatMoment(since, now)} ({formatAge(now - since)})
          </span>
        )}
        {!Number.isNaN(value) && (
          <span title={alert.value}>
            value <b>{formatValue(value, "short")}</b>
          </span>
        )}
        <Links annotations={alert.annotations} />
      </p>
      <LabelChips labels={alert.labels} />
      <OtherAnnotations annotations={alert.annotations} />
    </div>
  );
}
