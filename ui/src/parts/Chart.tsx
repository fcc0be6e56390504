/** A time series chart: uPlot inside a component. */

import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Threshold } from "../api/own.ts";
import type { Exemplar } from "../api/prometheus.ts";
import type { Unit } from "../lib/format.ts";
import type { Frame } from "../lib/frame.ts";
import { type Colours, PALETTES } from "../lib/palette.ts";
import { Store, useStore } from "../state/store.ts";
import { theme } from "../state/theme.ts";
import { ChartTooltip, type Hover } from "./ChartTooltip.tsx";
import {
  type ChartModel,
  chartData,
  chartOptions,
  type Current,
  exemplarAt,
} from "./chartoptions.ts";

export interface ChartProps {
  readonly frame: Frame;
  readonly unit: Unit;
  readonly stacked?: boolean;
  readonly bars?: boolean;
  readonly thresholds?: readonly Threshold[];
  readonly exemplars?: readonly Exemplar[];
  readonly start: number;
  readonly end: number;
  readonly height: number;
  readonly colours: Colours;
  readonly isolated?: string | null;
  readonly focused?: string | null;
  readonly label: string;
  readonly onZoom: (start: number, end: number) => void;
  readonly onExemplar?: (exemplar: Exemplar) => void;
}

const NONE: readonly never[] = [];
const SYNC = "watchkeeper";

export function Chart(props: ChartProps) {
  const palette = PALETTES[useStore(theme)];
  const { frame, unit, colours, isolated = null, focused = null, height } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const hover = useMemo(() => new Store<Hover | null>(null), []);

  const model: ChartModel = {
    frame,
    unit,
    stacked: props.stacked ?? false,
    bars: props.bars ?? false,
    thresholds: props.thresholds ?? NONE,
    exemplars: props.exemplars ?? NONE,
    start: props.start,
    end: props.end,
    colours,
    palette,
    shown: (name) => isolated === null || isolated === name,
  };
  const current = useRef<Current>({ model });
  current.current.model = model;

  // A chart is made anew when its series change; otherwise it only gets new points.
  const names = frame.series.map(({ name }) => name).join("\u0000");
  const shape = [names, palette.text, isolated, model.stacked, unit, height].join("\u0001");

  useLayoutEffect(() => {
    const host = box.current;
    if (!host) return undefined;
    const paths = model.bars ? (uPlot.paths.bars?.({ size: [0.86, 60], gap: 1 }) ?? null) : null;
    const options = chartOptions(
      current.current,
      { width: Math.max(80, host.clientWidth), height },
      SYNC,
      paths,
      (start, end) => latest.current.onZoom(start, end),
    );
    const made = new uPlot(options, chartData(current.current.model), host);
    plot.current = made;
    const stop = listen(made, current.current, hover, latest);
    const resized = new ResizeObserver(() => {
      const width = host.clientWidth;
      if (width > 0 && width !== made.width) made.setSize({ width, height });
    });
    resized.observe(host);
    return () => {
      resized.disconnect();
      stop();
      hover.set(null);
      made.destroy();
      plot.current = null;
    };
  }, [shape]);

  useLayoutEffect(() => {
    plot.current?.setData(chartData(current.current.model));
  }, [frame, props.start, props.end]);

  useLayoutEffect(() => plot.current?.redraw(false), [props.exemplars]);

  useEffect(() => {
    const index = focused === null ? -1 : frame.series.findIndex(({ name }) => name === focused);
    const place = model.stacked && model.bars ? frame.series.length - index : index + 1;
    if (index < 0) plot.current?.setSeries(null, { focus: true });
    else plot.current?.setSeries(place, { focus: true });
  }, [focused, shape]);

  return (
    <div class="chart" role="img" aria-label={props.label}>
      <div class="chart-plot" ref={box} />
      <ChartTooltip hover={hover} model={model} />
    </div>
  );
}

function listen(
  plot: uPlot,
  current: Current,
  hover: Store<Hover | null>,
  latest: { readonly current: ChartProps },
): () => void {
  const { over } = plot;
  let pressed = 0;
  const under = (event: MouseEvent): Exemplar | null =>
    exemplarAt(plot, current.model, event.offsetX, event.offsetY);
  const move = (event: MouseEvent): void => {
    const index = plot.cursor.idx;
    if (index === null || index === undefined) {
      hover.set(null);
      return;
    }
    const exemplar = under(event);
    over.classList.toggle("on-exemplar", exemplar !== null);
    hover.set({ index, x: event.clientX, y: event.clientY, exemplar });
  };
  const leave = (): void => hover.set(null);
  const down = (event: MouseEvent): void => {
    pressed = event.clientX;
  };
  const up = (event: MouseEvent): void => {
    if (Math.abs(event.clientX - pressed) > 4) return;
    const exemplar = under(event);
    if (exemplar) latest.current.onExemplar?.(exemplar);
  };
  const handlers = { mousemove: move, mouseleave: leave, mousedown: down, mouseup: up };
  for (const [name, handler] of Object.entries(handlers)) {
    over.addEventListener(name, handler as EventListener);
  }
  return () => {
    for (const [name, handler] of Object.entries(handlers)) {
      over.removeEventListener(name, handler as EventListener);
    }
  };
}

