/** The matchers of a silence, one row each. */

import { type Matcher, type Op, OPS } from "../../lib/matchers.ts";
import { Icon } from "../icons.tsx";

interface Props {
  readonly matchers: readonly Matcher[];
  readonly onChange: (matchers: readonly Matcher[]) => void;
}

const MEANINGS: Readonly<Record<Op, string>> = {
  "=": "is",
  "!=": "is not",
  "=~": "matches",
  "!~": "does not match",
};

export function MatcherRows({ matchers, onChange }: Props) {
  const put = (index: number, change: Partial<Matcher>): void =>
    onChange(matchers.map((each, at) => (at === index ? { ...each, ...change } : each)));
  return (
    <div class="matchers">
      {matchers.map(({ name, op, value }, index) => (
        <div key={index} class="matcher" data-testid="matcher">
          <input
            type="text"
            class="mono"
            aria-label="Label"
            placeholder="label"
            autocapitalize="off"
            autocomplete="off"
            spellcheck={false}
            value={name}
            onInput={(event) => put(index, { name: event.currentTarget.value })}
          />
          <select aria-label="Comparison" value={op} onChange={(event) => put(index, { op: event.currentTarget.value as Op })}>
            {OPS.map((each) => (
              <option key={each} value={each} title={MEANINGS[each]}>
                {each}
              </option>
            ))}
          </select>
          <input
            type="text"
            class="mono"
            aria-label="Value"
            placeholder={op.endsWith("~") ? "pattern" : "value"}
            autocapitalize="off"
            autocomplete="off"
            spellcheck={false}
            value={value}
            onInput={(event) => put(index, { value: event.currentTarget.value })}
          />
          <button
            type="button"
            class="plain"
            aria-label={`Take the matcher on ${name || "nothing"} away`}
            onClick={() => onChange(matchers.filter((_, at) => at !== index))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <button
        type="button"
        class="button"
        data-testid="matcher-add"
        onClick={() => onChange([...matchers, { name: "", op: "=", value: "" }])}
      >
        Add a matcher
      </button>
    </div>
  );
}
