/** The series of a chart with their newest, highest and mean value. */

import { useState } from "preact/hooks";
import { formatValue, type Unit } from "../lib/format.ts";
import { type Frame, summary } from "../lib/frame.ts";
import { type Colours, PALETTES } from "../lib/palette.ts";
import { useStore } from "../state/store.ts";
import { theme } from "../state/theme.ts";

type Column = "name" | "last" | "max" | "mean";

interface Props {
  readonly frame: Frame;
  readonly unit: Unit;
  readonly decimals: number | null;
  readonly colours: Colours;
  readonly isolated: string | null;
  readonly onIsolate: (name: string | null) => void;
  readonly onFocus: (name: string | null) => void;
}

export function Legend(props: Props) {
  const { frame, unit, decimals, colours, isolated, onIsolate, onFocus } = props;
  const palette = PALETTES[useStore(theme)];
  const [column, setColumn] = useState<Column>("name");
  const rows = frame.series.map(({ name, values }) => ({ name, ...summary(values) }));
  if (column !== "name") rows.sort((a, b) => compare(b[column], a[column]));
  const head = (name: Column, title: string) => (
    <th scope="col" class={name === "name" ? "legend-name" : "num"}>
      <button
        type="button"
        class="plain"
        aria-pressed={column === name}
        title={`Sort by ${title.toLowerCase()}`}
        onClick={() => setColumn(name)}
      >
        {title}
        {column === name && name !== "name" ? " ↓" : ""}
      </button>
    </th>
  );
  return (
    <div class="legend" onMouseLeave={() => onFocus(null)}>
      <table>
        <thead>
          <tr>
            {head("name", "Series")}
            {head("last", "Last")}
            {head("max", "Max")}
            {head("mean", "Mean")}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, last, max, mean }) => (
            <tr
              key={name}
              data-testid="legend-row"
              data-name={name}
              class={isolated !== null && isolated !== name ? "dimmed" : ""}
              onMouseEnter={() => onFocus(name)}
            >
              <td class="legend-name">
                <button
                  type="button"
                  class="plain"
                  title={isolated === name ? "Show all series" : `Show only ${name}`}
                  aria-pressed={isolated === name}
                  onClick={() => onIsolate(isolated === name ? null : name)}
                >
                  <i class="swatch" style={{ background: colours.of(name, palette) }} />
                  {name}
                </button>
              </td>
              <td class="num">{formatValue(last, unit, decimals)}</td>
              <td class="num">{formatValue(max, unit, decimals)}</td>
              <td class="num">{formatValue(mean, unit, decimals)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {frame.leftOut > 0 && (
        <p class="faint legend-more">{frame.leftOut} more series are not drawn. Filter to see them.</p>
      )}
    </div>
  );
}

function compare(a: number, b: number): number {
  return (Number.isNaN(a) ? -Infinity : a) - (Number.isNaN(b) ? -Infinity : b);
}
