/** Buttons that do something with an incident. The first time, they ask who does it. */

import { useState } from "preact/hooks";
import { messageOf } from "../../api/http.ts";
import { act, type Verb } from "../../api/incidents.ts";
import { refreshNow } from "../../state/live.ts";
import { person } from "../../state/person.ts";
import { useStore } from "../../state/store.ts";
import { Dialog } from "../Dialog.tsx";

const WORDS: Readonly<Record<Verb, string>> = {
  acknowledge: "Acknowledge",
  unacknowledge: "Un-acknowledge",
  take: "Take",
  resolve: "Resolve",
  comment: "Comment",
};

const MEANINGS: Readonly<Record<Verb, string>> = {
  acknowledge: "You look after it; nobody else is told.",
  unacknowledge: "Nobody has it any more; the escalation begins anew.",
  take: "You look after it instead.",
  resolve: "It is over. If its alerts go on or change, it may open again.",
  comment: "Everybody who opens the incident reads it.",
};

interface Props {
  readonly id: string;
  readonly verb: Verb;
  readonly primary?: boolean;
  /** Ask first, even if the name is known. */
  readonly sure?: boolean;
}

export function Act({ id, verb, primary = false, sure = false }: Props) {
  const name = useStore(person);
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const now = async (by: string, text: string): Promise<void> => {
    setBusy(true);
    try {
      await act(id, verb, by, text);
      person.set(by);
      setOpen(false);
      setProblem("");
      refreshNow();
    } catch (error) {
      setProblem(messageOf(error));
      setOpen(true);
      refreshNow();
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button
        type="button"
        class={primary ? "button primary" : "button"}
        disabled={busy}
        data-testid={`act-${verb}`}
        title={name === "" || sure ? MEANINGS[verb] : `${MEANINGS[verb]} As ${name}.`}
        onClick={() => (name === "" || sure ? setOpen(true) : void now(name, ""))}
      >
        {WORDS[verb]}
      </button>
      {open && (
        <Ask verb={verb} name={name} busy={busy} problem={problem} send={now} close={() => setOpen(false)} />
      )}
    </>
  );
}

interface AskProps {
  readonly verb: Verb;
  readonly name: string;
  readonly busy: boolean;
  readonly problem: string;
  readonly send: (by: string, text: string) => Promise<void>;
  readonly close: () => void;
}

function Ask({ verb, name, busy, problem, send, close }: AskProps) {
  const [by, setBy] = useState(name);
  const [text, setText] = useState("");
  const needed = verb === "comment";
  const submit = (event: Event): void => {
    event.preventDefault();
    void send(by.trim(), text.trim());
  };
  return (
    <Dialog title={WORDS[verb]} testid="act-dialog" close={close}>
      <form class="form" onSubmit={submit}>
        <p>{MEANINGS[verb]}</p>
        <label class="field">
          <span>Your name</span>
          <input
            type="text"
            required
            maxLength={100}
            autocomplete="name"
            autofocus={name === ""}
            data-testid="act-name"
            value={by}
            onInput={(event) => setBy(event.currentTarget.value)}
          />
        </label>
        <label class="field">
          <span>{needed ? "Comment" : "Note, if you like"}</span>
          <textarea
            rows={needed ? 4 : 2}
            required={needed}
            autofocus={name !== ""}
            data-testid="act-text"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        {problem !== "" && (
          <p class="problem" role="alert" data-testid="act-problem">
            {problem}
          </p>
        )}
        <div class="form-foot">
          <button type="submit" class="button primary" disabled={busy || by.trim() === "" || (needed && text.trim() === "")} data-testid="act-send">
            {WORDS[verb]}
          </button>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
