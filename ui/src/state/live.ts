/** The time range of a page and the beat at which it asks again. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { absolute, type Bounds, bounds, DEFAULT_RANGE, isRelative, type TimeRange } from "../lib/timerange.ts";
import { recoveries } from "./health.ts";
import { currentPlace, setParams, usePlace } from "./location.ts";
import { Store, useStore } from "./store.ts";

export interface Live {
  readonly range: TimeRange;
  readonly bounds: Bounds;
  /** The moment that all queries of one beat share. */
  readonly now: number;
  /** Seconds between beats, 0 for none. */
  readonly refresh: number;
}

/** Counts how often somebody asked to refresh. */
export const asked = new Store(0);
const zoomedFrom = new Store<readonly TimeRange[]>([]);

/** Ask again at once. */
export function refreshNow(): void {
  asked.set(asked.get() + 1);
}

/** Follow the URL's `from`, `to` and `refresh`. */
export function useLive(defaultRefresh: number): Live {
  const { params } = usePlace();
  const from = params.get("from") ?? DEFAULT_RANGE.from;
  const to = params.get("to") ?? DEFAULT_RANGE.to;
  const chosen = params.get("refresh");
  const refresh = chosen === null ? defaultRefresh : Math.max(0, Number.parseInt(chosen, 10) || 0);
  const manual = useStore(asked);
  const recovered = useStore(recoveries);
  const [now, setNow] = useState(() => Date.now());

  useEffect(() => setNow(Date.now()), [from, to, manual, recovered]);
  useEffect(() => {
    if (refresh === 0 || !isRelative({ from, to })) return undefined;
    const beat = setInterval(() => {
      if (!document.hidden) setNow(Date.now());
    }, refresh * 1000);
    const seen = (): void => {
      if (!document.hidden) setNow(Date.now());
    };
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(beat);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [refresh, from, to]);

  return useMemo(() => {
    const range = { from, to };
    return { range, bounds: bounds(range, now), now, refresh };
  }, [from, to, now, refresh]);
}

export function currentRange(): TimeRange {
  const { params } = currentPlace();
  return {
    from: params.get("from") ?? DEFAULT_RANGE.from,
    to: params.get("to") ?? DEFAULT_RANGE.to,
  };
}

export function setRange(range: TimeRange): void {
  zoomedFrom.set([]);
  setParams({ from: range.from, to: range.to });
}

/** Narrow the range to what was dragged over; the range before can be taken back. */
export function zoomTo(target: Bounds): void {
  zoomedFrom.set([...zoomedFrom.get(), currentRange()]);
  const range = absolute(target);
  setParams({ from: range.from, to: range.to });
}

export function zoomBack(): void {
  const before = zoomedFrom.get();
  const last = before.at(-1);
  if (!last) return;
  zoomedFrom.set(before.slice(0, -1));
  setParams({ from: last.from, to: last.to });
}

export function useZoomedFrom(): TimeRange | null {
  return useStore(zoomedFrom).at(-1) ?? null;
}
