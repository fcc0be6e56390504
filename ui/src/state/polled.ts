/** A request that is made at every beat, for pages that show the present. */

import { useEffect, useRef, useState } from "preact/hooks";
import { isAbort, messageOf, UnreachableError } from "../api/http.ts";
import type { Asked } from "./asked.ts";

interface Held<T> {
  readonly data: T | null;
  readonly error: string | null;
  readonly about: string;
}

interface Running {
  readonly about: string;
  readonly abort: AbortController;
  /** A beat came meanwhile. */
  again: boolean;
}

/**
 * Ask at every beat and when `about` changes, which names the question.
 *
 * An answer that takes longer than a beat is waited for: asking anew each time would never let it
 * arrive. What is known stays while the server is away or refuses.
 */
export function usePolled<T>(ask: (signal: AbortSignal) => Promise<T>, now: number, about: string): Asked<T> {
  const [held, setHeld] = useState<Held<T>>({ data: null, error: null, about: "" });
  const latest = useRef(ask);
  latest.current = ask;
  const running = useRef<Running | null>(null);

  const start = (): void => {
    const mine: Running = { about, abort: new AbortController(), again: false };
    running.current = mine;
    const { signal } = mine.abort;
    latest
      .current(signal)
      .then((data) => {
        if (!signal.aborted) setHeld({ data, error: null, about });
      })
      .catch((error: unknown) => {
        if (isAbort(error) || signal.aborted || error instanceof UnreachableError) return;
        setHeld((before) => ({
          data: before.about === about ? before.data : null,
          error: messageOf(error),
          about,
        }));
      })
      .finally(() => {
        if (running.current !== mine) return;
        running.current = null;
        if (mine.again) start();
      });
  };

  useEffect(() => {
    if (running.current?.about === about) {
      running.current.again = true;
      return;
    }
    running.current?.abort.abort();
    start();
  }, [now, about]);
  useEffect(
    () => () => {
      running.current?.abort.abort();
      running.current = null;
    },
    [],
  );
  return { data: held.data, error: held.error, loading: running.current !== null, stale: held.about !== about };
}
