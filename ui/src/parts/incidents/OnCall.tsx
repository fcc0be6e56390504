/** Who is on call now, and who comes next. */

import type { OnCall, Shift } from "../../api/incidents.ts";
import { onCall } from "../../api/incidents.ts";
import { formatAge, formatWeekday } from "../../lib/format.ts";
import { useAsked } from "../../state/asked.ts";
import { Empty, Failure, Loading } from "../States.tsx";

const NEXT_SHOWN = 4;

export function OnCallPanel({ now }: { readonly now: number }) {
  const minute = Math.floor(now / 30_000);
  const found = useAsked(onCall, [minute]);
  return (
    <aside class="panel oncall" aria-labelledby="oncall-title" data-testid="oncall">
      <h2 id="oncall-title">On call</h2>
      {found.error !== null && !found.data && <Failure message={found.error} />}
      {found.error === null && !found.data && <Loading />}
      {found.data?.length === 0 && (
        <Empty title="Nobody is on call yet">
          <span>
            Write an <code>escalation.yml</code> with users, schedules and policies, and start the server with{" "}
            <code>--escalation</code>. Until then, alerts go to their receivers and nobody is told again.
          </span>
        </Empty>
      )}
      {found.data?.map((schedule) => (
        <Schedule key={schedule.schedule} schedule={schedule} now={now} />
      ))}
    </aside>
  );
}

function Schedule({ schedule, now }: { readonly schedule: OnCall; readonly now: number }) {
  const [, ...next] = schedule.shifts;
  return (
    <section class="schedule" data-testid="schedule">
      <h3>{schedule.schedule}</h3>
      <p class="schedule-now">
        {schedule.now === null ? <b class="problem">nobody</b> : <b data-testid="oncall-now">{schedule.now}</b>}
        {schedule.until_ms !== null && (
          <span>
            {" "}
            until {formatWeekday(schedule.until_ms)} (for {formatAge(schedule.until_ms - now)})
          </span>
        )}
      </p>
      {next.length > 0 && (
        <ol>
          {next.slice(0, NEXT_SHOWN).map((shift) => (
            <Next key={shift.start_ms} shift={shift} />
          ))}
        </ol>
      )}
    </section>
  );
}

function Next({ shift }: { readonly shift: Shift }) {
  return (
    <li>
      <span class="faint">{formatWeekday(shift.start_ms)}</span>{" "}
      {shift.user ?? <span class="problem">nobody</span>}
      {shift.origin === "override" && <span class="tag tag-plain">stands in</span>}
    </li>
  );
}
