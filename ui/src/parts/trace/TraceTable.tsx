/** Found traces as a table. */

import type { TraceSummary } from "../../api/tempo.ts";
import { formatCount, formatMoment, formatNanoseconds } from "../../lib/format.ts";
import { linkTo } from "../../lib/route.ts";
import { go, setParams, usePlace } from "../../state/location.ts";

interface Props {
  readonly traces: readonly TraceSummary[];
  readonly limit: number;
  readonly now: number;
  readonly sort: string;
}

/** Durations come in whole milliseconds. */
function durationText(ms: number): string {
  return ms === 0 ? "< 1 ms" : formatNanoseconds(ms * 1e6);
}

export function TraceTable({ traces, limit, now, sort }: Props) {
  const { params } = usePlace();
  const longest = Math.max(1, ...traces.map(({ durationMs }) => durationMs));
  const column = (key: string, title: string, numeric = false) => (
    <th scope="col" class={numeric ? "num" : ""}>
      <button type="button" class="plain" aria-pressed={sort === key} onClick={() => setParams({ sort: key }, "replace")}>
        {title}
        {sort === key ? " ↓" : ""}
      </button>
    </th>
  );
  return (
    <section class="panel">
      <table class="data trace-table">
        <thead>
          <tr>
            {column("", "Started")}
            <th scope="col">What</th>
            <th scope="col">Service</th>
            {column("duration", "Duration")}
            {column("spans", "Spans", true)}
            <th scope="col">Result</th>
          </tr>
        </thead>
        <tbody>
          {traces.map((trace) => {
            const href = linkTo(`/traces/${encodeURIComponent(trace.id)}`, params);
            return (
              <tr key={trace.id} data-testid="trace-row" data-trace={trace.id} onClick={() => go(href)}>
                <td class="nowrap">{formatMoment(trace.startMs, now)}</td>
                <td class="trace-name">
                  <a href={href} onClick={(event) => event.stopPropagation()}>
                    {trace.name || "(root span not here yet)"}
                  </a>
                </td>
                <td title={trace.services.join(", ")}>
                  {trace.service || trace.services[0] || ""}
                  {trace.services.length > 1 && <span class="faint"> +{trace.services.length - 1}</span>}
                </td>
                <td>
                  <div class="duration">
                    <span class="num">{durationText(trace.durationMs)}</span>
                    <span class="duration-track">
                      <span
                        class={trace.errors > 0 ? "duration-bar failed" : "duration-bar"}
                        style={{ width: `${Math.max(0.6, (trace.durationMs / longest) * 100)}%` }}
                      />
                    </span>
                  </div>
                </td>
                <td class="num">{formatCount(trace.spans)}</td>
                <td>
                  {trace.errors > 0 ? (
                    <span class="tag tag-red">
                      {trace.errors} {trace.errors === 1 ? "error" : "errors"}
                    </span>
                  ) : (
                    <span class="faint">ok</span>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      <p class="table-foot">
        {traces.length >= limit
          ? `The newest ${traces.length}; there may be more. Narrow the search or the time range.`
          : `${traces.length} ${traces.length === 1 ? "trace" : "traces"}`}
      </p>
    </section>
  );
}
