/** One request and what became of it. */

import { useEffect, useState } from "preact/hooks";
import { isAbort, messageOf, UnreachableError } from "../api/http.ts";

export interface Asked<T> {
  /** The newest answer; stays while the next one is on its way. */
  readonly data: T | null;
  readonly error: string | null;
  readonly loading: boolean;
}

/** Ask when `keys` change; an answer that comes too late is dropped. */
export function useAsked<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  keys: readonly unknown[],
): Asked<T> {
  const [state, setState] = useState<Asked<T>>({ data: null, error: null, loading: true });
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => (before.loading ? before : { ...before, loading: true }));
    ask(abort.signal)
      .then((data) => {
        if (!abort.signal.aborted) setState({ data, error: null, loading: false });
      })
      .catch((error: unknown) => {
        if (isAbort(error) || abort.signal.aborted || error instanceof UnreachableError) return;
        setState((before) => ({ data: before.data, error: messageOf(error), loading: false }));
      });
    return () => abort.abort();
  }, keys);
  return state;
}
