/** Variables in queries, and label names in legends. */

export const ALL = "$all";

export interface Builtins {
  /** Seconds. */
  readonly rateInterval: number;
  /** Seconds. */
  readonly range: number;
}

/** Escape what RE2 gives a meaning. */
export function escapeRegex(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}

/** Escape for a double-quoted PromQL, LogQL or TraceQL text. */
export function escapeQuoted(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

/** The pattern that stands for chosen values: `.*` for all of them. */
export function pattern(values: readonly string[]): string {
  if (values.length === 0 || values.includes(ALL)) return ".*";
  return escapeQuoted(values.map(escapeRegex).join("|"));
}

/**
 * Put values in place of `$name` and `${name}`. Names that nobody declared stay, since a regular
 * expression may end in `$`.
 */
export function interpolate(
  expr: string,
  variables: ReadonlyMap<string, readonly string[]>,
  builtins: Builtins,
): string {
  return expr.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole: string, braced?: string, bare?: string) => {
    const name = (braced ?? bare) as string;
    if (name === "__rate_interval") return `${builtins.rateInterval}s`;
    if (name === "__range") return `${Math.max(1, Math.round(builtins.range))}s`;
    const values = variables.get(name);
    return values === undefined ? whole : pattern(values);
  });
}

/** Names of the variables that an expression uses. */
export function used(expr: string): Set<string> {
  const names = [...expr.matchAll(/\$(?:\{(\w+)\}|(\w+))/g)].map((match) => match[1] ?? match[2]);
  return new Set(names as string[]);
}

export interface LabelValues {
  readonly selector: string;
  readonly label: string;
}

/** The parts of `label_values(selector, label)` or `label_values(label)`; null if it is neither. */
export function parseLabelValues(query: string): LabelValues | null {
  const match = /^\s*label_values\(\s*(?:(.+),\s*)?([A-Za-z_]\w*)\s*\)\s*$/s.exec(query);
  if (!match) return null;
  return { selector: (match[1] ?? "").trim(), label: match[2] as string };
}

/** A series' name: `{{label}}` stands for its value; without a legend, the labels themselves. */
export function legendFor(template: string, labels: Readonly<Record<string, string>>): string {
  if (template === "") return labelSet(labels);
  const text = template.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, name: string) => labels[name] ?? "");
  const name = text.replace(/\s+/g, " ").trim();
  return name === "" ? "(none)" : name;
}

/** `name{a="b"}` as Prometheus writes it. */
export function labelSet(labels: Readonly<Record<string, string>>): string {
  const { __name__: name = "", ...others } = labels;
  const pairs = Object.keys(others)
    .sort()
    .map((key) => `${key}="${others[key]}"`);
  if (pairs.length === 0) return name === "" ? "value" : name;
  return `${name}{${pairs.join(", ")}}`;
}
