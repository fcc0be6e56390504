/** Which alerts a silence mutes, as far as they fire now. */

import { activeAlerts, type GroupedAlert } from "../../api/alertmanager.ts";
import { formatAge } from "../../lib/format.ts";
import { type Matcher, matcherText } from "../../lib/matchers.ts";
import type { Asked } from "../../state/asked.ts";
import { usePolled } from "../../state/polled.ts";
import { LabelChips } from "../alerts/LabelChips.tsx";
import { Severity } from "../alerts/Severity.tsx";

const SHOWN_MOST = 30;

/** The alerts that fulfil all matchers; none are asked for while a label has no name. */
export function useMatched(matchers: readonly Matcher[], now: number): Asked<readonly GroupedAlert[]> {
  const whole = matchers.length > 0 && matchers.every(({ name }) => name !== "");
  const filter = whole ? matchers.map(matcherText) : [];
  const about = `alerts ${filter.join(",")}`;
  return usePolled(
    (signal) => (whole ? activeAlerts(filter, signal) : Promise.resolve([])),
    now,
    about,
  );
}

interface Props {
  readonly found: Asked<readonly GroupedAlert[]>;
  readonly now: number;
  /** Said before the number of alerts. */
  readonly verb: "would mute" | "mutes";
  readonly calm?: string;
}

export function Preview({ found, now, verb, calm = "No alert that fires now. It mutes those that come." }: Props) {
  const alerts = found.stale ? null : found.data;
  const wakes = alerts?.filter(({ labels }) => labels["severity"] === "page" || labels["severity"] === "critical").length ?? 0;
  return (
    <section class="panel preview" data-testid="preview" data-count={alerts?.length ?? ""} data-state={alerts === null ? "loading" : "data"}>
      <h2 aria-live="polite">
        {alerts === null
          ? found.error === null || found.stale
            ? "Looking which alerts match…"
            : "Which alerts match is not known"
          : `It ${verb} ${alerts.length} ${alerts.length === 1 ? "alert" : "alerts"} now`}
        {wakes > 0 && <span class="tag tag-red">{wakes === alerts?.length && wakes === 1 ? "it pages" : `${wakes} of them page`}</span>}
      </h2>
      {alerts?.length === 0 && <p class="faint">{calm}</p>}
      <ul>
        {(alerts ?? []).slice(0, SHOWN_MOST).map(({ fingerprint, labels, annotations, startsAt }) => (
          <li key={fingerprint} data-testid="preview-alert">
            <p class="preview-title">
              <b>{labels["alertname"]}</b> <Severity name={labels["severity"] ?? ""} />
              <span class="faint">for {formatAge(now - Date.parse(startsAt))}</span>
            </p>
            {annotations["summary"] && <p>{annotations["summary"]}</p>}
            <LabelChips labels={labels} />
          </li>
        ))}
      </ul>
      {alerts && alerts.length > SHOWN_MOST && <p class="faint">And {alerts.length - SHOWN_MOST} more.</p>}
    </section>
  );
}
