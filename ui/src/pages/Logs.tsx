/** The logs: filter, follow, and look around a line. */

import { useMemo, useState } from "preact/hooks";
import { formatCount } from "../lib/format.ts";
import { type LogFilter, type LogLine, logQuery } from "../lib/logs.ts";
import { LevelColours } from "../lib/palette.ts";
import { Chart } from "../parts/Chart.tsx";
import { Context } from "../parts/logs/Context.tsx";
import { LogForm } from "../parts/logs/LogForm.tsx";
import { LogList } from "../parts/logs/LogList.tsx";
import { Page } from "../parts/Page.tsx";
import { Empty, Failure, Loading } from "../parts/States.tsx";
import { type Live, setRange, useLive, zoomTo } from "../state/live.ts";
import { setParams, usePlace } from "../state/location.ts";
import { useLogLines, useVolume } from "../state/logdata.ts";
import { theme } from "../state/theme.ts";
import { isRelative } from "../lib/timerange.ts";

const VOLUME_HEIGHT = 92;
const ALL_LINES = '{service_name=~".+"}';

function readFilter(params: URLSearchParams): LogFilter {
  return {
    services: params.getAll("service"),
    levels: params.getAll("level"),
    text: params.get("text") ?? "",
    trace: params.get("trace") ?? "",
    fields: params.getAll("field"),
    query: params.get("q") ?? "",
  };
}

export function LogsPage() {
  const { params } = usePlace();
  const tail = params.get("live") === "1";
  const live = useLive(tail ? 5 : 0);
  const filter = readFilter(params);
  const query = logQuery(filter);
  const found = useLogLines(query, live, tail);
  const [context, setContext] = useState<LogLine | null>(null);
  const ascending = params.get("order") === "asc";
  const lines = useMemo(
    () => (ascending ? [...found.lines].reverse() : found.lines),
    [found.lines, ascending],
  );
  const services = useMemo(() => new Set(found.lines.map(({ service }) => service)).size, [found.lines]);
  const follow = (): void => {
    if (!tail && !isRelative(live.range)) setRange({ from: "now-15m", to: "now" });
    setParams({ live: tail ? null : "1", order: null }, "replace");
  };
  const filterBy = (name: string, value: string): void => {
    if (name === "service_name") setParams({ service: [value] });
    else if (name === "level") setParams({ level: [value] });
    else if (name === "trace_id") setParams({ trace: value });
    else setParams({ field: [...new Set([...filter.fields, `${name}=${value}`])] });
  };
  return (
    <Page
      fill
      title="Logs"
      testid="page-logs"
      live={live}
      tools={
        <>
          <button
            type="button"
            class="button"
            aria-pressed={ascending}
            onClick={() => setParams({ order: ascending ? null : "asc" }, "replace")}
          >
            {ascending ? "Oldest first" : "Newest first"}
          </button>
          <button type="button" class="button" aria-pressed={tail} data-testid="log-live" onClick={follow}>
            {tail && <span class="pulse" />}
            {tail ? "Following" : "Follow"}
          </button>
        </>
      }
    >
      <LogForm filter={filter} query={query} live={live} />
      {filter.trace === "" && <VolumeChart query={query} live={live} />}
      <section
        class={found.stale ? "log-panel stale" : "log-panel"}
        data-testid="log-results"
        data-state={found.state}
        aria-busy={found.stale}
        inert={found.stale}
      >
        {found.state === "loading" && <Loading what="Searching" />}
        {found.state === "error" && <Failure message={found.error ?? ""} />}
        {found.state === "empty" && <NoLines filtered={query !== ALL_LINES} />}
        {found.state === "data" && (
          <>
            <LogList
              key={query}
              lines={lines}
              needle={filter.text}
              withService={services > 1}
              onFilter={filterBy}
              onContext={setContext}
            />
            <p class="table-foot">
              {formatCount(lines.length)} lines
              {found.more && (
                <>
                  {" · "}
                  <button type="button" class="plain link" onClick={found.older} data-testid="log-older">
                    Load older ones
                  </button>
                </>
              )}
            </p>
          </>
        )}
      </section>
      {context && <Context line={context} close={() => setContext(null)} />}
    </Page>
  );
}

function NoLines({ filtered }: { readonly filtered: boolean }) {
  return (
    <Empty title="No line matches in this time range">
      <span>
        {filtered
          ? "Take a filter away, or look further back."
          : "No service has sent a log record yet. See that watchkeeper.configure() runs when it starts."}
      </span>
      <button type="button" class="button" onClick={() => setRange({ from: "now-24h", to: "now" })}>
        Look at the last 24 hours
      </button>
    </Empty>
  );
}

function VolumeChart({ query, live }: { readonly query: string; readonly live: Live }) {
  const volume = useVolume(query, live);
  const colours = useMemo(() => new LevelColours(() => theme.get()), []);
  if (!volume || volume.frame.series.length === 0) return <div class="volume" data-state="empty" />;
  return (
    <div class="volume" data-testid="log-volume" data-state="data">
      <Chart
        frame={volume.frame}
        unit="short"
        stacked
        bars
        start={volume.start}
        end={volume.end}
        height={VOLUME_HEIGHT}
        colours={colours}
        label="Lines over time by level"
        onZoom={(start, end) => zoomTo({ start: start * 1000, end: end * 1000 })}
      />
    </div>
  );
}
