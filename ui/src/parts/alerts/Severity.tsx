/** The severity of an alert. */

const TONES: Readonly<Record<string, string>> = { page: "red", critical: "red", ticket: "amber", warning: "amber" };

export function Severity({ name }: { readonly name: string }) {
  if (name === "") return null;
  return <span class={`tag tag-${TONES[name] ?? "plain"}`}>{name}</span>;
}
