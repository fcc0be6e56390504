/** One panel of a dashboard: its frame, its states and what it draws. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { PanelSpec } from "../api/own.ts";
import type { Exemplar } from "../api/prometheus.ts";
import { toCsv } from "../lib/frame.ts";
import { Colours } from "../lib/palette.ts";
import { linkTo } from "../lib/route.ts";
import { type Live, setRange, zoomTo } from "../state/live.ts";
import { currentPlace, go, setParams } from "../state/location.ts";
import { type Choices, type PanelData, usePanelData } from "../state/paneldata.ts";
import { Chart } from "./Chart.tsx";
import { Copy } from "./Copy.tsx";
import { Icon } from "./icons.tsx";
import { Legend } from "./Legend.tsx";
import { Menu } from "./Menu.tsx";
import { Stat } from "./Stat.tsx";
import { Empty, Failure, Loading } from "./States.tsx";
import { BarPanel, TablePanel } from "./TablePanel.tsx";

interface Props {
  readonly panel: PanelSpec;
  readonly choices: Choices | null;
  readonly live: Live;
  readonly large: boolean;
}

const HEIGHT = 172;
const LARGE_HEIGHT = 420;

export function Panel({ panel, choices, live, large }: Props) {
  const box = useRef<HTMLElement>(null);
  const visible = useVisible(box);
  const points = large ? 600 : 60 * Math.max(2, Math.min(6, panel.width / 2));
  const { state, data, error, busy } = usePanelData(panel, choices, live, visible, points);
  const stale = state === "error" && data !== null && data.frame.series.length > 0;
  return (
    <section
      ref={box}
      class={`panel kind-${panel.kind} ${large ? "w-12 panel-large" : `w-${panel.width}`}`}
      data-testid={`panel-${panel.id}`}
      data-state={state}
      aria-busy={busy}
    >
      <header class="panel-head">
        <h3 title={panel.description}>{panel.title}</h3>
        {stale && (
          <span class="panel-warning" title={error ?? ""}>
            not updated
          </span>
        )}
        <PanelMenu panel={panel} data={data} large={large} />
      </header>
      <div class="panel-body">
        {state === "loading" && <Loading />}
        {state === "error" && !stale && <Failure message={error} />}
        {state === "empty" && <NothingHere panel={panel} live={live} />}
        {(state === "data" || stale) && data && (
          <Content panel={panel} data={data} live={live} large={large} />
        )}
      </div>
      {large && <p class="panel-description">{panel.description}</p>}
    </section>
  );
}

function useVisible(box: { readonly current: HTMLElement | null }): boolean {
  const [visible, setVisible] = useState(true);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const observer = new IntersectionObserver(
      ([entry]) => setVisible(entry?.isIntersecting ?? true),
      { rootMargin: "300px" },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return visible;
}

function Content({ panel, data, live, large }: { panel: PanelSpec; data: PanelData; live: Live; large: boolean }) {
  if (panel.kind === "stat") return <Stat panel={panel} data={data} />;
  if (panel.kind === "table") return <TablePanel panel={panel} data={data} />;
  if (panel.kind === "bar") return <BarPanel panel={panel} data={data} />;
  return <Series panel={panel} data={data} live={live} large={large} />;
}

function openTrace({ traceId }: Exemplar): void {
  go(linkTo(`/traces/${encodeURIComponent(traceId)}`, currentPlace().params));
}

function Series({ panel, data, live, large }: { panel: PanelSpec; data: PanelData; live: Live; large: boolean }) {
  const colours = useMemo(() => new Colours(), [panel.id]);
  const [isolated, setIsolated] = useState<string | null>(null);
  const [focused, setFocused] = useState<string | null>(null);
  colours.learn(data.frame.series.map(({ name }) => name));
  const alone = data.frame.series.some(({ name }) => name === isolated) ? isolated : null;
  return (
    <>
      <Chart
        frame={data.frame}
        unit={panel.unit}
        stacked={panel.stacked}
        thresholds={panel.thresholds}
        exemplars={data.exemplars}
        start={Math.min(data.start, live.bounds.start / 1000)}
        end={data.end}
        height={large ? LARGE_HEIGHT : HEIGHT}
        colours={colours}
        isolated={alone}
        focused={focused}
        label={`${panel.title}. ${panel.description}`}
        onZoom={(start, end) => zoomTo({ start: start * 1000, end: end * 1000 })}
        onExemplar={openTrace}
      />
      <Legend
        frame={data.frame}
        unit={panel.unit}
        decimals={panel.decimals}
        colours={colours}
        isolated={alone}
        onIsolate={setIsolated}
        onFocus={setFocused}
      />
    </>
  );
}

function NothingHere({ panel, live }: { panel: PanelSpec; live: Live }) {
  const short = live.bounds.end - live.bounds.start < 3_600_000;
  if (panel.kind === "stat") {
    return (
      <Empty title="No data">
        <span>Nothing sent this yet.</span>
      </Empty>
    );
  }
  return (
    <Empty title="No data in this time range">
      <span>It did not happen, no service sends it, or a filter above hides it.</span>
      {short && (
        <button type="button" class="button" onClick={() => setRange({ from: "now-1h", to: "now" })}>
          Show the last hour
        </button>
      )}
    </Empty>
  );
}

function download(name: string, text: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}

function PanelMenu({ panel, data, large }: { panel: PanelSpec; data: PanelData | null; large: boolean }) {
  return (
    <div class="panel-tools">
      <button
        type="button"
        class="plain"
        title={large ? "Back to the dashboard (Esc)" : "Enlarge"}
        aria-label={large ? "Back to the dashboard" : `Enlarge ${panel.title}`}
        onClick={() => setParams({ panel: large ? null : panel.id })}
      >
        <Icon name={large ? "close" : "grow"} />
      </button>
      <Menu label={<Icon name="menu" />} title={`About ${panel.title}`} className="plain">
        {(close) => (
          <div class="panel-about">
            <p>{panel.description}</p>
            {data?.sent.map((query) => (
              <div class="query" key={query}>
                <code>{query}</code>
                <Copy text={query} title="Copy this query" />
              </div>
            ))}
            {data && data.frame.series.length > 0 && (
              <button
                type="button"
                class="button"
                onClick={() => {
                  download(`${panel.id}.csv`, toCsv(data.frame));
                  close();
                }}
              >
                Save as CSV
              </button>
            )}
          </div>
        )}
      </Menu>
    </div>
  );
}
