/** Search for traces. */

import { useMemo, useState } from "preact/hooks";
import { searchTraces, tagNames, tagValues } from "../api/tempo.ts";
import { isDuration, type TraceFilter, traceQuery } from "../lib/traceql.ts";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { Scatter } from "../parts/trace/Scatter.tsx";
import { TraceTable } from "../parts/trace/TraceTable.tsx";
import { useAsked } from "../state/asked.ts";
import { type Live, setRange, useLive, zoomTo } from "../state/live.ts";
import { setParams, usePlace } from "../state/location.ts";

const LIMITS = ["100", "300", "1000"];

function readFilter(params: URLSearchParams): TraceFilter {
  return {
    service: params.get("service") ?? "",
    name: params.get("name") ?? "",
    min: params.get("min") ?? "",
    max: params.get("max") ?? "",
    error: params.get("error") === "1",
    attributes: params.getAll("attr"),
    query: params.get("q") ?? "",
  };
}

export function TracesPage() {
  const live = useLive(0);
  const { params } = usePlace();
  const filter = readFilter(params);
  const query = traceQuery(filter);
  const limit = Number(params.get("limit") ?? LIMITS[0]);
  const { data, error, loading, stale } = useAsked(
    (signal) => searchTraces(query, live.bounds, limit, signal),
    [query, limit, live.now, live.range.from, live.range.to],
    JSON.stringify([query, limit, live.range.from, live.range.to]),
  );
  const sorted = useMemo(() => sortTraces(data ?? [], params.get("sort") ?? ""), [data, params.get("sort")]);
  return (
    <Page title="Traces" subtitle="What single requests, jobs and agent runs did." testid="page-traces" live={live}>
      <SearchForm key={params.toString()} filter={filter} query={query} limit={String(limit)} live={live} />
      <div
        class={stale ? "results stale" : "results"}
        data-testid="trace-results"
        data-state={stateOf(data, error)}
        aria-busy={stale || (data === null && loading)}
        inert={stale}
      >
        {error !== null && <Failure message={error} />}
        {error === null && data === null && loading && <Loading what="Searching" />}
        {error === null && data?.length === 0 && (
          <Empty title="No trace matches in this time range">
            <span>
              {query === "{}"
                ? "No service has sent a trace. See that watchkeeper.configure() runs when it starts."
                : "Take a filter away, or look further back."}
            </span>
            <button type="button" class="button" onClick={() => setRange({ from: "now-24h", to: "now" })}>
              Look at the last 24 hours
            </button>
          </Empty>
        )}
        {error === null && data !== null && data.length > 0 && (
          <>
            <Scatter
              traces={data}
              start={firstShown(data, limit, live.bounds.start) / 1000}
              end={live.bounds.end / 1000}
              onZoom={(start, end) => zoomTo({ start: start * 1000, end: end * 1000 })}
            />
            <TraceTable traces={sorted} limit={limit} now={live.now} sort={params.get("sort") ?? ""} />
          </>
        )}
      </div>
    </Page>
  );
}

/** Where the picture begins: if there are more traces than shown, with the oldest that is shown. */
function firstShown(traces: readonly { startMs: number }[], limit: number, start: number): number {
  if (traces.length < limit) return start;
  return Math.max(start, Math.min(...traces.map(({ startMs }) => startMs)) - 500);
}

function stateOf(data: readonly unknown[] | null, error: string | null): string {
  if (error !== null) return "error";
  if (data === null) return "loading";
  return data.length === 0 ? "empty" : "data";
}

function sortTraces<T extends { startMs: number; durationMs: number; spans: number }>(
  traces: readonly T[],
  sort: string,
): T[] {
  const copy = [...traces];
  if (sort === "duration") return copy.sort((a, b) => b.durationMs - a.durationMs);
  if (sort === "spans") return copy.sort((a, b) => b.spans - a.spans);
  return copy.sort((a, b) => b.startMs - a.startMs);
}

interface FormProps {
  readonly filter: TraceFilter;
  readonly query: string;
  readonly limit: string;
  readonly live: Live;
}

function SearchForm({ filter, query, limit, live }: FormProps) {
  const [draft, setDraft] = useState(filter);
  const [attribute, setAttribute] = useState("");
  const [raw, setRaw] = useState(filter.query !== "");
  const services = useAsked((signal) => tagValues("resource.service.name", live.bounds, signal), [live.range.from]);
  const names = useAsked((signal) => tagValues("name", live.bounds, signal), [live.range.from]);
  const tags = useAsked((signal) => tagNames(live.bounds, signal), [live.range.from]);
  const set = (change: Partial<TraceFilter>): void => setDraft({ ...draft, ...change });
  const bad = (text: string): boolean => text !== "" && !isDuration(text);
  const apply = (event?: Event, next: TraceFilter = draft): void => {
    event?.preventDefault();
    const pending = attribute.includes("=") ? [attribute] : [];
    setParams({
      service: raw ? null : next.service,
      name: raw ? null : next.name,
      min: raw ? null : next.min,
      max: raw ? null : next.max,
      error: !raw && next.error ? "1" : null,
      attr: raw ? [] : [...next.attributes, ...pending],
      q: raw ? next.query : null,
    });
  };
  return (
    <form class="search-form" onSubmit={apply} data-testid="trace-form">
      {raw ? (
        <label class="field grow">
          <span>TraceQL</span>
          <input
            type="text"
            class="mono"
            data-search
            data-testid="traceql"
            value={draft.query}
            placeholder='{ resource.service.name="api" && status=error }'
            onInput={(event) => set({ query: event.currentTarget.value })}
          />
        </label>
      ) : (
        <>
          <label class="field">
            <span>Service</span>
            <select
              data-testid="trace-service"
              value={draft.service}
              onChange={(event) => apply(undefined, { ...draft, service: event.currentTarget.value })}
            >
              <option value="">All</option>
              {[...new Set([...(services.data ?? []), ...(draft.service === "" ? [] : [draft.service])])].map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
          </label>
          <label class="field grow">
            <span>Span name</span>
            <input
              type="text"
              list="span-names"
              data-search
              data-testid="trace-name"
              value={draft.name}
              onInput={(event) => set({ name: event.currentTarget.value })}
            />
            <datalist id="span-names">{(names.data ?? []).map((each) => <option key={each} value={each} />)}</datalist>
          </label>
          <label class="field narrow">
            <span>Longer than</span>
            <input type="text" placeholder="500ms" value={draft.min} aria-invalid={bad(draft.min)} data-testid="trace-min" onInput={(event) => set({ min: event.currentTarget.value })} />
          </label>
          <label class="field narrow">
            <span>Shorter than</span>
            <input type="text" placeholder="10s" value={draft.max} aria-invalid={bad(draft.max)} data-testid="trace-max" onInput={(event) => set({ max: event.currentTarget.value })} />
          </label>
          <label class="field grow">
            <span>Attribute</span>
            <input
              type="text"
              list="span-tags"
              placeholder="http.route=/api/chat"
              data-testid="trace-attribute"
              value={attribute}
              onInput={(event) => setAttribute(event.currentTarget.value)}
            />
            <datalist id="span-tags">{(tags.data ?? []).map((each) => <option key={each} value={`${each}=`} />)}</datalist>
          </label>
          <label class="check">
            <input
              type="checkbox"
              data-testid="trace-error"
              checked={draft.error}
              onChange={(event) => apply(undefined, { ...draft, error: event.currentTarget.checked })}
            />
            Failed only
          </label>
        </>
      )}
      <button type="submit" class="button primary" data-testid="trace-search">
        Search
      </button>
      <button
        type="button"
        class="plain link"
        onClick={() => {
          set({ query: raw ? "" : query });
          setRaw(!raw);
        }}
      >
        {raw ? "Use the form" : "Write TraceQL"}
      </button>
      <label class="field narrow">
        <span>At most</span>
        <select value={limit} onChange={(event) => setParams({ limit: event.currentTarget.value })}>
          {LIMITS.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      </label>
      {!raw && filter.attributes.length > 0 && (
        <div class="chips">
          {filter.attributes.map((pair) => (
            <button
              key={pair}
              type="button"
              class="chip"
              title="Take this filter away"
              onClick={() => apply(undefined, { ...draft, attributes: draft.attributes.filter((each) => each !== pair) })}
            >
              {pair} ×
            </button>
          ))}
        </div>
      )}
      {(bad(draft.min) || bad(draft.max)) && (
        <p class="problem">A duration is a number and a unit, such as 250ms, 1.5s or 2m.</p>
      )}
    </form>
  );
}
