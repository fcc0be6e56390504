/** Lines for the log page: a page of them, older ones on request, new ones as they come. */

import { useEffect, useRef, useState } from "preact/hooks";
import { isAbort, messageOf, UnreachableError } from "../api/http.ts";
import { nanoseconds, queryLines, queryNumbers } from "../api/loki.ts";
import { toFrame, type Frame } from "../lib/frame.ts";
import { LEVELS, levelOf, type LogLine, mergeLines, toLines, volumeQuery } from "../lib/logs.ts";
import { aligned, type Bounds, stepFor } from "../lib/timerange.ts";
import type { Live } from "./live.ts";

export const PAGE = 500;
const TAIL_EVERY_MS = 1_000;
/** Records arrive some seconds late, so the tail looks back further than one beat. */
const TAIL_BACK_MS = 15_000;
const TAIL_MOST = 1_000;
const HELD_MOST = 5_000;

export interface LogData {
  readonly lines: readonly LogLine[];
  readonly state: "loading" | "data" | "empty" | "error";
  readonly error: string | null;
  /** Whether the lines are those of another query or time range than the one asked for. */
  readonly stale: boolean;
  /** Whether there are lines before the oldest one shown. */
  readonly more: boolean;
  readonly older: () => void;
}

interface Held {
  readonly query: string;
  /** The query and its time range. */
  readonly about: string;
  readonly lines: readonly LogLine[];
  readonly more: boolean;
  readonly loaded: boolean;
  readonly error: string | null;
}

const NOTHING: Held = { query: "", about: "", lines: [], more: false, loaded: false, error: null };

export function useLogLines(query: string, live: Live, tail: boolean): LogData {
  const [held, setHeld] = useState<Held>(NOTHING);
  const paging = useRef(false);
  const about = JSON.stringify([query, live.range.from, live.range.to]);
  const fail = (error: unknown): void => {
    if (isAbort(error) || error instanceof UnreachableError) return;
    setHeld((before) => ({ ...before, about, loaded: true, error: messageOf(error) }));
  };

  useEffect(() => {
    const abort = new AbortController();
    const { start, end } = live.bounds;
    queryLines(query, nanoseconds(start), nanoseconds(end), PAGE, "backward", abort.signal)
      .then((streams) => {
        if (abort.signal.aborted) return;
        const lines = toLines(streams);
        setHeld({ query, about, lines, more: lines.length >= PAGE, loaded: true, error: null });
      })
      .catch(fail);
    return () => abort.abort();
  }, [query, live.now, live.range.from, live.range.to]);

  useEffect(() => {
    if (!tail) return undefined;
    const abort = new AbortController();
    let timer = 0;
    const ask = async (): Promise<void> => {
      try {
        if (!document.hidden) {
          const now = Date.now();
          const streams = await queryLines(
            query,
            nanoseconds(now - TAIL_BACK_MS),
            nanoseconds(now + 1_000),
            TAIL_MOST,
            "backward",
            abort.signal,
          );
          const fresh = toLines(streams);
          setHeld((before) =>
            before.query === query
              ? { ...before, lines: mergeLines(before.lines, fresh, HELD_MOST), error: null }
              : before,
          );
        }
      } catch (error) {
        fail(error);
      }
      if (!abort.signal.aborted) timer = window.setTimeout(() => void ask(), TAIL_EVERY_MS);
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [tail, query]);

  const older = (): void => {
    const oldest = held.lines.at(-1);
    if (!oldest || paging.current) return;
    paging.current = true;
    // The oldest nanosecond is asked for again: it may hold more lines than those shown.
    const end = String(BigInt(oldest.ns) + 1n);
    queryLines(query, nanoseconds(live.bounds.start), end, PAGE, "backward")
      .then((streams) => {
        const found = toLines(streams);
        setHeld((before) => {
          if (before.about !== about) return before;
          const lines = mergeLines(before.lines, found, Infinity);
          return { ...before, lines, more: found.length >= PAGE && lines.length > before.lines.length };
        });
      })
      .catch(fail)
      .finally(() => {
        paging.current = false;
      });
  };

  const current = held.query === query ? held : { ...held, loaded: held.error !== null };
  return {
    lines: current.lines,
    more: current.more,
    error: current.error,
    state: stateOf(current),
    stale: held.about !== about,
    older,
  };
}

function stateOf(held: Held): LogData["state"] {
  if (held.error !== null) return "error";
  if (!held.loaded && held.lines.length === 0) return "loading";
  return held.lines.length === 0 ? "empty" : "data";
}

export interface Volume {
  readonly frame: Frame;
  readonly start: number;
  readonly end: number;
}

/** How many lines there were of each level; null while unknown or if the query cannot be counted. */
export function useVolume(query: string, live: Live): Volume | null {
  const [volume, setVolume] = useState<Volume | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const step = stepFor(live.bounds, 90, 1);
    // The number at a moment counts the step before it, so the last step ends after the range.
    const whole = aligned(live.bounds, step);
    const at: Bounds = { start: whole.start + step, end: whole.end + step };
    queryNumbers(volumeQuery(query, step), at, step, abort.signal)
      .then((found) => {
        if (abort.signal.aborted) return;
        const series = found.map((each) => ({
          metric: { level: levelOf(each.metric["level"] ?? "") },
          values: each.values,
        }));
        const frame = toFrame([{ legend: "{{level}}", series }], at.start, at.end, step);
        const order = (name: string): number => (LEVELS as readonly string[]).indexOf(name);
        // The severest lies at the bottom of the pile, where its height can be read.
        const sorted = [...frame.series].sort((a, b) => order(a.name) - order(b.name));
        const times = frame.times.map((time) => time - step / 2);
        setVolume({ frame: { ...frame, times, series: sorted }, ...whole, end: at.end });
      })
      .catch((error: unknown) => {
        if (!isAbort(error)) setVolume(null);
      });
    return () => abort.abort();
  }, [query, live.now, live.range.from, live.range.to]);
  return volume;
}
