/** Whether the server answers; while it does not, it is asked every two seconds. */

import { Store } from "./store.ts";

export interface Health {
  readonly down: boolean;
  /** When it stopped answering, milliseconds since 1970. */
  readonly since: number;
}

const ASK_EVERY_MS = 2_000;

export const health = new Store<Health>({ down: false, since: 0 });
/** Counts how often the server came back; pages ask again when it changes. */
export const recoveries = new Store(0);

let asking = false;

async function ask(): Promise<void> {
  try {
    const answer = await fetch("./-/ready", { cache: "no-store" });
    if (answer.ok) {
      asking = false;
      health.set({ down: false, since: 0 });
      recoveries.set(recoveries.get() + 1);
      return;
    }
  } catch {
    // Still away.
  }
  setTimeout(() => void ask(), ASK_EVERY_MS);
}

export function reportDown(): void {
  if (asking) return;
  asking = true;
  health.set({ down: true, since: Date.now() });
  setTimeout(() => void ask(), 500);
}
