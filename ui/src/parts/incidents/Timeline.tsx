/** What happened to an incident, oldest first. */

import type { TimelineEntry, Told } from "../../api/incidents.ts";
import { formatMoment } from "../../lib/format.ts";

const WORDS: Readonly<Record<string, string>> = {
  opened: "opened",
  changed: "alerts changed",
  step: "escalation",
  quiet: "quiet hours",
  nobody: "reached nobody",
  exhausted: "nobody acknowledged",
  notification: "told",
  acknowledge: "acknowledged",
  unacknowledge: "un-acknowledged",
  take: "taken over",
  resolve: "resolved",
  comment: "comment",
  note: "note",
};

const TONES: Readonly<Record<string, string>> = {
  opened: "red",
  nobody: "red",
  exhausted: "red",
  unacknowledge: "red",
  acknowledge: "amber",
  take: "amber",
  resolve: "green",
};

export function Timeline({ entries, now }: { readonly entries: readonly TimelineEntry[]; readonly now: number }) {
  return (
    <ol class="timeline-list" data-testid="timeline">
      {entries.map((entry) => {
        const answer = entry.data["answer"];
        return (
          <li key={entry.number} class={`happening happening-${entry.kind}`} data-kind={entry.kind} data-testid="timeline-entry">
            <time class="happening-time">{formatMoment(entry.at_ms, now)}</time>
            <span class={`happening-mark mark-${TONES[entry.kind] ?? "plain"}`} aria-hidden="true" />
            <div class="happening-body">
              <b>{WORDS[entry.kind] ?? entry.kind}</b>
              {entry.who !== "" && ` by ${entry.who}`}
              {entry.via !== "" && <span class="faint"> ({entry.via})</span>}
              {entry.text !== "" && <p class="happening-text">{entry.text}</p>}
              {typeof answer === "string" && answer !== "" && <p class="faint happening-text">answer: {answer}</p>}
            </div>
          </li>
        );
      })}
    </ol>
  );
}

const OUTCOMES: Readonly<Record<string, [string, string]>> = {
  delivered: ["green", "delivered"],
  pending: ["amber", "on its way"],
  failed: ["red", "failed"],
  skipped: ["plain", "not needed"],
  cancelled: ["plain", "cancelled"],
};

export function ToldTable({ pages, now }: { readonly pages: readonly Told[]; readonly now: number }) {
  return (
    <table class="data cards">
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">What</th>
          <th scope="col">Whom</th>
          <th scope="col">Delivery</th>
          <th scope="col">Answer</th>
        </tr>
      </thead>
      <tbody>
        {pages.map((page) => {
          const [tone, text] = OUTCOMES[page.outcome] ?? ["plain", page.outcome];
          return (
            <tr key={page.key} data-testid="told" data-outcome={page.outcome}>
              <td class="nowrap">{formatMoment(page.sent_ms ?? page.created_ms, now)}</td>
              <td>
                {page.kind} <span class="faint">{page.why}</span>
              </td>
              <td>
                {page.kind === "page" && page.person !== "" && <b>{page.person} </b>}
                {page.receiver} <span class="faint">{page.outlet}</span>
              </td>
              <td class="nowrap">
                <span class={`tag tag-${tone}`}>{text}</span>
                {page.attempts > 1 && <span class="faint"> {page.attempts} attempts</span>}
              </td>
              <td class="answer">{page.answer}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
