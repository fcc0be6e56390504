/** The form that makes or changes a silence. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { saveSilence, toApi } from "../../api/alertmanager.ts";
import { messageOf } from "../../api/http.ts";
import { formatAge, formatWeekday } from "../../lib/format.ts";
import { linkTo } from "../../lib/route.ts";
import {
  type Draft,
  endOf,
  fieldOf,
  LENGTHS,
  type Problems,
  problemsOf,
  startOf,
  toInput,
} from "../../lib/silence.ts";
import { currentPlace, go } from "../../state/location.ts";
import { refreshNow } from "../../state/live.ts";
import { person } from "../../state/person.ts";
import { MatcherRows } from "./MatcherRows.tsx";
import { Preview, useMatched } from "./Preview.tsx";

interface Props {
  readonly first: Draft;
  /** The silence that is changed; empty for a new one. */
  readonly id: string;
  readonly now: number;
}

const SETTLE_MS = 250;

export function SilenceForm({ first, id, now }: Props) {
  const [draft, setDraft] = useState(first);
  const [tried, setTried] = useState(false);
  const [answer, setAnswer] = useState<Problems>({});
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const matched = useMatched(useSettled(draft.matchers), now);
  const set = (change: Partial<Draft>): void => {
    setDraft({ ...draft, ...change });
    setAnswer({});
  };
  // Where the preview lies below the fold, the button says how much is muted.
  const count = matched.stale || matched.error !== null ? 0 : (matched.data?.length ?? 0);
  const wrong: Problems = {
    ...(matched.error !== null && !matched.stale ? { matchers: matched.error } : {}),
    ...answer,
    ...(tried ? problemsOf(draft, now) : {}),
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setTried(true);
    const sent = Date.now();
    if (Object.keys(problemsOf(draft, sent)).length > 0) {
      // After the fields were marked, the first of them gets the keyboard.
      setTimeout(() => form.current?.querySelector<HTMLElement>("[aria-invalid=true], [data-invalid] input")?.focus());
      return;
    }
    setBusy(true);
    try {
      const saved = await saveSilence({
        ...(id === "" ? {} : { id }),
        matchers: draft.matchers.map(toApi),
        startsAt: new Date(startOf(draft, sent)).toISOString(),
        endsAt: new Date(endOf(draft, sent)).toISOString(),
        createdBy: draft.author.trim(),
        comment: draft.comment.trim(),
      });
      if (id === "") person.set(draft.author.trim());
      refreshNow();
      go(linkTo(`/silences/${saved}`, currentPlace().params));
    } catch (error) {
      setAnswer({ [fieldOf(messageOf(error))]: messageOf(error) });
      setBusy(false);
    }
  };
  return (
    <form class="silence-form" ref={form} onSubmit={(event) => void submit(event)} noValidate data-testid="silence-form">
      <div class="form">
        <fieldset data-invalid={wrong.matchers ? "" : undefined}>
          <legend>Alerts with all of these labels</legend>
          <MatcherRows matchers={draft.matchers} onChange={(matchers) => set({ matchers })} />
          <Problem text={wrong.matchers} field="matchers" />
        </fieldset>
        <Times draft={draft} set={set} now={now} wrong={wrong} />
        <Field label="Who silences" field="author" problem={wrong.author}>
          <input
            type="text"
            autocomplete="name"
            aria-invalid={wrong.author !== undefined}
            data-testid="silence-author"
            value={draft.author}
            onInput={(event) => set({ author: event.currentTarget.value })}
          />
        </Field>
        <Field label="Why" field="comment" problem={wrong.comment}>
          <textarea
            rows={2}
            placeholder="What is being done about it"
            aria-invalid={wrong.comment !== undefined}
            data-testid="silence-comment"
            value={draft.comment}
            onInput={(event) => set({ comment: event.currentTarget.value })}
          />
        </Field>
        <Problem text={wrong.form} field="form" />
        <div class="form-foot">
          <button type="submit" class="button primary" disabled={busy} data-testid="silence-save">
            {busy ? "Saving…" : id !== "" ? "Save" : `Silence${count === 0 ? "" : count === 1 ? " 1 alert" : ` ${count} alerts`}`}
          </button>
          <a class="button" href={linkTo("/silences", currentPlace().params)}>
            Cancel
          </a>
        </div>
      </div>
      <Preview found={matched} now={now} verb="would mute" />
    </form>
  );
}

/** A value once it has not changed for a moment, so that not every key asks the server. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

interface TimesProps {
  readonly draft: Draft;
  readonly set: (change: Partial<Draft>) => void;
  readonly now: number;
  readonly wrong: Problems;
}

function Times({ draft, set, now, wrong }: TimesProps) {
  const start = startOf(draft, now);
  const end = endOf(draft, now);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return (
    <fieldset>
      <legend>For how long</legend>
      <div class="lengths">
        {LENGTHS.map(([title, length]) => (
          <button
            key={length}
            type="button"
            class="button"
            aria-pressed={draft.ends === null && draft.length === length}
            onClick={() => set({ length, ends: null })}
          >
            {title}
          </button>
        ))}
      </div>
      <div class="form-pair">
        <Field label={draft.begun ? "From" : "From; empty for now"} field="starts" problem={wrong.starts}>
          <input
            type="datetime-local"
            disabled={draft.begun}
            aria-invalid={wrong.starts !== undefined}
            data-testid="silence-start"
            value={draft.starts === null ? "" : toInput(draft.starts)}
            onInput={(event) => set({ starts: event.currentTarget.value === "" ? null : Date.parse(event.currentTarget.value) })}
          />
        </Field>
        <Field label="Until" field="ends" problem={wrong.ends}>
          <input
            type="datetime-local"
            aria-invalid={wrong.ends !== undefined}
            data-testid="silence-end"
            value={Number.isNaN(end) ? "" : toInput(end)}
            onInput={(event) => set({ ends: Date.parse(event.currentTarget.value) })}
          />
        </Field>
      </div>
      {!Number.isNaN(end) && end > start && (
        <p class="faint" data-testid="silence-span">
          {draft.begun || draft.starts === null ? "From now" : `From ${formatWeekday(start, now)}`} until{" "}
          {formatWeekday(end, now)}, for {formatAge(end - Math.max(now, start))}. Times are local ({zone}).
        </p>
      )}
    </fieldset>
  );
}

interface FieldProps {
  readonly label: string;
  readonly field: string;
  readonly problem: string | undefined;
  readonly children: ComponentChildren;
}

function Field({ label, field, problem, children }: FieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
      <Problem text={problem} field={field} />
    </label>
  );
}

function Problem({ text, field }: { readonly text: string | undefined; readonly field: string }) {
  if (!text) return null;
  return (
    <span class="problem" role="alert" data-testid={`problem-${field}`}>
      {text}
    </span>
  );
}
