/** Where the reader is; the URL's fragment is the only place that knows. */

import { type Changes, changed, parseHash, type Place, toHash } from "../lib/route.ts";
import { Store, useStore } from "./store.ts";

const place = new Store<Place>(parseHash(window.location.hash));

function read(): void {
  place.set(parseHash(window.location.hash));
}

window.addEventListener("hashchange", read);
window.addEventListener("popstate", read);

export function usePlace(): Place {
  return useStore(place);
}

export function currentPlace(): Place {
  return place.get();
}

export function go(hash: string): void {
  window.location.hash = hash;
}

/** Change parameters of this page; `replace` leaves no step to come back to. */
export function setParams(changes: Changes, how: "push" | "replace" = "push"): void {
  const now = place.get();
  const hash = toHash({ path: now.path, params: changed(now.params, changes) });
  if (hash === toHash(now)) return;
  if (how === "push") window.history.pushState(null, "", hash);
  else window.history.replaceState(null, "", hash);
  read();
}
