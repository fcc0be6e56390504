/** One request and what became of it. */

import { useEffect, useState } from "preact/hooks";
import { isAbort, messageOf, UnreachableError } from "../api/http.ts";

export interface Asked<T> {
  /** The newest answer; stays while the next one is on its way. */
  readonly data: T | null;
  readonly error: string | null;
  readonly loading: boolean;
  /** Whether `data` and `error` answer another question than the one that is asked now. */
  readonly stale: boolean;
}

type Held<T> = Omit<Asked<T>, "stale"> & { readonly about: string };

/**
 * Ask when `keys` change; an answer that comes too late is dropped.
 *
 * `about` names the question without the moment at which it is asked: the same one again at the
 * next beat refreshes what is shown, another one makes it stale at once.
 */
export function useAsked<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  keys: readonly unknown[],
  about = "",
): Asked<T> {
  const [held, setState] = useState<Held<T>>({ data: null, error: null, loading: true, about });
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => (before.loading ? before : { ...before, loading: true }));
    ask(abort.signal)
      .then((data) => {
        if (!abort.signal.aborted) setState({ data, error: null, loading: false, about });
      })
      .catch((error: unknown) => {
        if (isAbort(error) || abort.signal.aborted || error instanceof UnreachableError) return;
        setState((before) => ({
          data: before.about === about ? before.data : null,
          error: messageOf(error),
          loading: false,
          about,
        }));
      });
    return () => abort.abort();
  }, keys);
  const { about: answered, ...state } = held;
  return { ...state, stale: answered !== about };
}
