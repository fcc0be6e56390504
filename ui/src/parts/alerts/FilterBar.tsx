/** Which alerts are shown, and a field to narrow them down. */

import { useState } from "preact/hooks";
import { messageOf } from "../../api/http.ts";
import { matcherText, parseMatchers } from "../../lib/matchers.ts";
import { linkTo } from "../../lib/route.ts";
import { currentPlace, setParams } from "../../state/location.ts";

interface Props {
  readonly filters: readonly string[];
  readonly name: string;
  readonly receiver: string;
  /** `active`, `suppressed` or empty for both. */
  readonly state: string;
  readonly active: number;
  readonly suppressed: number;
  /** Alerts of rules that may fire soon. */
  readonly pending: number;
}

export function FilterBar({ filters, name, receiver, state, active, suppressed, pending }: Props) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState("");
  const add = (event: Event): void => {
    event.preventDefault();
    try {
      setParams({ filter: [...new Set([...filters, ...parseMatchers(text).map(matcherText)])] });
      setText("");
      setProblem("");
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <div class="alert-filters">
      <StateButton name="active" dot="firing" label="firing" count={active} chosen={state} />
      <StateButton name="suppressed" dot="suppressed" label="muted" count={suppressed} chosen={state} />
      {pending > 0 && (
        <a class="button" href={linkTo("/rules", currentPlace().params, { state: "pending" })} title="Not long enough to fire yet">
          <span class="dot dot-pending" /> pending <b>{pending}</b>
        </a>
      )}
      <form class="filter-form" onSubmit={add}>
        <input
          type="text"
          class="mono"
          data-search
          data-testid="alert-filter"
          aria-label="Show only alerts with these labels"
          placeholder='service="api"'
          autocapitalize="off"
          autocomplete="off"
          spellcheck={false}
          aria-invalid={problem !== ""}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="button">
          Filter
        </button>
      </form>
      {problem !== "" && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <div class="chips">
        {name !== "" && <Gone text={name} drop={() => setParams({ name: null })} />}
        {receiver !== "" && <Gone text={`to ${receiver}`} drop={() => setParams({ receiver: null })} />}
        {filters.map((each) => (
          <Gone key={each} text={each} drop={() => setParams({ filter: filters.filter((other) => other !== each) })} />
        ))}
      </div>
    </div>
  );
}

interface StateButtonProps {
  readonly name: string;
  readonly dot: string;
  readonly label: string;
  readonly count: number;
  readonly chosen: string;
}

function StateButton({ name, dot, label, count, chosen }: StateButtonProps) {
  return (
    <button
      type="button"
      class="button"
      aria-pressed={chosen === name}
      data-testid={`state-${name}`}
      onClick={() => setParams({ state: chosen === name ? null : name })}
    >
      <span class={`dot dot-${dot}`} /> {label} <b>{count}</b>
    </button>
  );
}

function Gone({ text, drop }: { readonly text: string; readonly drop: () => void }) {
  return (
    <button type="button" class="chip" onClick={drop} title="Take this filter away" data-testid="filter-chip">
      {text} ×
    </button>
  );
}
