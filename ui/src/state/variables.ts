/** The choices at the top of a dashboard, kept in the URL as `var-name=value`. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { isAbort } from "../api/http.ts";
import type { Variable } from "../api/own.ts";
import { labelValues } from "../api/prometheus.ts";
import { ALL, interpolate, parseLabelValues } from "../lib/interpolate.ts";
import type { Live } from "./live.ts";
import type { Choices } from "./paneldata.ts";

/** What the URL says; a variable without a value stands for all. */
export function readChoices(
  variables: readonly Variable[],
  params: URLSearchParams,
): Map<string, readonly string[]> {
  return new Map(
    variables.map(({ name }) => {
      const values = params.getAll(`var-${name}`);
      return [name, values.length > 0 ? values : [ALL]];
    }),
  );
}

/** The values to choose from, for each variable; later ones depend on the choices of earlier ones. */
export function useOptions(
  variables: readonly Variable[],
  choices: Choices,
  live: Live,
): ReadonlyMap<string, readonly string[]> {
  const [options, setOptions] = useState<ReadonlyMap<string, readonly string[]>>(new Map());
  const key = useMemo(() => JSON.stringify([...choices]), [choices]);
  // New services appear seldom: asking once a minute is enough.
  const minute = Math.floor(live.now / 60_000);
  useEffect(() => {
    const abort = new AbortController();
    const builtins = { rateInterval: 20, range: 900 };
    const load = async ({ name, query }: Variable): Promise<[string, readonly string[]]> => {
      const wanted = parseLabelValues(query);
      if (!wanted) return [name, []];
      const selector = interpolate(wanted.selector, choices, builtins);
      return [name, await labelValues(wanted.label, selector, live.bounds, abort.signal)];
    };
    Promise.all(variables.map(load))
      .then((found) => setOptions(new Map(found)))
      .catch((error: unknown) => {
        if (!isAbort(error)) setOptions((before) => before);
      });
    return () => abort.abort();
  }, [variables, key, live.range.from, live.range.to, minute]);
  return options;
}
