/** What stands where data would be. */

import type { ComponentChildren } from "preact";
import { refreshNow } from "../state/live.ts";

export function Loading({ what = "Loading" }: { readonly what?: string }) {
  return (
    <div class="state state-loading" role="status">
      <span class="pulse" />
      {what}…
    </div>
  );
}

interface EmptyProps {
  readonly title: string;
  readonly children?: ComponentChildren;
}

export function Empty({ title, children }: EmptyProps) {
  return (
    <div class="state state-empty" data-testid="empty">
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Failure({ message }: { readonly message: string }) {
  return (
    <div class="state state-error" role="alert" data-testid="error">
      <strong>This could not be loaded</strong>
      <span class="state-message">{message}</span>
      <button type="button" class="button" onClick={refreshNow}>
        Try again
      </button>
    </div>
  );
}
