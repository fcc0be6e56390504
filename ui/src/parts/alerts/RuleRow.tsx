/** One alert rule: its state, its alerts and what to do about them. */

import { useState } from "preact/hooks";
import type { Alert, Labels, Rule } from "../../api/prometheus.ts";
import { formatAge, formatMoment, formatValue } from "../../lib/format.ts";
import { parseNumber } from "../../lib/frame.ts";
import { safeLink } from "../../lib/route.ts";
import { Copy } from "../Copy.tsx";
import { Icon } from "../icons.tsx";

interface Props {
  readonly rule: Rule;
  readonly group: string;
  readonly state: "firing" | "pending" | "inactive";
  /** Tells nobody, so its firing is no trouble. */
  readonly quiet: boolean;
  readonly open: boolean;
  readonly now: number;
}

const SEVERITY_TONES: Record<string, string> = { page: "red", critical: "red", ticket: "amber", warning: "amber" };

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
        {severity !== "" && <span class={`tag tag-${SEVERITY_TONES[severity] ?? "plain"}`}>{severity}</span>}
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
  const { summary, description, ...others } = alert.annotations;
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
      <OtherAnnotations annotations={others} />
    </div>
  );
}

/** A link to a page of this UI, written as an address that begins with `/#/`. */
function ownLink(address: string): string | null {
  return address.startsWith("/#/") ? address.slice(1) : null;
}

function Links({ annotations }: { readonly annotations: Labels }) {
  const runbook = annotations["runbook_url"] ?? "";
  const board = annotations["dashboard_url"] ?? "";
  const runbookLink = safeLink(runbook);
  const boardLink = ownLink(board) ?? safeLink(board);
  return (
    <span class="alert-links">
      {runbookLink ? (
        <a href={runbookLink} target="_blank" rel="noreferrer noopener" data-testid="runbook">
          Runbook
        </a>
      ) : (
        runbook !== "" && (
          <span>
            Runbook <code>{runbook}</code>
          </span>
        )
      )}
      {boardLink && (
        <a href={boardLink} data-testid="alert-dashboard">
          Dashboard
        </a>
      )}
    </span>
  );
}

export function LabelChips({ labels }: { readonly labels: Labels }) {
  return (
    <p class="labels">
      {Object.keys(labels)
        .filter((name) => name !== "alertname" && name !== "severity")
        .sort()
        .map((name) => (
          <code key={name}>
            {name}={labels[name]}
          </code>
        ))}
    </p>
  );
}

function OtherAnnotations({ annotations }: { readonly annotations: Labels }) {
  const names = Object.keys(annotations).filter((name) => name !== "runbook_url" && name !== "dashboard_url");
  return (
    <>
      {names.map((name) => (
        <p key={name}>
          <span class="faint">{name}</span> {annotations[name]}
        </p>
      ))}
    </>
  );
}
