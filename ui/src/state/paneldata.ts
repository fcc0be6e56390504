/** What a panel shows, asked for at every beat. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, isAbort, messageOf, UnreachableError } from "../api/http.ts";
import type { PanelSpec } from "../api/own.ts";
import {
  type Exemplar,
  queryExemplars,
  queryInstant,
  queryRange,
  type VectorSample,
} from "../api/prometheus.ts";
import { type Frame, toFrame } from "../lib/frame.ts";
import { interpolate } from "../lib/interpolate.ts";
import { aligned, type Bounds, rateInterval, stepFor } from "../lib/timerange.ts";
import type { Live } from "./live.ts";

export interface PanelData {
  readonly frame: Frame;
  /** The results of instant queries, in the order of the queries. */
  readonly samples: readonly (readonly VectorSample[])[];
  readonly exemplars: readonly Exemplar[];
  /** Queries as they were sent. */
  readonly sent: readonly string[];
  /** Seconds since 1970. */
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

export type Shown =
  | { readonly state: "loading"; readonly data: null; readonly error: null }
  | { readonly state: "data" | "empty"; readonly data: PanelData; readonly error: null }
  | { readonly state: "error"; readonly data: PanelData | null; readonly error: string };

/** What is shown, and whether it answers other choices or another time range than those made now. */
export type PanelState = Shown & { readonly busy: boolean };

export type Choices = ReadonlyMap<string, readonly string[]>;

const EMPTY: Frame = { times: [], series: [], leftOut: 0 };
const SPARK_POINTS = 48;
const EXEMPLARS_MOST = 60;

function plan(panel: PanelSpec, live: Live, points: number): { at: Bounds; step: number } {
  if (panel.kind === "stat") {
    // The last point is the moment itself, so that the number is as fresh as an instant query.
    const seconds = (live.bounds.end - live.bounds.start) / 1000;
    const step = Math.max(5, Math.round(seconds / SPARK_POINTS));
    const end = Math.floor(live.bounds.end) / 1000;
    return { at: { start: end - step * Math.floor(seconds / step), end }, step };
  }
  const step = stepFor(live.bounds, points);
  return { at: aligned(live.bounds, step), step };
}

/** Whether a panel has only one number for the whole range, and so no history to draw. */
export function isInstant(panel: PanelSpec, expr: string): boolean {
  if (panel.kind === "stat") return expr.includes("$__range");
  return panel.kind === "table" || panel.kind === "bar";
}

/** Spread over the range, the slowest of each stretch. */
export function thinned(exemplars: readonly Exemplar[], { start, end }: Bounds): Exemplar[] {
  const slots = new Map<number, Exemplar>();
  for (const exemplar of exemplars) {
    const slot = Math.floor(((exemplar.at - start) / Math.max(1, end - start)) * EXEMPLARS_MOST);
    const held = slots.get(slot);
    if (!held || exemplar.value > held.value) slots.set(slot, exemplar);
  }
  return [...slots.values()];
}

async function load(
  panel: PanelSpec,
  choices: Choices,
  live: Live,
  points: number,
  signal: AbortSignal,
): Promise<PanelData> {
  const { at, step } = plan(panel, live, points);
  const builtins = {
    rateInterval: rateInterval(step),
    range: (live.bounds.end - live.bounds.start) / 1000,
  };
  const sent = panel.queries.map(({ expr }) => interpolate(expr, choices, builtins));
  const answers = await Promise.all(
    panel.queries.map(async ({ expr, legend }, index) => {
      const query = sent[index] as string;
      if (isInstant(panel, expr)) {
        return { samples: await queryInstant(query, live.bounds.end / 1000, signal) };
      }
      return { matrix: { legend, series: await queryRange(query, at, step, signal) } };
    }),
  );
  const matrices = answers.flatMap((answer) => (answer.matrix ? [answer.matrix] : []));
  return {
    frame: matrices.length > 0 ? toFrame(matrices, at.start, at.end, step) : EMPTY,
    samples: answers.map((answer) => answer.samples ?? []),
    exemplars: [],
    sent,
    step,
    ...at,
  };
}

function hasExemplars(panel: PanelSpec, query: string): boolean {
  return panel.kind === "timeseries" && panel.unit === "s" && query.includes("histogram_quantile");
}

async function loadExemplars(data: PanelData, signal: AbortSignal): Promise<Exemplar[]> {
  // The quantiles of one histogram have the same exemplars, so the first query is enough.
  const query = data.sent[0] as string;
  try {
    return thinned(await queryExemplars(query, { start: data.start, end: data.end }, signal), data);
  } catch (error) {
    if (isAbort(error)) throw error;
    return [];
  }
}

function isEmpty({ frame, samples }: PanelData): boolean {
  return frame.series.length === 0 && samples.every((each) => each.length === 0);
}

const LOADING: Shown = { state: "loading", data: null, error: null };

/** Ask for a panel's data now and at every beat while it is on the screen. */
export function usePanelData(
  panel: PanelSpec,
  choices: Choices | null,
  live: Live,
  visible: boolean,
  points: number,
): PanelState {
  const [state, setState] = useState<Shown>(LOADING);
  const running = useRef<{ key: string; abort: AbortController } | null>(null);
  const key = JSON.stringify([panel.id, live.range, choices && [...choices], points]);
  const loaded = useRef("");
  const wanted = choices !== null && (visible || loaded.current !== key);

  useEffect(() => () => running.current?.abort.abort(), []);
  useEffect(() => {
    if (!wanted || choices === null) return;
    // A slow answer is waited for: asking again at every beat would never let it arrive.
    if (running.current?.key === key) return;
    running.current?.abort.abort();
    const abort = new AbortController();
    const mine = { key, abort };
    running.current = mine;
    const run = async (): Promise<void> => {
      const data = await load(panel, choices, live, points, abort.signal);
      if (abort.signal.aborted) return;
      loaded.current = key;
      const shown = isEmpty(data) ? "empty" : "data";
      setState((before) => ({
        state: shown,
        error: null,
        data: { ...data, exemplars: before.data?.exemplars ?? [] },
      }));
      if (!data.sent.some((query) => hasExemplars(panel, query))) return;
      const exemplars = await loadExemplars(data, abort.signal);
      if (!abort.signal.aborted) {
        setState({ state: shown, error: null, data: { ...data, exemplars } });
      }
    };
    run()
      .catch((error: unknown) => {
        if (isAbort(error) || abort.signal.aborted) return;
        // While the server is away, the banner says so and what is known stays.
        if (error instanceof UnreachableError) return;
        loaded.current = error instanceof ApiError ? key : "";
        setState((before) => ({ state: "error", data: before.data, error: messageOf(error) }));
      })
      .finally(() => {
        if (running.current === mine) running.current = null;
      });
  }, [key, live.now, wanted]);
  return { ...state, busy: state.state !== "error" && loaded.current !== key };
}
