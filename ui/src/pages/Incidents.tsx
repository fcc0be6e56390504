/** What somebody has to look after, who does, and who is on call. */

import { incidents, type Listed } from "../api/incidents.ts";
import { orderedIncidents } from "../lib/incidents.ts";
import { IncidentRow } from "../parts/incidents/IncidentRow.tsx";
import { WhoAmI } from "../parts/incidents/WhoAmI.tsx";
import { OnCallPanel } from "../parts/incidents/OnCall.tsx";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { useBeat } from "../state/beat.ts";
import { setParams, usePlace } from "../state/location.ts";
import { usePolled } from "../state/polled.ts";

const CHOICES: readonly [Listed, string][] = [
  ["open", "Open"],
  ["resolved", "Resolved"],
  ["all", "All"],
];
const LISTED = 100;

export function IncidentsPage() {
  const now = useBeat(5);
  const { params } = usePlace();
  const wanted = CHOICES.find(([name]) => name === params.get("show"))?.[0] ?? "open";
  const found = usePolled((signal) => incidents(wanted, LISTED, signal), now, wanted);
  const ready = found.data !== null && !found.stale;
  const listed = orderedIncidents(ready ? (found.data ?? []) : []);
  const state = found.error !== null && !ready ? "error" : !ready ? "loading" : listed.length === 0 ? "empty" : "data";
  return (
    <Page title="Incidents" subtitle="What somebody has to look after, and who does." testid="page-incidents" live={null} tools={<WhoAmI />}>
      <div class="incidents-layout">
        <div class="incidents-list">
          <div class="alert-filters">
            {CHOICES.map(([name, title]) => (
              <button
                key={name}
                type="button"
                class="button"
                aria-pressed={wanted === name}
                data-testid={`show-${name}`}
                onClick={() => setParams({ show: name === "open" ? null : name })}
              >
                {title}
              </button>
            ))}
          </div>
          <section class="groups" data-testid="incidents" data-state={state}>
            {state === "error" && <Failure message={found.error ?? ""} />}
            {state === "loading" && <Loading what="Loading the incidents" />}
            {state === "empty" && (
              <Empty title={wanted === "open" ? "No incident is open" : wanted === "resolved" ? "None was resolved yet" : "There was no incident yet"}>
                <span>An incident opens when a group of alerts is first sent to a receiver, and closes with its alerts.</span>
              </Empty>
            )}
            {listed.map((incident) => (
              <IncidentRow key={incident.id} incident={incident} now={now} />
            ))}
            {listed.length >= LISTED && <p class="faint">These are the newest {LISTED}.</p>}
          </section>
        </div>
        <OnCallPanel now={now} />
      </div>
    </Page>
  );
}
