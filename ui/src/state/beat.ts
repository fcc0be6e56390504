/** The beat of pages that show the present and have no time range. */

import { useEffect, useState } from "preact/hooks";
import { recoveries } from "./health.ts";
import { asked } from "./live.ts";
import { useStore } from "./store.ts";

/** The present moment, anew every `seconds`, on request, and when the server is back. */
export function useBeat(seconds: number): number {
  const manual = useStore(asked);
  const recovered = useStore(recoveries);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => setNow(Date.now()), [manual, recovered]);
  useEffect(() => {
    const beat = (): void => {
      if (!document.hidden) setNow(Date.now());
    };
    const timer = setInterval(beat, seconds * 1000);
    document.addEventListener("visibilitychange", beat);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", beat);
    };
  }, [seconds]);
  return now;
}
