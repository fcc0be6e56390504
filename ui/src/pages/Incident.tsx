/** One incident: what it is about, what can be done, and what happened. */

import type { ComponentChildren } from "preact";
import { incident as ask, type IncidentAlert, markdownAddress, type WholeIncident } from "../api/incidents.ts";
import { type Notification, notifications } from "../api/own.ts";
import { formatAge, formatMoment } from "../lib/format.ts";
import { nextOf, silenceFilter, toldOf } from "../lib/incidents.ts";
import { linkTo } from "../lib/route.ts";
import { LabelChips } from "../parts/alerts/LabelChips.tsx";
import { Links } from "../parts/alerts/Links.tsx";
import { Notifications } from "../parts/alerts/Notifications.tsx";
import { Severity } from "../parts/alerts/Severity.tsx";
import { Act } from "../parts/incidents/Act.tsx";
import { IncidentState } from "../parts/incidents/IncidentRow.tsx";
import { Timeline, ToldTable } from "../parts/incidents/Timeline.tsx";
import { WhoAmI } from "../parts/incidents/WhoAmI.tsx";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { useBeat } from "../state/beat.ts";
import { usePlace } from "../state/location.ts";
import { usePolled } from "../state/polled.ts";
import { person } from "../state/person.ts";
import { useStore } from "../state/store.ts";

const LISTED = 1_000;
const OLDER_MS = 60_000;

export function IncidentPage({ id }: { readonly id: string }) {
  const now = useBeat(5);
  const { params } = usePlace();
  const found = usePolled((signal) => ask(id, signal), now, id);
  const data = found.stale ? null : found.data;
  const title = data?.title ?? `Incident ${id}`;
  return (
    <Page
      title={title}
      subtitle={
        <>
          <a href={linkTo("/incidents", params)}>Incidents</a> · {id}
        </>
      }
      testid="page-incident"
      live={null}
      tools={<WhoAmI />}
    >
      {!data && found.error !== null && <Failure message={found.error} />}
      {!data && found.error === null && <Loading what="Loading the incident" />}
      {data && <Whole incident={data} now={now} />}
    </Page>
  );
}

function Whole({ incident, now }: { readonly incident: WholeIncident; readonly now: number }) {
  const { id, state, owner } = incident;
  const me = useStore(person);
  const { params } = usePlace();
  const next = nextOf(incident, now);
  const told = usePolled((signal) => notifications(LISTED, signal), now, "notifications");
  const ofGroup = (told.data ?? []).filter((each) => isOf(each, incident));
  return (
    <>
      <section class={`panel incident-head incident-${state}`} data-testid="incident-head" data-state={state}>
        <div class="group-title">
          <IncidentState incident={incident} />
          {incident.severities.map((name) => (
            <Severity key={name} name={name} />
          ))}
          <b class="incident-holder">
            {state === "triggered" && "Nobody has it"}
            {state === "acknowledged" && `${owner} has it`}
            {state === "resolved" && (incident.resolved_by === "alerts" ? "Its alerts have ended" : `By ${incident.resolved_by}`)}
          </b>
        </div>
        {incident.annotations["summary"] && <p class="incident-summary">{incident.annotations["summary"]}</p>}
        {incident.annotations["description"] && <p>{incident.annotations["description"]}</p>}
        <dl class="facts">
          <Fact name="Since">
            {formatMoment(incident.opened_ms, now)}
            {state !== "resolved" && ` (${formatAge(now - incident.opened_ms)})`}
          </Fact>
          {incident.acknowledged_ms !== null && <Fact name="Acknowledged">after {formatAge(incident.acknowledged_ms - incident.opened_ms)}</Fact>}
          {incident.resolved_ms !== null && <Fact name="Resolved">after {formatAge(incident.resolved_ms - incident.opened_ms)}</Fact>}
          <Fact name="Receiver">{incident.receiver}</Fact>
          {incident.source !== "rules" && <Fact name="From">{incident.source}</Fact>}
          {incident.policy !== "" && <Fact name="Policy">{incident.policy}</Fact>}
          {incident.policy !== "" && <Fact name="Told">{toldOf(incident)}</Fact>}
          {next !== "" && <Fact name="Next">{next}</Fact>}
        </dl>
        <LabelChips labels={incident.labels} />
        <div class="incident-actions">
          {state === "triggered" && <Act id={id} verb="acknowledge" primary />}
          {state === "acknowledged" && owner !== me && <Act id={id} verb="take" />}
          {state === "acknowledged" && <Act id={id} verb="unacknowledge" sure />}
          {state !== "resolved" && <Act id={id} verb="resolve" sure />}
          <Act id={id} verb="comment" sure />
          {state !== "resolved" && Object.keys(incident.labels).length > 0 && (
            <a class="button" href={linkTo("/silences/new", params, { filter: silenceFilter(incident.labels) })}>
              Silence
            </a>
          )}
          <a class="button" href={markdownAddress(id)} download data-testid="export">
            Export
          </a>
          <Links annotations={incident.annotations} />
        </div>
      </section>
      <section class="row">
        <div class="row-head">
          <h2>Timeline</h2>
        </div>
        <div class="panel">
          <Timeline entries={incident.timeline} now={now} />
        </div>
      </section>
      <section class="row">
        <div class="row-head">
          <h2>Who was told</h2>
        </div>
        <div class="panel scroll-x">
          {incident.pages.length > 0 && <ToldTable pages={incident.pages} now={now} />}
          {ofGroup.length > 0 && <Notifications entries={ofGroup} name="" now={now} />}
          {incident.pages.length + ofGroup.length === 0 && (
            <Empty title="Nobody was told yet">
              <span>Messages of the escalation and of the group’s receiver appear here.</span>
            </Empty>
          )}
        </div>
      </section>
      <section class="row">
        <div class="row-head">
          <h2>Alerts</h2>
          <p>As they were last reported.</p>
        </div>
        <div class="panel incident-alerts">
          {incident.alerts.map((alert) => (
            <OneAlert key={alert.fingerprint} alert={alert} now={now} />
          ))}
          {incident.truncated > 0 && <p class="faint">And {incident.truncated} more.</p>}
        </div>
      </section>
    </>
  );
}

/** Whether a receiver of the route was told this of the incident. */
function isOf({ group_key: key, created_ms: at }: Notification, incident: WholeIncident): boolean {
  if (incident.source !== "rules" || key !== incident.group_key) return false;
  // The message may be a moment older than the incident that it opens.
  return at >= incident.opened_ms - OLDER_MS && at <= (incident.resolved_ms ?? at) + OLDER_MS;
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function OneAlert({ alert, now }: { readonly alert: IncidentAlert; readonly now: number }) {
  const state = alert.ends_ms === null ? "firing" : "resolved";
  return (
    <div class={`alert alert-${state}`}>
      <p class="alert-title">
        <span class={`state-tag state-${state}`}>
          <span class={`dot dot-${state}`} />
          {state}
        </span>
        <b>{alert.annotations["summary"] ?? alert.labels["alertname"]}</b>
      </p>
      <p class="alert-facts">
        <span>
          since {formatMoment(alert.starts_ms, now)}
          {alert.ends_ms !== null && ` until ${formatMoment(alert.ends_ms, now)}`}
        </span>
        <Links annotations={alert.annotations} />
      </p>
      <LabelChips labels={alert.labels} />
    </div>
  );
}
