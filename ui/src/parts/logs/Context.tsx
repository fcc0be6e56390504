/** The lines before and after one line, of the same process. */

import { nanoseconds, queryLines } from "../../api/loki.ts";
import { formatMoment } from "../../lib/format.ts";
import { escapeQuoted } from "../../lib/interpolate.ts";
import { type LogLine, mergeLines, nextNs, toLines } from "../../lib/logs.ts";
import { useAsked } from "../../state/asked.ts";
import { Dialog } from "../Dialog.tsx";
import { Failure, Loading } from "../States.tsx";
import { LogList } from "./LogList.tsx";

const AROUND = 30;
const REACH_MS = 600_000;

function sameProcess({ fields, service }: LogLine): string {
  const matchers = [`service_name="${escapeQuoted(service)}"`];
  const instance = fields["service_instance_id"];
  if (instance) matchers.push(`service_instance_id="${escapeQuoted(instance)}"`);
  return `{${matchers.join(", ")}}`;
}

async function around(line: LogLine, signal: AbortSignal): Promise<LogLine[]> {
  const query = sameProcess(line);
  const [before, after] = await Promise.all([
    queryLines(query, nanoseconds(line.ms - REACH_MS), nextNs(line.ns), AROUND, "backward", signal),
    queryLines(query, nextNs(line.ns), nanoseconds(line.ms + REACH_MS), AROUND, "forward", signal),
  ]);
  return mergeLines(toLines(before), toLines(after), Infinity);
}

export function Context({ line, close }: { readonly line: LogLine; readonly close: () => void }) {
  const { data, error } = useAsked((signal) => around(line, signal), [line.key]);
  return (
    <Dialog
      title={`Around ${formatMoment(line.ms, Date.now(), true)} in ${line.service}`}
      testid="log-context-dialog"
      wide
      close={close}
    >
      {error !== null && <Failure message={error} />}
      {error === null && data === null && <Loading />}
      {data && (
        <div class="context-list">
          <LogList lines={[...data].reverse()} needle="" withService={false} focus={line.key} />
        </div>
      )}
    </Dialog>
  );
}
