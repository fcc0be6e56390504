/** Found traces as dots: when they started and how long they took. */

import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { TraceSummary } from "../../api/tempo.ts";
import { axisLabels, formatMoment, formatNanoseconds, formatTime } from "../../lib/format.ts";
import { PALETTES } from "../../lib/palette.ts";
import { linkTo } from "../../lib/route.ts";
import { currentPlace, go } from "../../state/location.ts";
import { Store, useStore } from "../../state/store.ts";
import { theme } from "../../state/theme.ts";

const HEIGHT = 150;
const NEAR = 14;

interface Props {
  readonly traces: readonly TraceSummary[];
  /** Seconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly onZoom: (start: number, end: number) => void;
}

/** Of the many lines of a logarithmic axis, those at powers of ten. */
function decades(_plot: uPlot, splits: number[]): (number | null)[] {
  return splits.map((each) => (Math.abs(Math.log10(each) % 1) < 1e-6 ? each : null));
}

interface Hit {
  readonly trace: TraceSummary;
  readonly x: number;
  readonly y: number;
}

function data(traces: readonly TraceSummary[]): uPlot.AlignedData {
  const value = (trace: TraceSummary): number => Math.max(0.001, trace.durationMs / 1000);
  return [
    traces.map((trace) => trace.startMs / 1000),
    traces.map((trace) => (trace.errors > 0 ? null : value(trace))),
    traces.map((trace) => (trace.errors > 0 ? value(trace) : null)),
  ];
}

export function Scatter({ traces, start, end, onZoom }: Props) {
  const palette = PALETTES[useStore(theme)];
  const box = useRef<HTMLDivElement>(null);
  const ordered = useMemo(() => [...traces].sort((a, b) => a.startMs - b.startMs), [traces]);
  const hit = useMemo(() => new Store<Hit | null>(null), []);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  useLayoutEffect(() => {
    const host = box.current;
    if (!host) return undefined;
    const dots = (colour: string): uPlot.Series => ({
      paths: () => null,
      stroke: colour,
      points: { show: true, size: 6, width: 0, fill: `${colour}b8` },
    });
    const axis = { stroke: palette.text, grid: { stroke: palette.grid, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const plot = new uPlot(
      {
        width: host.clientWidth,
        height: HEIGHT,
        padding: [8, 10, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 5 } },
        scales: { x: { time: true, range: () => [start, end] }, y: { distr: 3 } },
        axes: [
          { ...axis, size: 24, space: 76, values: (_u, splits, _at, _space, gap) => splits.map((each) => formatTime(each * 1000).slice(0, gap < 60 ? 8 : 5)) },
          {
            ...axis,
            size: 62,
            grid: { ...axis.grid, filter: decades },
            filter: decades,
            values: (_u, splits) => splits.map((each) => (each === null ? "" : (axisLabels([each], "s")[0] ?? ""))),
          },
        ],
        series: [{}, dots(palette.series[1] as string), dots(palette.red)],
        hooks: {
          setSelect: [
            (u) => {
              if (u.select.width < 5) return;
              zoom.current(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
            },
          ],
        },
      },
      data(ordered),
      host,
    );
    const find = (event: MouseEvent): Hit | null => {
      let best: Hit | null = null;
      let nearest = NEAR;
      for (const trace of ordered) {
        const x = plot.valToPos(trace.startMs / 1000, "x");
        const y = plot.valToPos(Math.max(0.001, trace.durationMs / 1000), "y");
        const distance = Math.hypot(x - event.offsetX, y - event.offsetY);
        if (distance < nearest) {
          nearest = distance;
          best = { trace, x: event.clientX, y: event.clientY };
        }
      }
      return best;
    };
    const move = (event: MouseEvent): void => {
      const found = find(event);
      plot.over.classList.toggle("on-exemplar", found !== null);
      hit.set(found);
    };
    const open = (event: MouseEvent): void => {
      const found = find(event);
      if (found) go(linkTo(`/traces/${encodeURIComponent(found.trace.id)}`, currentPlace().params));
    };
    plot.over.addEventListener("mousemove", move);
    plot.over.addEventListener("mouseleave", () => hit.set(null));
    plot.over.addEventListener("click", open);
    const resized = new ResizeObserver(() => plot.setSize({ width: host.clientWidth, height: HEIGHT }));
    resized.observe(host);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [ordered, start, end, palette]);
  return (
    <section class="panel scatter" data-testid="trace-scatter">
      <header class="panel-head">
        <h3>Duration of each trace</h3>
        <span class="faint">click a dot to open it, drag to zoom; failed traces are red</span>
      </header>
      <div class="chart-plot" ref={box} />
      <ScatterTip hit={hit} />
    </section>
  );
}

function ScatterTip({ hit }: { readonly hit: Store<Hit | null> }) {
  const found = useStore(hit);
  if (!found) return null;
  const { trace } = found;
  const left = Math.min(found.x + 14, window.innerWidth - 330);
  return (
    <div class="tooltip" style={{ left: `${left}px`, top: `${found.y + 14}px` }}>
      <b>{trace.name}</b>
      <div>
        {formatNanoseconds(trace.durationMs * 1e6)}, {trace.spans} spans, {trace.errors} errors
      </div>
      <div class="faint">
        {trace.service}, {formatMoment(trace.startMs, Date.now())}
      </div>
    </div>
  );
}
