/** Labels as chips; where a list can be narrowed down, a click does it. */

import type { Labels } from "../../api/alertmanager.ts";
import { labelNames, matcherText } from "../../lib/matchers.ts";
import { currentPlace, setParams } from "../../state/location.ts";

/** Show only alerts that fulfil this matcher as well. */
export function addFilter(text: string): void {
  const held = currentPlace().params.getAll("filter");
  if (!held.includes(text)) setParams({ filter: [...held, text] });
}

interface Props {
  readonly labels: Labels;
  /** Names that are said elsewhere. */
  readonly skip?: ReadonlySet<string>;
  readonly filter?: boolean;
}

const TITLE = new Set(["alertname", "severity"]);

export function LabelChips({ labels, skip = TITLE, filter = false }: Props) {
  const names = labelNames(labels).filter((name) => !skip.has(name));
  if (names.length === 0) return null;
  return (
    <p class="labels">
      {names.map((name) => {
        const value = labels[name] as string;
        const text = `${name}=${value}`;
        if (!filter) return <code key={name}>{text}</code>;
        return (
          <button
            key={name}
            type="button"
            class="label-chip"
            title={`Show only alerts with ${text}`}
            data-testid="label-chip"
            onClick={() => addFilter(matcherText({ name, op: "=", value }))}
          >
            {text}
          </button>
        );
      })}
    </p>
  );
}
