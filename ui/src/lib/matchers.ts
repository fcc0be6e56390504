/** Conditions on labels, written as Alertmanager does: `{alertname="X", instance=~"a.*"}`. */

export const OPS = ["=", "!=", "=~", "!~"] as const;
export type Op = (typeof OPS)[number];

export interface Matcher {
  readonly name: string;
  readonly op: Op;
  readonly value: string;
}

/** The text is not a list of matchers. */
export class MatcherSyntaxError extends Error {}

const SIMPLE_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"`;
const ONE = new RegExp(String.raw`\s*(${QUOTED}|[^\s"{}=!~,]+)\s*(=~|!~|!=|=)\s*(${QUOTED}|[^,{}"]*)\s*(?:,|$)`, "sy");

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text.trim();
  return text.slice(1, -1).replace(/\\(.)/gs, (_, char: string) => (char === "n" ? "\n" : char));
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;
}

/** Read a list with or without braces; throws MatcherSyntaxError. */
export function parseMatchers(text: string): Matcher[] {
  const inner = text.trim().replace(/^\{(.*)\}$/s, "$1").trim();
  const found: Matcher[] = [];
  ONE.lastIndex = 0;
  while (ONE.lastIndex < inner.length) {
    const at = ONE.lastIndex;
    const one = ONE.exec(inner);
    if (!one) {
      throw new MatcherSyntaxError(
        `“${inner.slice(at).trim()}” is not a matcher. Write name="value", with =, !=, =~ or !~.`,
      );
    }
    const [, name = "", op = "=", value = ""] = one;
    found.push({ name: unquoted(name), op: op as Op, value: unquoted(value) });
  }
  return found;
}

/** One matcher as the API's `filter` takes it. */
export function matcherText({ name, op, value }: Matcher): string {
  return `${SIMPLE_NAME.test(name) ? name : quoted(name)}${op}${quoted(value)}`;
}

/** The `filter` parameters of an address, one matcher each; what cannot be read stays as it is. */
export function filtersOf(texts: readonly string[]): string[] {
  return texts.flatMap((text) => {
    try {
      return parseMatchers(text).map(matcherText);
    } catch {
      return [text];
    }
  });
}

/** Matchers that exactly these labels fulfil, the alert's name first. */
export function matchersFor(labels: Readonly<Record<string, string>>): Matcher[] {
  return labelNames(labels).map((name) => ({ name, op: "=", value: labels[name] as string }));
}

/** Names of labels in the order of reading. */
export function labelNames(labels: Readonly<Record<string, string>>): string[] {
  const rank = (name: string): number => (name === "alertname" ? 0 : name === "severity" ? 1 : 2);
  return Object.keys(labels).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
