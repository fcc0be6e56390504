/** The banner that rule files cannot be loaded. */

import { status } from "../../api/own.ts";
import { useAsked } from "../../state/asked.ts";

export function RuleErrors({ now }: { readonly now: number }) {
  const minute = Math.floor(now / 15_000);
  const { data } = useAsked(status, [minute]);
  const files = Object.entries(data?.rule_errors ?? {});
  if (files.length === 0) return null;
  return (
    <div class="notice notice-red rule-errors" role="alert" data-testid="rule-errors">
      <strong>
        {files.length === 1 ? "A rule file" : `${files.length} rule files`} cannot be loaded; the rules from before go on.
      </strong>
      {files.map(([file, message]) => (
        <p key={file}>
          {!message.startsWith(file) && <code>{file} </code>}
          {message}
        </p>
      ))}
    </div>
  );
}
