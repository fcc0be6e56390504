/** One silence, and what can be done with it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { expireSilence, fromApi, type Silence } from "../../api/alertmanager.ts";
import { messageOf } from "../../api/http.ts";
import { formatAge, formatMoment } from "../../lib/format.ts";
import { matcherText } from "../../lib/matchers.ts";
import { linkTo } from "../../lib/route.ts";
import { currentPlace } from "../../state/location.ts";
import { refreshNow } from "../../state/live.ts";

interface Props {
  readonly silence: Silence;
  readonly now: number;
  /** How many alerts it mutes now; null while that is unknown. */
  readonly mutes: number | null;
  /** Whether this is the silence's own page. */
  readonly alone?: boolean;
}

export function SilenceRow({ silence, now, mutes, alone = false }: Props) {
  const { id, matchers, comment, createdBy, status } = silence;
  const { params } = currentPlace();
  const shown = matchers.map((each) => (
    <code key={matcherText(fromApi(each))}>{matcherText(fromApi(each))}</code>
  ));
  return (
    <article class={`card silence-${status.state}`} data-testid="silence" data-state={status.state}>
      <div class="card-main">
        <div class="group-title">
          <span class={`state-tag silence-state-${status.state}`}>
            <span class={`dot dot-silence-${status.state}`} />
            {status.state}
          </span>
          <h3>
            {alone ? comment : (
              <a href={linkTo(`/silences/${id}`, params)} data-testid="silence-link">
                {comment || "No comment"}
              </a>
            )}
          </h3>
          {status.state === "active" && mutes !== null && (
            <span class={mutes > 0 ? "tag tag-amber" : "tag tag-plain"}>
              mutes {mutes} {mutes === 1 ? "alert" : "alerts"}
            </span>
          )}
        </div>
        <p class="labels">{shown}</p>
        <p class="group-facts">
          <span>
            by <b>{createdBy}</b>
          </span>
          <span>{spanOf(silence, now)}</span>
        </p>
      </div>
      <div class="group-actions">
        {status.state === "expired" ? (
          <a class="button" href={linkTo("/silences/new", params, { filter: matchers.map((each) => matcherText(fromApi(each))), comment })} data-testid="silence-again">
            Silence again
          </a>
        ) : (
          <>
            <a class="button" href={linkTo(`/silences/${id}/edit`, params)} data-testid="silence-edit">
              Edit
            </a>
            <Expire id={id} state={status.state} />
          </>
        )}
      </div>
    </article>
  );
}

function spanOf({ status, startsAt, endsAt }: Silence, now: number): string {
  const [start, end] = [Date.parse(startsAt), Date.parse(endsAt)];
  if (status.state === "expired") return `ended ${formatMoment(end, now)} (${formatAge(now - end)} ago)`;
  if (status.state === "pending") {
    return `from ${formatMoment(start, now)} (in ${formatAge(start - now)}) until ${formatMoment(end, now)}`;
  }
  return `until ${formatMoment(end, now)} (${formatAge(end - now)} left)`;
}

/** Ends a silence; a second press says that the first was meant. */
function Expire({ id, state }: { readonly id: string; readonly state: string }) {
  const [sure, setSure] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const yes = useRef<HTMLButtonElement>(null);
  // The button that was pressed is gone, so the keyboard goes on at its successor.
  useEffect(() => yes.current?.focus(), [sure]);
  const end = async (): Promise<void> => {
    setBusy(true);
    try {
      await expireSilence(id);
      setProblem("");
    } catch (error) {
      setProblem(messageOf(error));
    }
    setBusy(false);
    setSure(false);
    refreshNow();
  };
  return (
    <>
      {sure ? (
        <>
          <button type="button" class="button danger" disabled={busy} data-testid="silence-expire-sure" ref={yes} onClick={() => void end()}>
            {state === "pending" ? "Yes, cancel it" : "Yes, end it now"}
          </button>
          <button type="button" class="button" onClick={() => setSure(false)}>
            Keep
          </button>
        </>
      ) : (
        <button type="button" class="button" data-testid="silence-expire" onClick={() => setSure(true)}>
          Expire
        </button>
      )}
      {problem !== "" && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </>
  );
}
