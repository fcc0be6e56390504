/** The head that every page has: title, time range, refresh. */

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import type { Live } from "../state/live.ts";
import { useKeys } from "../state/keys.ts";
import { moveRange, TimePicker, zoomOut } from "./TimePicker.tsx";
import { zoomBack } from "../state/live.ts";

interface Props {
  readonly title: string;
  readonly subtitle?: ComponentChildren;
  readonly testid: string;
  /** Null on pages without a time range. */
  readonly live: Live | null;
  readonly tools?: ComponentChildren;
  readonly fill?: boolean;
  readonly children: ComponentChildren;
}

export function Page({ title, subtitle, testid, live, tools, fill = false, children }: Props) {
  useEffect(() => {
    document.title = `${title} · watchkeeper`;
  }, [title]);
  useKeys({
    "[": () => live && moveRange(live, -1),
    "]": () => live && moveRange(live, 1),
    "-": () => live && zoomOut(live),
    b: () => zoomBack(),
  });
  return (
    <main class={fill ? "page page-fill" : "page"} data-testid={testid}>
      <header class="page-head">
        <div class="page-title">
          <h1>{title}</h1>
          {subtitle && <p>{subtitle}</p>}
        </div>
        <div class="page-tools">
          {tools}
          {live && <TimePicker live={live} />}
        </div>
      </header>
      {children}
    </main>
  );
}
