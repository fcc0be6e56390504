/** A dashboard as the server describes it. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { isAbort, messageOf, UnreachableError } from "../api/http.ts";
import { type Board, board } from "../api/own.ts";
import { useLive } from "../state/live.ts";
import { setParams, usePlace } from "../state/location.ts";
import { recoveries } from "../state/health.ts";
import { useStore } from "../state/store.ts";
import { readChoices, useOptions } from "../state/variables.ts";
import { MultiSelect } from "../parts/MultiSelect.tsx";
import { Page } from "../parts/Page.tsx";
import { Panel } from "../parts/Panel.tsx";
import { Failure, Loading } from "../parts/States.tsx";

/** Definitions change only when the server restarts, so each is fetched once. */
const known = new Map<string, Board>();

function useBoard(uid: string): { spec: Board | null; error: string | null } {
  const recovered = useStore(recoveries);
  const [found, setFound] = useState<{ uid: string; spec: Board | null; error: string | null }>({
    uid: "",
    spec: null,
    error: null,
  });
  useEffect(() => {
    const abort = new AbortController();
    board(uid, abort.signal)
      .then((spec) => {
        known.set(uid, spec);
        setFound({ uid, spec, error: null });
      })
      .catch((error: unknown) => {
        if (isAbort(error) || error instanceof UnreachableError) return;
        setFound({ uid, spec: known.get(uid) ?? null, error: messageOf(error) });
      });
    return () => abort.abort();
  }, [uid, recovered]);
  const spec = found.uid === uid ? found.spec : (known.get(uid) ?? null);
  return { spec, error: found.uid === uid ? found.error : null };
}

export function Dashboard({ uid }: { readonly uid: string }) {
  const { spec, error } = useBoard(uid);
  if (spec) return <Shown key={uid} spec={spec} />;
  return (
    <Page title="Dashboard" testid={`page-${uid}`} live={null}>
      {error === null ? <Loading what="Loading the dashboard" /> : <Failure message={error} />}
    </Page>
  );
}

function Shown({ spec }: { readonly spec: Board }) {
  const live = useLive(spec.refresh_s);
  const { params } = usePlace();
  const text = params.toString();
  const choices = useMemo(() => readChoices(spec.variables, params), [spec, text]);
  const options = useOptions(spec.variables, choices, live);
  const enlarged = params.get("panel");
  const large = spec.rows.flatMap(({ panels }) => panels).find(({ id }) => id === enlarged);
  return (
    <Page title={spec.title} subtitle={spec.description} testid={`page-${spec.uid}`} live={live}>
      {spec.variables.length > 0 && (
        <div class="variables">
          {spec.variables.map(({ name, label, multi }) => (
            <MultiSelect
              key={name}
              label={label}
              multi={multi}
              testid={`variable-${name}`}
              options={options.get(name) ?? []}
              chosen={params.getAll(`var-${name}`)}
              onChange={(values) => setParams({ [`var-${name}`]: values })}
            />
          ))}
        </div>
      )}
      {large ? (
        <div class="grid">
          <Panel key={`large-${large.id}`} panel={large} choices={choices} live={live} large />
        </div>
      ) : (
        spec.rows.map((row) => (
          <section class="row" key={row.title} data-testid="row">
            <div class="row-head">
              <h2>{row.title}</h2>
              <p>{row.question}</p>
            </div>
            <div class="grid">
              {row.panels.map((panel) => (
                <Panel key={panel.id} panel={panel} choices={choices} live={live} large={false} />
              ))}
            </div>
          </section>
        ))
      )}
    </Page>
  );
}
