/** uPlot's options for a panel. */

import type uPlot from "uplot";
import type { Threshold } from "../api/own.ts";
import type { Exemplar } from "../api/prometheus.ts";
import { AXIS_STEPS, axisLabels, formatDay, formatTime, type Unit } from "../lib/format.ts";
import { type Frame, stacked, valueLimits } from "../lib/frame.ts";
import { type Colours, faded, type Palette } from "../lib/palette.ts";

export interface ChartModel {
  readonly frame: Frame;
  readonly unit: Unit;
  readonly stacked: boolean;
  readonly bars: boolean;
  readonly thresholds: readonly Threshold[];
  readonly exemplars: readonly Exemplar[];
  /** Seconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly colours: Colours;
  readonly palette: Palette;
  readonly shown: (name: string) => boolean;
}

/** What the drawing functions look at: it changes while the chart stays. */
export interface Current {
  model: ChartModel;
}

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export function chartData({ frame, stacked: pile, bars, shown }: ChartModel): uPlot.AlignedData {
  const values = pile ? stacked(frame, shown) : frame.series.map((each) => [...each.values]);
  // Bars cover one another, so the tallest pile is drawn first.
  if (pile && bars) values.reverse();
  return [[...frame.times], ...values] as uPlot.AlignedData;
}

/** The name of the series at a place in uPlot's list. */
export function nameAt({ frame, stacked: pile, bars }: ChartModel, index: number): string {
  const place = pile && bars ? frame.series.length - index : index - 1;
  return frame.series[place]?.name ?? "";
}

function timeLabels(splits: readonly number[], gap: number): string[] {
  let day = "";
  return splits.map((split) => {
    const ms = split * 1000;
    const today = formatDay(ms);
    const newDay = day !== "" && today !== day;
    day = today;
    if (gap >= 86_400) return today.slice(5);
    const text = formatTime(ms);
    const short = gap < 60 ? text : text.slice(0, 5);
    return newDay ? `${today.slice(5)}\n${short}` : short;
  });
}

function seriesOptions(model: ChartModel, paths: uPlot.Series.PathBuilder | null): uPlot.Series[] {
  return model.frame.series.map((_, index) => {
    const name = nameAt(model, index + 1);
    const colour = model.colours.of(name, model.palette);
    const options: uPlot.Series = {
      label: name,
      stroke: colour,
      width: model.bars ? 0 : 1.5,
      show: model.shown(name),
      points: { show: model.bars ? false : lonely, size: 4, fill: colour, width: 0 },
    };
    if (model.bars) options.fill = colour;
    else if (model.stacked) options.fill = faded(colour, 0.34);
    else if (model.frame.series.length === 1) options.fill = faded(colour, 0.12);
    if (paths) options.paths = paths;
    return options;
  });
}

/** Points are drawn only where gaps on both sides would make them invisible. */
function lonely(u: uPlot, seriesIdx: number): boolean {
  const values = u.data[seriesIdx] as (number | null)[];
  let last = -2;
  let count = 0;
  for (let index = 0; index < values.length; index += 1) {
    if (values[index] === null) continue;
    count += 1;
    if (index === last + 1) return false;
    last = index;
  }
  return count > 0;
}

function bands(model: ChartModel): uPlot.Band[] {
  if (!model.stacked || model.bars) return [];
  const places = model.frame.series
    .map((each, index) => ({ shown: model.shown(each.name), place: index + 1 }))
    .filter(({ shown }) => shown)
    .map(({ place }) => place);
  return places.slice(1).map((place, index) => ({ series: [place, places[index] as number] }));
}

export function severityColour(severity: string, palette: Palette): string {
  return severity === "critical" ? palette.red : palette.amber;
}

function highest({ frame, shown }: ChartModel): number {
  let most = -Infinity;
  for (const { name, values } of frame.series) {
    if (shown(name)) for (const value of values) if (value !== null && value > most) most = value;
  }
  return most;
}

/** A line for each threshold; the area above is tinted once something has reached it. */
function drawThresholds(u: uPlot, model: ChartModel): void {
  const { thresholds, palette } = model;
  if (thresholds.length === 0) return;
  const { ctx, bbox } = u;
  const most = highest(model);
  const top = u.scales["y"]?.max ?? 0;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  thresholds.forEach((threshold, index) => {
    if (threshold.value > top) return;
    const colour = severityColour(threshold.severity, palette);
    const y = Math.round(u.valToPos(threshold.value, "y", true));
    const above = thresholds[index + 1];
    const end = above && above.value < top ? u.valToPos(above.value, "y", true) : bbox.top;
    if (most >= threshold.value) {
      ctx.fillStyle = faded(colour, 0.07);
      ctx.fillRect(bbox.left, end, bbox.width, y - end);
    }
    ctx.strokeStyle = faded(colour, 0.75);
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  });
  ctx.restore();
}

/** Where an exemplar is drawn, in canvas pixels; one above the axis is drawn at its upper edge. */
function exemplarPlace(u: uPlot, exemplar: Exemplar): { x: number; y: number } {
  const top = u.scales["y"]?.max ?? 0;
  return {
    x: u.valToPos(exemplar.at, "x", true),
    y: Math.max(u.bbox.top + 5, u.valToPos(Math.min(top, exemplar.value), "y", true)),
  };
}

function drawExemplars(u: uPlot, { exemplars, palette, start, end }: ChartModel): void {
  const { ctx } = u;
  const size = 3.6 * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = palette.surface;
  ctx.strokeStyle = palette.text;
  ctx.lineWidth = 1.3 * devicePixelRatio;
  for (const exemplar of exemplars) {
    if (exemplar.at < start || exemplar.at > end) continue;
    const { x, y } = exemplarPlace(u, exemplar);
    ctx.beginPath();
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
    ctx.lineTo(x - size, y);
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  }
  ctx.restore();
}

/** The exemplar under a point of the plotting area, given in CSS pixels. */
export function exemplarAt(u: uPlot, model: ChartModel, x: number, y: number): Exemplar | null {
  let best: Exemplar | null = null;
  let nearest = 9 * devicePixelRatio;
  for (const exemplar of model.exemplars) {
    if (exemplar.at < model.start || exemplar.at > model.end) continue;
    const at = exemplarPlace(u, exemplar);
    const distance = Math.hypot(
      at.x - u.bbox.left - x * devicePixelRatio,
      at.y - u.bbox.top - y * devicePixelRatio,
    );
    if (distance < nearest) {
      nearest = distance;
      best = exemplar;
    }
  }
  return best;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export function chartOptions(
  current: Current,
  size: Size,
  sync: string,
  paths: uPlot.Series.PathBuilder | null,
  onSelect: (start: number, end: number) => void,
): uPlot.Options {
  const { model } = current;
  const { palette, unit } = model;
  const grid = { stroke: palette.grid, width: 1 };
  const axis = { stroke: palette.text, font: FONT, grid, ticks: { show: false } };
  return {
    ...size,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: {
      // Only the cursor is shared: each chart answers for what is dragged over itself.
      sync: { key: sync, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      drag: { x: true, y: false, setScale: false, dist: 5 },
      points: { size: 6, width: 0 },
      y: false,
    },
    focus: { alpha: 0.22 },
    scales: {
      x: { time: true, range: () => [current.model.start, current.model.end] },
      y: {
        range: (_u, low, high) =>
          valueLimits(
            low,
            high,
            current.model.thresholds.map(({ value }) => value),
            unit === "percentunit",
          ),
      },
    },
    axes: [
      { ...axis, space: 64, size: 26, gap: 4, values: (_u, splits, _axis, _space, gap) => timeLabels(splits, gap) },
      {
        ...axis,
        space: 30,
        gap: 6,
        size: (_u, values) => 16 + 6.4 * Math.max(3, ...(values ?? []).map((each) => each.length)),
        values: (_u, splits) => axisLabels(splits, unit),
        ...(AXIS_STEPS[unit] ? { incrs: AXIS_STEPS[unit] } : {}),
      },
    ],
    series: [{}, ...seriesOptions(model, paths)],
    bands: bands(model),
    hooks: {
      drawAxes: [(u) => drawThresholds(u, current.model)],
      draw: [(u) => drawExemplars(u, current.model)],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width < 5) return;
          const start = u.posToVal(left, "x");
          const end = u.posToVal(left + width, "x");
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          onSelect(start, end);
        },
      ],
    },
  };
}
