/** Notifications that were sent, or could not be. */

import type { Notification } from "../../api/own.ts";
import { formatAge, formatMoment } from "../../lib/format.ts";
import { Empty } from "../States.tsx";
import { LabelChips } from "./LabelChips.tsx";

interface Props {
  readonly entries: readonly Notification[];
  /** Only those of this rule; empty for all. */
  readonly name: string;
  readonly now: number;
}

const OUTCOMES: Record<string, [string, string]> = {
  delivered: ["green", "delivered"],
  success: ["green", "delivered"],
  ok: ["green", "delivered"],
  pending: ["amber", "on its way"],
  failed: ["red", "failed"],
  error: ["red", "failed"],
};

export function Notifications({ entries, name, now }: Props) {
  const shown = entries.filter(({ rule }) => name === "" || rule === name);
  if (shown.length === 0) {
    return (
      <Empty title="Nothing was sent yet">
        <span>Notifications appear here as soon as an alert fires.</span>
      </Empty>
    );
  }
  return (
    <table class="data cards">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Alert</th>
          <th scope="col">State</th>
          <th scope="col">Receiver</th>
          <th scope="col">Delivery</th>
          <th scope="col">Answer</th>
        </tr>
      </thead>
      <tbody>
        {shown.map((entry) => {
          const [tone, text] = OUTCOMES[entry.outcome] ?? ["plain", entry.outcome];
          const late = entry.sent_ms === null ? 0 : entry.sent_ms - entry.created_ms;
          return (
            <tr key={entry.id} data-testid="notification" data-outcome={entry.outcome}>
              <td class="nowrap">{formatMoment(entry.sent_ms ?? entry.created_ms, now)}</td>
              <td>
                <b>{entry.rule}</b>
                <LabelChips labels={entry.labels} />
              </td>
              <td>
                <span class={`state-tag state-${entry.status}`}>
                  <span class={`dot dot-${entry.status}`} />
                  {entry.status}
                </span>
              </td>
              <td>{entry.receiver}</td>
              <td class="nowrap">
                <span class={`tag tag-${tone}`}>{text}</span>
                <span class="faint">
                  {" "}
                  {entry.attempts > 1 && `${entry.attempts} attempts`}
                  {late > 2_000 && ` after ${formatAge(late)}`}
                </span>
              </td>
              <td class="answer">{entry.answer}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
