/** TraceQL put together from the search form. */

import { escapeQuoted } from "./interpolate.ts";
import { splitPair } from "./logs.ts";

export interface TraceFilter {
  readonly service: string;
  readonly name: string;
  /** As typed: `150ms`, `2s`. */
  readonly min: string;
  readonly max: string;
  readonly error: boolean;
  /** `key=value` pairs. */
  readonly attributes: readonly string[];
  /** TraceQL that stands instead of everything above. */
  readonly query: string;
}

/** Whether the text is a duration that TraceQL knows. */
export function isDuration(text: string): boolean {
  return /^\d+(\.\d+)?(ns|us|µs|ms|s|m|h)$/.test(text);
}

function literal(value: string): string {
  if (/^-?\d+(\.\d+)?$/.test(value) || value === "true" || value === "false") return value;
  return `"${escapeQuoted(value)}"`;
}

function attributeName(name: string): string {
  if (/^(span|resource|event|link)\./.test(name) || name.startsWith(".")) return name;
  return `.${name}`;
}

/** The TraceQL of a filter. */
export function traceQuery(filter: TraceFilter): string {
  if (filter.query.trim() !== "") return filter.query.trim();
  const tests: string[] = [];
  if (filter.service !== "") tests.push(`resource.service.name="${escapeQuoted(filter.service)}"`);
  if (filter.name !== "") tests.push(`name="${escapeQuoted(filter.name)}"`);
  if (isDuration(filter.min)) tests.push(`traceDuration>=${filter.min}`);
  if (isDuration(filter.max)) tests.push(`traceDuration<=${filter.max}`);
  if (filter.error) tests.push("status=error");
  for (const pair of filter.attributes) {
    const [name, value] = splitPair(pair);
    if (name !== "") tests.push(`${attributeName(name)}=${literal(value)}`);
  }
  return tests.length === 0 ? "{}" : `{ ${tests.join(" && ")} }`;
}
