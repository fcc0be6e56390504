/** The name that actions go by, and the way to another one. */

import { person } from "../../state/person.ts";
import { useStore } from "../../state/store.ts";

export function WhoAmI() {
  const name = useStore(person);
  if (name === "") return null;
  return (
    <button
      type="button"
      class="button"
      title="Forget this name: the next action asks who you are"
      data-testid="who-am-i"
      onClick={() => person.set("")}
    >
      You are {name} <span aria-hidden="true">×</span>
    </button>
  );
}
