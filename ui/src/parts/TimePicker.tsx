/** Time range, zoom and refresh: the same on every page that has a time range. */

import { useState } from "preact/hooks";
import { bounds, describe, PRESETS, REFRESHES, shifted, toField, zoomedOut, absolute } from "../lib/timerange.ts";
import { type Live, refreshNow, setRange, useZoomedFrom, zoomBack } from "../state/live.ts";
import { setParams } from "../state/location.ts";
import { Icon } from "./icons.tsx";
import { Menu } from "./Menu.tsx";

export function zoomOut(live: Live): void {
  setRange(absolute(zoomedOut(live.bounds, Date.now())));
}

export function moveRange(live: Live, direction: -1 | 1): void {
  setRange(absolute(shifted(live.bounds, direction, Date.now())));
}

export function TimePicker({ live }: { readonly live: Live }) {
  const before = useZoomedFrom();
  const text = describe(live.range, live.now);
  return (
    <div class="time" data-testid="time-controls">
      {before && (
        <button type="button" class="button" onClick={zoomBack} data-testid="zoom-back">
          <Icon name="back" /> {describe(before, live.now)}
        </button>
      )}
      <div class="joined">
        <button type="button" class="button" title="Earlier ( [ )" onClick={() => moveRange(live, -1)}>
          <Icon name="left" />
        </button>
        <Menu
          title={`Time range: ${text}`}
          testid="time-range"
          label={
            <>
              <Icon name="clock" /> {text}
            </>
          }
        >
          {(close) => <RangeSheet live={live} close={close} />}
        </Menu>
        <button type="button" class="button" title="Later ( ] )" onClick={() => moveRange(live, 1)}>
          <Icon name="right" />
        </button>
        <button
          type="button"
          class="button"
          title="Twice as long ( - )"
          aria-label="Zoom out"
          onClick={() => zoomOut(live)}
        >
          <Icon name="minus" />
        </button>
      </div>
      <div class="joined">
        <button type="button" class="button" title="Refresh now ( r )" aria-label="Refresh now" onClick={refreshNow}>
          <Icon name="refresh" />
        </button>
        <label class="select">
          <span class="hidden">Refresh every</span>
          <select
            data-testid="refresh"
            value={String(live.refresh)}
            onChange={(event) => setParams({ refresh: event.currentTarget.value }, "replace")}
          >
            {REFRESHES.map(([seconds, name]) => (
              <option key={seconds} value={String(seconds)}>
                {name}
              </option>
            ))}
            {REFRESHES.every(([seconds]) => seconds !== live.refresh) && (
              <option value={String(live.refresh)}>{live.refresh} s</option>
            )}
          </select>
        </label>
      </div>
    </div>
  );
}

function RangeSheet({ live, close }: { readonly live: Live; readonly close: () => void }) {
  const now = Date.now();
  const { start, end } = bounds(live.range, now);
  const [from, setFrom] = useState(toField(start));
  const [to, setTo] = useState(toField(end));
  const valid = Date.parse(from) < Date.parse(to);
  const apply = (event: Event): void => {
    event.preventDefault();
    if (!valid) return;
    setRange(absolute({ start: Date.parse(from), end: Date.parse(to) }));
    close();
  };
  return (
    <div class="range-sheet">
      <ul class="presets">
        {PRESETS.map(([length, name]) => (
          <li key={length}>
            <button
              type="button"
              class="plain"
              aria-pressed={live.range.from === `now-${length}` && live.range.to === "now"}
              data-testid={`range-${length}`}
              onClick={() => {
                setRange({ from: `now-${length}`, to: "now" });
                close();
              }}
            >
              {name}
            </button>
          </li>
        ))}
      </ul>
      <form class="absolute" onSubmit={apply}>
        <label>
          From
          <input type="datetime-local" step="1" value={from} onInput={(e) => setFrom(e.currentTarget.value)} />
        </label>
        <label>
          To
          <input type="datetime-local" step="1" value={to} onInput={(e) => setTo(e.currentTarget.value)} />
        </label>
        {!valid && <p class="problem">“From” must be before “To”.</p>}
        <button type="submit" class="button primary" disabled={!valid}>
          Use this range
        </button>
        <p class="faint">Times are local ({Intl.DateTimeFormat().resolvedOptions().timeZone}).</p>
      </form>
    </div>
  );
}
