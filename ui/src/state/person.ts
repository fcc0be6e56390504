/** The name under which somebody acts; kept in this browser. */

import { Store } from "./store.ts";

const KEY = "watchkeeper.name";

function saved(): string {
  try {
    return window.localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export const person = new Store<string>(saved());

person.subscribe((name) => {
  try {
    window.localStorage.setItem(KEY, name);
  } catch {
    // Without storage the name lasts until the page is closed.
  }
});
