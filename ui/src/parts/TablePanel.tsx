/** The results of instant queries as a table, or as bars beside one another. */

import { useState } from "preact/hooks";
import type { PanelSpec } from "../api/own.ts";
import { formatValue } from "../lib/format.ts";
import { parseNumber, reached } from "../lib/frame.ts";
import { legendFor } from "../lib/interpolate.ts";
import type { PanelData } from "../state/paneldata.ts";

interface Props {
  readonly panel: PanelSpec;
  readonly data: PanelData;
}

interface Row {
  readonly labels: Record<string, string>;
  readonly values: (number | undefined)[];
}

/** One row for each set of labels, one value column for each query. */
export function joinSamples(samples: PanelData["samples"]): { names: string[]; rows: Row[] } {
  const rows = new Map<string, Row>();
  const names = new Set<string>();
  samples.forEach((found, index) => {
    for (const { metric, value } of found) {
      const { __name__: _name, ...labels } = metric;
      for (const name of Object.keys(labels)) names.add(name);
      const key = JSON.stringify(Object.entries(labels).sort());
      const row = rows.get(key) ?? { labels, values: [] };
      row.values[index] = parseNumber(value[1]);
      rows.set(key, row);
    }
  });
  return { names: [...names].sort(), rows: [...rows.values()] };
}

function header(legend: string): string {
  return legend === "" || legend.includes("{{") ? "Value" : legend;
}

export function TablePanel({ panel, data }: Props) {
  const { names, rows } = joinSamples(data.samples);
  const [sort, setSort] = useState(0);
  rows.sort((a, b) => (b.values[sort] ?? -Infinity) - (a.values[sort] ?? -Infinity));
  return (
    <div class="table-scroll">
      <table class="data">
        <thead>
          <tr>
            {names.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
            {panel.queries.map(({ legend }, index) => (
              <th key={index} scope="col" class="num">
                <button type="button" class="plain" onClick={() => setSort(index)}>
                  {header(legend)}
                  {sort === index ? " ↓" : ""}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ labels, values }) => (
            <tr key={JSON.stringify(labels)} data-testid="table-row">
              {names.map((name) => (
                <td key={name}>{labels[name] ?? ""}</td>
              ))}
              {panel.queries.map((_, index) => {
                const value = values[index] ?? NaN;
                return (
                  <td key={index} class={`num tone-${reached(value, panel.thresholds)?.severity ?? "plain"}`}>
                    {formatValue(value, panel.unit, panel.decimals)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function BarPanel({ panel, data }: Props) {
  const rows = data.samples
    .flatMap((found, index) =>
      found.map(({ metric, value }) => ({
        name: legendFor(panel.queries[index]?.legend ?? "", metric),
        value: parseNumber(value[1]),
      })),
    )
    .filter(({ value }) => Number.isFinite(value))
    .sort((a, b) => b.value - a.value);
  const most = Math.max(1e-12, ...rows.map(({ value }) => value));
  return (
    <div class="bars">
      {rows.map(({ name, value }) => (
        <div class="bar" key={name} data-testid="bar-row">
          <span class="bar-name" title={name}>
            {name}
          </span>
          <span class="bar-track">
            <span
              class={`bar-fill tone-${reached(value, panel.thresholds)?.severity ?? "plain"}`}
              style={{ width: `${Math.max(0, (value / most) * 100)}%` }}
            />
          </span>
          <span class="num">{formatValue(value, panel.unit, panel.decimals)}</span>
        </div>
      ))}
    </div>
  );
}
