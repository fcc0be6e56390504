/** One incident in the list. */

import type { Incident } from "../../api/incidents.ts";
import { formatAge, formatMoment } from "../../lib/format.ts";
import { nextOf } from "../../lib/incidents.ts";
import { linkTo } from "../../lib/route.ts";
import { currentPlace } from "../../state/location.ts";
import { Severity } from "../alerts/Severity.tsx";
import { Act } from "./Act.tsx";

export function IncidentState({ incident }: { readonly incident: Pick<Incident, "state"> }) {
  return (
    <span class={`state-tag state-${incident.state}`}>
      <span class={`dot dot-${incident.state}`} />
      {incident.state}
    </span>
  );
}

export function IncidentRow({ incident, now }: { readonly incident: Incident; readonly now: number }) {
  const { id, state, title, owner, policy, severities } = incident;
  const next = nextOf(incident, now);
  return (
    <article class={`card incident-${state}`} data-testid="incident" data-state={state}>
      <div class="card-main">
        <div class="group-title">
          <IncidentState incident={incident} />
          <h3>
            <a href={linkTo(`/incidents/${id}`, currentPlace().params)} data-testid="incident-link">
              {title}
            </a>
          </h3>
          {severities.map((name) => (
            <Severity key={name} name={name} />
          ))}
        </div>
        {incident.annotations["summary"] && <p class="incident-summary">{incident.annotations["summary"]}</p>}
        <p class="group-facts">
          <span>
            since {formatMoment(incident.opened_ms, now)}
            {state !== "resolved" && ` (${formatAge(now - incident.opened_ms)})`}
          </span>
          {state === "acknowledged" && (
            <span>
              <b>{owner}</b> has it
            </span>
          )}
          {state === "triggered" && <span class="problem">nobody has it</span>}
          {state === "resolved" && incident.resolved_ms !== null && (
            <span>
              resolved after {formatAge(incident.resolved_ms - incident.opened_ms)}
              {incident.resolved_by === "alerts" ? " by itself" : ` by ${incident.resolved_by}`}
            </span>
          )}
          {policy !== "" && state !== "resolved" && (
            <span>
              policy <b>{policy}</b>
            </span>
          )}
          {next !== "" && <span data-testid="incident-next">{next}</span>}
        </p>
      </div>
      {state === "triggered" && <Act id={id} verb="acknowledge" primary />}
    </article>
  );
}
