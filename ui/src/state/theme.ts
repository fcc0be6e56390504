/** Dark, light, or what the system says; the choice is kept in this browser. */

import { Store } from "./store.ts";

export type Choice = "system" | "dark" | "light";
export type Theme = "dark" | "light";

const KEY = "watchkeeper.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function saved(): Choice {
  try {
    const value = window.localStorage.getItem(KEY);
    return value === "dark" || value === "light" ? value : "system";
  } catch {
    return "system";
  }
}

export const themeChoice = new Store<Choice>(saved());
export const theme = new Store<Theme>("light");

function apply(): void {
  const choice = themeChoice.get();
  if (choice === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = choice;
  const system: Theme = dark.matches ? "dark" : "light";
  theme.set(choice === "system" ? system : choice);
}

export function startTheme(): void {
  apply();
  dark.addEventListener("change", apply);
  themeChoice.subscribe((choice) => {
    try {
      if (choice === "system") window.localStorage.removeItem(KEY);
      else window.localStorage.setItem(KEY, choice);
    } catch {
      // Without storage the choice lasts until the page is closed.
    }
    apply();
  });
}

export function toggleTheme(): void {
  themeChoice.set(theme.get() === "dark" ? "light" : "dark");
}
