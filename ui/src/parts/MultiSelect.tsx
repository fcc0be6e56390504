/** Choose several of many, with a search field when there are many. */

import { useState } from "preact/hooks";
import { Icon } from "./icons.tsx";
import { Menu } from "./Menu.tsx";

interface Props {
  readonly label: string;
  readonly options: readonly string[];
  /** Empty means all. */
  readonly chosen: readonly string[];
  readonly multi?: boolean;
  readonly testid?: string;
  readonly onChange: (chosen: readonly string[]) => void;
}

function summaryOf(chosen: readonly string[]): string {
  if (chosen.length === 0) return "All";
  return chosen.length === 1 ? (chosen[0] as string) : `${chosen.length} chosen`;
}

export function MultiSelect({ label, options, chosen, multi = true, testid, onChange }: Props) {
  const [search, setSearch] = useState("");
  const all = [...new Set([...options, ...chosen])];
  const found = all.filter((each) => each.toLowerCase().includes(search.toLowerCase()));
  const toggle = (value: string): void => {
    if (!multi) onChange(chosen[0] === value ? [] : [value]);
    else if (chosen.includes(value)) onChange(chosen.filter((each) => each !== value));
    else onChange([...chosen, value]);
  };
  return (
    <Menu
      title={`${label}: ${chosen.length === 0 ? "all" : chosen.join(", ")}`}
      align="left"
      label={
        <>
          <span class="select-label">{label}</span> <b>{summaryOf(chosen)}</b> <Icon name="down" />
        </>
      }
      {...(testid === undefined ? {} : { testid })}
    >
      {() => (
        <div class="choices" role="group" aria-label={label}>
          {all.length > 8 && (
            <input
              type="search"
              placeholder="Search"
              aria-label={`Search ${label}`}
              value={search}
              onInput={(event) => setSearch(event.currentTarget.value)}
            />
          )}
          <label class="choice">
            <input type="checkbox" checked={chosen.length === 0} onChange={() => onChange([])} />
            All
          </label>
          {found.map((value) => (
            <label class="choice" key={value}>
              <input type="checkbox" checked={chosen.includes(value)} onChange={() => toggle(value)} />
              {value === "" ? "(none)" : value}
            </label>
          ))}
          {all.length === 0 && <p class="faint">Nothing to choose from yet.</p>}
        </div>
      )}
    </Menu>
  );
}
