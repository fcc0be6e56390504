/** What to read about an alert: its runbook and its dashboard. */

import type { Labels } from "../../api/prometheus.ts";
import { safeLink } from "../../lib/route.ts";

/** A link to a page of this UI, written as an address that begins with `/#/`. */
function ownLink(address: string): string | null {
  return address.startsWith("/#/") ? address.slice(1) : null;
}

export function Links({ annotations }: { readonly annotations: Labels }) {
  const runbook = annotations["runbook_url"] ?? "";
  const board = annotations["dashboard_url"] ?? "";
  const runbookLink = ownLink(runbook) ?? safeLink(runbook);
  const boardLink = ownLink(board) ?? safeLink(board);
  if (runbook === "" && !boardLink) return null;
  return (
    <span class="alert-links">
      {runbookLink ? (
        <a href={runbookLink} target="_blank" rel="noreferrer noopener" data-testid="runbook">
          Runbook
        </a>
      ) : (
        runbook !== "" && (
          <span>
            Runbook <code>{runbook}</code>
          </span>
        )
      )}
      {boardLink && (
        <a href={boardLink} data-testid="alert-dashboard">
          Dashboard
        </a>
      )}
    </span>
  );
}

export function OtherAnnotations({ annotations }: { readonly annotations: Labels }) {
  const said = new Set(["summary", "description", "runbook_url", "dashboard_url"]);
  return (
    <>
      {Object.keys(annotations)
        .filter((name) => !said.has(name))
        .map((name) => (
          <p key={name}>
            <span class="faint">{name}</span> {annotations[name]}
          </p>
        ))}
    </>
  );
}
