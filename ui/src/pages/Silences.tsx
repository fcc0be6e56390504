/** The silences: who keeps which alerts quiet, why, and for how long. */

import { useMemo } from "preact/hooks";
import { activeAlerts, fromApi, type Silence, silence as askSilence, silences } from "../api/alertmanager.ts";
import { orderedSilences } from "../lib/alertgroups.ts";
import { filtersOf, type Matcher, parseMatchers } from "../lib/matchers.ts";
import { linkTo } from "../lib/route.ts";
import { DEFAULT_LENGTH, type Draft } from "../lib/silence.ts";
import { AlertTabs } from "../parts/alerts/Tabs.tsx";
import { Page } from "../parts/Page.tsx";
import { Preview, useMatched } from "../parts/silences/Preview.tsx";
import { SilenceForm } from "../parts/silences/SilenceForm.tsx";
import { SilenceRow } from "../parts/silences/SilenceRow.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { useAsked } from "../state/asked.ts";
import { useBeat } from "../state/beat.ts";
import { setParams, usePlace } from "../state/location.ts";
import { usePolled } from "../state/polled.ts";
import { person } from "../state/person.ts";

const STATES = ["active", "pending", "expired"] as const;
const EXPIRED_SHOWN = 20;

export function SilencesPage() {
  const now = useBeat(5);
  const { params } = usePlace();
  const found = usePolled(silences, now, "silences");
  const alerts = usePolled((signal) => activeAlerts([], signal), now, "alerts");
  const wanted = params.get("state") ?? "";
  const everything = params.get("expired") === "all" || wanted === "expired";
  const mutes = useMemo(() => {
    const counts = new Map<string, number>();
    for (const { status } of alerts.data ?? []) {
      for (const id of status.silencedBy) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    return alerts.data ? counts : null;
  }, [alerts.data]);
  const all = useMemo(() => orderedSilences(found.data ?? []), [found.data]);
  const matching = all.filter(({ status }) => wanted === "" || status.state === wanted);
  const living = matching.filter(({ status }) => status.state !== "expired").length;
  const shown = everything ? matching : matching.slice(0, living + EXPIRED_SHOWN);
  const state = found.data ? (shown.length === 0 ? "empty" : "data") : found.error === null ? "loading" : "error";
  return (
    <Page
      title="Silences"
      subtitle="What is kept quiet, by whom, and until when."
      testid="page-silences"
      live={null}
      tools={
        <a class="button primary" href={linkTo("/silences/new", params)} data-testid="silence-new">
          New silence
        </a>
      }
    >
      <AlertTabs />
      <div class="alert-filters">
        {STATES.map((each) => (
          <button
            key={each}
            type="button"
            class="button"
            aria-pressed={wanted === each}
            data-testid={`state-${each}`}
            onClick={() => setParams({ state: wanted === each ? null : each })}
          >
            <span class={`dot dot-silence-${each}`} /> {each} <b>{all.filter(({ status }) => status.state === each).length}</b>
          </button>
        ))}
      </div>
      <section class="groups" data-testid="silences" data-state={state}>
        {state === "error" && <Failure message={found.error ?? ""} />}
        {state === "loading" && <Loading what="Loading the silences" />}
        {state === "empty" && (
          <Empty title={wanted === "" ? "Nothing is silenced" : `No silence is ${wanted}`}>
            <span>Silence an alert from its card under Alerts: the labels are then filled in.</span>
          </Empty>
        )}
        {shown.map((silence) => (
          <SilenceRow key={silence.id} silence={silence} now={now} mutes={mutes && (mutes.get(silence.id) ?? 0)} />
        ))}
        {shown.length < matching.length && (
          <button type="button" class="plain link" onClick={() => setParams({ expired: "all" })}>
            Show {matching.length - shown.length} more that have ended
          </button>
        )}
      </section>
    </Page>
  );
}

export function SilencePage({ id }: { readonly id: string }) {
  const now = useBeat(5);
  const { params } = usePlace();
  const found = usePolled((signal) => askSilence(id, signal), now, id);
  const data = found.stale ? null : found.data;
  return (
    <Page
      title="Silence"
      subtitle={<a href={linkTo("/silences", params)}>All silences</a>}
      testid="page-silence"
      live={null}
    >
      <AlertTabs />
      {!data && found.error !== null && <Failure message={found.error} />}
      {!data && found.error === null && <Loading what="Loading the silence" />}
      {data && <One silence={data} now={now} />}
    </Page>
  );
}

function One({ silence, now }: { readonly silence: Silence; readonly now: number }) {
  const matched = useMatched(silence.matchers.map(fromApi), now);
  const alerts = matched.stale ? null : matched.data;
  const muted = (alerts ?? []).filter(({ status }) => status.silencedBy.includes(silence.id));
  return (
    <>
      <div class="groups">
        <SilenceRow silence={silence} now={now} mutes={alerts && muted.length} alone />
      </div>
      <section class="row">
        {silence.status.state === "active" && (
          <Preview found={{ ...matched, data: alerts && muted }} now={now} verb="mutes" />
        )}
        {silence.status.state === "pending" && <Preview found={matched} now={now} verb="would mute" />}
      </section>
    </>
  );
}

/** The form for a new silence; `filter` in the address says for which alerts. */
export function NewSilencePage() {
  const now = useBeat(5);
  const { params } = usePlace();
  const first: Draft = {
    matchers: matchersIn(params.getAll("filter")),
    starts: null,
    begun: false,
    ends: null,
    length: DEFAULT_LENGTH,
    author: person.get(),
    comment: params.get("comment") ?? "",
  };
  return (
    <Page
      title="New silence"
      subtitle={<a href={linkTo("/silences", params)}>All silences</a>}
      testid="page-silence-new"
      live={null}
    >
      <SilenceForm key={params.toString()} first={first} id="" now={now} />
    </Page>
  );
}

function matchersIn(texts: readonly string[]): Matcher[] {
  const found = filtersOf(texts).flatMap((text) => {
    try {
      return parseMatchers(text);
    } catch {
      return [];
    }
  });
  return found.length > 0 ? found : [{ name: "", op: "=", value: "" }];
}

export function EditSilencePage({ id }: { readonly id: string }) {
  const now = useBeat(5);
  const { params } = usePlace();
  const found = useAsked((signal) => askSilence(id, signal), [id], id);
  const data = found.stale ? null : found.data;
  return (
    <Page
      title="Edit silence"
      subtitle={<a href={linkTo(`/silences/${id}`, params)}>The silence as it is</a>}
      testid="page-silence-edit"
      live={null}
    >
      {!data && found.error !== null && <Failure message={found.error} />}
      {!data && found.error === null && <Loading what="Loading the silence" />}
      {data && <SilenceForm key={data.id} first={draftOf(data)} id={data.id} now={now} />}
    </Page>
  );
}

function draftOf(silence: Silence): Draft {
  const starts = Date.parse(silence.startsAt);
  return {
    matchers: silence.matchers.map(fromApi),
    starts,
    begun: silence.status.state === "active",
    ends: Date.parse(silence.endsAt),
    length: DEFAULT_LENGTH,
    author: silence.createdBy,
    comment: silence.comment,
  };
}
