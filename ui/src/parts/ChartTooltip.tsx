/** Values under the cursor, the highest first. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Exemplar } from "../api/prometheus.ts";
import { formatDay, formatTime, formatValue } from "../lib/format.ts";
import { type Store, useStore } from "../state/store.ts";
import type { ChartModel } from "./chartoptions.ts";

export interface Hover {
  readonly index: number;
  /** Pixels of the window. */
  readonly x: number;
  readonly y: number;
  readonly exemplar: Exemplar | null;
}

const ROWS_MOST = 12;

interface Props {
  readonly hover: Store<Hover | null>;
  readonly model: ChartModel;
}

export function ChartTooltip({ hover, model }: Props) {
  const at = useStore(hover);
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || !at) return;
    const { offsetWidth: width, offsetHeight: height } = element;
    const left = at.x + 16 + width > window.innerWidth - 8 ? at.x - 16 - width : at.x + 16;
    const top = Math.min(at.y + 12, window.innerHeight - height - 8);
    element.style.left = `${Math.max(4, left)}px`;
    element.style.top = `${Math.max(4, top)}px`;
  });
  const time = at && model.frame.times[at.index];
  if (!at || time === null || time === undefined) return null;
  const rows = model.frame.series
    .filter(({ name }) => model.shown(name))
    .flatMap(({ name, values }) => {
      const value = values[at.index];
      return value === null || value === undefined ? [] : [{ name, value }];
    })
    .sort((a, b) => b.value - a.value);
  const total = rows.reduce((sum, { value }) => sum + value, 0);
  return (
    <div class="tooltip" ref={box} role="tooltip" data-testid="chart-tooltip">
      <div class="tooltip-time">
        {formatDay(time * 1000)} {formatTime(time * 1000)}
      </div>
      {at.exemplar && (
        <div class="tooltip-exemplar">
          ◆ {formatValue(at.exemplar.value, model.unit)} example trace
          <code>{at.exemplar.traceId.slice(0, 8)}</code> – click to open
        </div>
      )}
      <table>
        <tbody>
          {rows.slice(0, ROWS_MOST).map(({ name, value }) => (
            <tr key={name}>
              <td>
                <i class="swatch" style={{ background: model.colours.of(name, model.palette) }} />
              </td>
              <td class="tooltip-name">{name}</td>
              <td class="num">{formatValue(value, model.unit)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <div class="faint">no value here</div>}
      {rows.length > ROWS_MOST && <div class="faint">and {rows.length - ROWS_MOST} more</div>}
      {model.stacked && rows.length > 1 && (
        <div class="tooltip-total">
          Total <b>{formatValue(total, model.unit)}</b>
        </div>
      )}
    </div>
  );
}
