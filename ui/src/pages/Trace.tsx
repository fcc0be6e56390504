/** One trace: what happened, in which order, and what the time went into. */

import { useMemo, useState } from "preact/hooks";
import { ApiError } from "../api/http.ts";
import { traceById } from "../api/tempo.ts";
import { formatCount, formatMoment, formatNanoseconds, formatValue } from "../lib/format.ts";
import type { Trace } from "../lib/otlp.ts";
import { PALETTES } from "../lib/palette.ts";
import { linkTo } from "../lib/route.ts";
import { buildTree, totals } from "../lib/tracetree.ts";
import { Copy } from "../parts/Copy.tsx";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { SpanDetail } from "../parts/trace/SpanDetail.tsx";
import { Timeline } from "../parts/trace/Timeline.tsx";
import { useAsked } from "../state/asked.ts";
import { useLive } from "../state/live.ts";
import { setParams, usePlace } from "../state/location.ts";
import { useStore } from "../state/store.ts";
import { theme } from "../state/theme.ts";

export function TracePage({ id }: { readonly id: string }) {
  const live = useLive(0);
  const { data, error, loading, stale } = useAsked(
    (signal) =>
      traceById(id, signal).catch((failure: unknown) => {
        if (failure instanceof ApiError && failure.status === 404) return null;
        throw failure;
      }),
    [id, live.now],
    id,
  );
  if (data && !stale) return <Shown trace={data} />;
  return (
    <Page title="Trace" testid="page-trace" live={null}>
      {error !== null && !stale && <Failure message={error} />}
      {(stale || (error === null && loading)) && <Loading what="Loading the trace" />}
      {error === null && !loading && !stale && (
        <Empty title="There is no trace with this id">
          <span>
            <code>{id}</code>
          </span>
          <span>
            It may still be on its way (applications send every few seconds; press r to look again),
            have been sampled away, or be older than what is kept.
          </span>
        </Empty>
      )}
    </Page>
  );
}

function Shown({ trace }: { readonly trace: Trace }) {
  const { params } = usePlace();
  const palette = PALETTES[useStore(theme)];
  const [search, setSearch] = useState("");
  const root = useMemo(() => buildTree(trace.spans)[0]?.span, [trace]);
  const sums = useMemo(() => totals(trace), [trace]);
  const selected = params.get("span") ?? "";
  const span = trace.spans.find(({ id }) => id === selected);
  const colourOf = (service: string): string =>
    palette.series[Math.max(0, sums.services.indexOf(service)) % palette.series.length] as string;
  const around = {
    from: String(Math.floor(trace.startMs - 60_000)),
    to: String(Math.ceil(trace.startMs + trace.duration / 1e6 + 60_000)),
  };
  const logsLink = linkTo("/logs", params, { trace: trace.id, order: "asc", ...around });
  return (
    <Page
      fill
      title={root?.name ?? "Trace"}
      testid="page-trace"
      live={null}
      tools={
        <>
          <input
            type="search"
            data-search
            data-testid="trace-find"
            placeholder="Find in this trace ( / )"
            aria-label="Find in this trace"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
          <a class="button" href={logsLink} data-testid="trace-logs">
            Logs
          </a>
          <a class="button" href={linkTo("/traces", params)}>
            All traces
          </a>
        </>
      }
    >
      <dl class="trace-facts">
        <Fact name="Duration" value={formatNanoseconds(trace.duration)} />
        <Fact name="Started" value={formatMoment(trace.startMs, Date.now(), true)} />
        <Fact name="Spans" value={formatCount(sums.spans)} />
        <Fact name="Errors" value={String(sums.errors)} tone={sums.errors > 0 ? "critical" : ""} />
        {sums.llmCalls > 0 && (
          <>
            <Fact name="LLM calls" value={String(sums.llmCalls)} />
            <Fact name="Tokens in, out" value={`${formatCount(sums.inputTokens)}, ${formatCount(sums.outputTokens)}`} />
            {sums.costUsd !== null && <Fact name="Cost" value={formatValue(sums.costUsd, "usd")} />}
          </>
        )}
        <div>
          <dt>Services</dt>
          <dd class="trace-services">
            {sums.services.map((service) => (
              <span key={service}>
                <i class="swatch" style={{ background: colourOf(service) }} /> {service}
              </span>
            ))}
          </dd>
        </div>
        <div>
          <dt>Trace</dt>
          <dd>
            <code title={trace.id}>{trace.id.slice(0, 8)}…</code> <Copy text={trace.id} title="Copy the trace's id" />
          </dd>
        </div>
      </dl>
      <div class={span ? "trace-body with-detail" : "trace-body"}>
        <Timeline key={trace.id} trace={trace} search={search} selected={selected} colourOf={colourOf} />
        {span && (
          <SpanDetail
            trace={trace}
            span={span}
            logsLink={logsLink}
            onClose={() => setParams({ span: null }, "replace")}
          />
        )}
      </div>
    </Page>
  );
}

function Fact({ name, value, tone = "" }: { name: string; value: string; tone?: string }) {
  return (
    <div class={tone === "" ? "" : `tone-${tone}`} data-testid={`fact-${name.toLowerCase()}`}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
