/** Every key and what it does. */

import { Fragment } from "preact";
import { Dialog } from "./Dialog.tsx";

const GROUPS: readonly [string, readonly [string, string][]][] = [
  [
    "Everywhere",
    [
      ["?", "This list"],
      ["1 2", "First, second dashboard"],
      ["t", "Traces"],
      ["l", "Logs"],
      ["a", "Alerts"],
      ["i", "Incidents"],
      ["s", "Silences"],
      ["/", "Search on this page"],
      ["r", "Refresh now"],
      ["d", "Dark or light"],
      ["Esc", "Close, go back"],
    ],
  ],
  [
    "Time",
    [
      ["[ ]", "Earlier, later"],
      ["-", "Twice as long"],
      ["b", "Back to before the zoom"],
      ["drag", "Zoom into a chart"],
    ],
  ],
  [
    "A trace",
    [
      ["j k ↑ ↓", "Next, previous span"],
      ["← →", "Fold, unfold"],
      ["n N", "Next, previous match"],
      ["e", "Next error"],
      ["0", "The whole trace again"],
    ],
  ],
];

export function Help({ close }: { readonly close: () => void }) {
  return (
    <Dialog title="Keys" testid="help" close={close}>
      <div class="keys">
        {GROUPS.map(([title, keys]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {keys.map(([key, meaning]) => (
                <Fragment key={key}>
                  <dt>
                    {key.split(" ").map((each) => (
                      <kbd key={each}>{each}</kbd>
                    ))}
                  </dt>
                  <dd>{meaning}</dd>
                </Fragment>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
