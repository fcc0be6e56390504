/** One number with its history. */

import type { PanelSpec } from "../api/own.ts";
import { formatValue } from "../lib/format.ts";
import { parseNumber, reached } from "../lib/frame.ts";
import { legendFor } from "../lib/interpolate.ts";
import type { PanelData } from "../state/paneldata.ts";

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly history: readonly (number | null)[];
}

function figures({ queries }: PanelSpec, { frame, samples }: PanelData): Figure[] {
  const moving = frame.series.map(({ name, values }) => ({
    name,
    value: values.at(-1) ?? NaN,
    history: values,
  }));
  const still = samples.flatMap((found, index) =>
    found.map(({ metric, value }) => ({
      name: legendFor(queries[index]?.legend ?? "", metric),
      value: parseNumber(value[1]),
      history: [],
    })),
  );
  return [...moving, ...still].slice(0, 4);
}

/** The history as an SVG path in a box of 100 by 28, one part for each stretch without gaps. */
export function sparkPath(values: readonly (number | null)[]): string {
  const known = values.filter((value): value is number => value !== null);
  const low = Math.min(0, ...known);
  const high = Math.max(...known, low + 1e-9);
  let path = "";
  let pen = false;
  values.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    const x = (index / Math.max(1, values.length - 1)) * 100;
    const y = 27 - ((value - low) / (high - low)) * 26;
    path += `${pen ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`;
    pen = true;
  });
  return path;
}

export function Stat({ panel, data }: { readonly panel: PanelSpec; readonly data: PanelData }) {
  const shown = figures(panel, data);
  return (
    <div class="stats">
      {shown.map(({ name, value, history }) => {
        const worst = reached(value, panel.thresholds);
        const tone = worst ? worst.severity : panel.thresholds.length > 0 ? "good" : "plain";
        return (
          <div class={`stat tone-${tone}`} key={name} data-testid="stat" data-tone={tone}>
            <div class="stat-line">
              <span class="stat-value" data-testid="stat-value">
                {formatValue(value, panel.unit, panel.decimals)}
              </span>
              {worst && <span class="stat-mark">{worst.severity}</span>}
            </div>
            {shown.length > 1 && <div class="stat-name">{name}</div>}
            {history.length > 1 && (
              <svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" aria-hidden="true">
                <path d={sparkPath(history)} />
              </svg>
            )}
          </div>
        );
      })}
    </div>
  );
}
