/** Loki's answers as lines, and LogQL put together from a form. */

import { escapeQuoted, escapeRegex } from "./interpolate.ts";

export interface LogLine {
  /** Unique among the lines shown. */
  readonly key: string;
  /** Nanoseconds since 1970, too large for a number. */
  readonly ns: string;
  readonly ms: number;
  readonly text: string;
  readonly level: Level;
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Every label and field, the line itself left out. */
  readonly fields: Readonly<Record<string, string>>;
}

export type Level = "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "unknown";

export const LEVELS: readonly Level[] = [
  "fatal",
  "error",
  "warn",
  "info",
  "debug",
  "trace",
  "unknown",
];

const ALIASES: Record<string, Level> = {
  warning: "warn",
  err: "error",
  critical: "fatal",
  crit: "fatal",
  panic: "fatal",
  notice: "info",
  information: "info",
};

export function levelOf(text: string): Level {
  const name = text.toLowerCase();
  if ((LEVELS as readonly string[]).includes(name)) return name as Level;
  return ALIASES[name] ?? "unknown";
}

export interface LokiStream {
  readonly stream: Record<string, string>;
  readonly values: readonly (readonly [string, string, LokiExtra?])[];
}

interface LokiExtra {
  readonly structuredMetadata?: Record<string, string>;
  readonly parsed?: Record<string, string>;
}

/** Streams as lines, newest first; fields come from the stream's labels, the line or both. */
export function toLines(streams: readonly LokiStream[]): LogLine[] {
  const lines: LogLine[] = [];
  const seen = new Map<string, number>();
  for (const { stream, values } of streams) {
    for (const [ns, text, extra] of values) {
      const fields = { ...extra?.structuredMetadata, ...stream, ...extra?.parsed };
      const base = `${ns}/${fields["log_record_uid"] ?? `${fields["service_name"]}/${text}`}`;
      const count = seen.get(base) ?? 0;
      seen.set(base, count + 1);
      lines.push({
        key: count === 0 ? base : `${base}#${count}`,
        ns,
        ms: Number(ns.slice(0, -6)) + Number(ns.slice(-6)) / 1e6,
        text,
        level: levelOf(fields["level"] ?? fields["detected_level"] ?? fields["severity_text"] ?? ""),
        service: fields["service_name"] ?? fields["service"] ?? fields["job"] ?? "",
        traceId: fields["trace_id"] ?? "",
        spanId: fields["span_id"] ?? "",
        fields,
      });
    }
  }
  return lines.sort((a, b) => compareNs(b.ns, a.ns));
}

export function compareNs(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** The nanosecond after this one. */
export function nextNs(ns: string): string {
  return String(BigInt(ns) + 1n);
}

/** Newest first, without lines that are there already, at most `most`. */
export function mergeLines(
  known: readonly LogLine[],
  fresh: readonly LogLine[],
  most: number,
): LogLine[] {
  const keys = new Set(known.map((line) => line.key));
  const added = fresh.filter((line) => !keys.has(line.key));
  if (added.length === 0) return known as LogLine[];
  return [...added, ...known].sort((a, b) => compareNs(b.ns, a.ns)).slice(0, most);
}

export interface LogFilter {
  readonly services: readonly string[];
  readonly levels: readonly string[];
  readonly text: string;
  readonly trace: string;
  /** `name=value` pairs that fields must have. */
  readonly fields: readonly string[];
  /** LogQL that stands instead of everything above. */
  readonly query: string;
}

function oneOf(label: string, values: readonly string[]): string {
  if (values.length === 1) return `${label}="${escapeQuoted(values[0] as string)}"`;
  return `${label}=~"${escapeQuoted(values.map(escapeRegex).join("|"))}"`;
}

/** The LogQL of a filter. */
export function logQuery(filter: LogFilter): string {
  if (filter.query.trim() !== "") return filter.query.trim();
  const matchers = [
    filter.services.length > 0 ? oneOf("service_name", filter.services) : `service_name=~".+"`,
  ];
  if (filter.levels.length > 0) matchers.push(oneOf("level", filter.levels));
  let query = `{${matchers.join(", ")}}`;
  const text = filter.text.trim();
  if (text !== "") query += ` |~ "(?i)${escapeQuoted(escapeRegex(text))}"`;
  if (filter.trace !== "") query += ` | trace_id="${escapeQuoted(filter.trace)}"`;
  for (const pair of filter.fields) {
    const [name, value] = splitPair(pair);
    if (name !== "") query += ` | ${fieldName(name)}="${escapeQuoted(value)}"`;
  }
  return query;
}

export function splitPair(pair: string): [string, string] {
  const at = pair.indexOf("=");
  return at < 0 ? [pair.trim(), ""] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
}

/** A field's name as a label: what is neither letter nor digit becomes an underscore. */
export function fieldName(name: string): string {
  return name.replace(/\W/g, "_");
}

/** How many lines of each level there were in each step. */
export function volumeQuery(query: string, step: number): string {
  return `sum by (level) (count_over_time(${query} [${step}s]))`;
}

const QUIET = new Set([
  "level",
  "detected_level",
  "service_name",
  "trace_id",
  "span_id",
  "trace_flags",
  "flags",
  "event_name",
  "severity_text",
  "severity_number",
  "observed_timestamp",
  "scope_name",
  "logger",
  "log_record_uid",
]);
const QUIET_PREFIX =
  /^(service_|telemetry_|process_|host_|deployment_|os_|container_|k8s_|cloud_|exception_stacktrace|code_)/;

const FIRST = [
  "http_request_method", "http_route", "url_path", "http_response_status_code", "gen_ai_agent_name",
  "gen_ai_request_model", "gen_ai_tool_name", "job_name", "job_outcome", "pipeline_name",
  "pipeline_stage", "auth_outcome", "auth_reason", "exception_type", "exception_message",
  "error_type",
];
const LAST = ["client_address", "request_id", "user_agent_original"];

function rank(name: string): number {
  const first = FIRST.indexOf(name);
  return first >= 0 ? first : LAST.includes(name) ? 999 : 99;
}

/** The fields worth a place beside the line, the most telling first. */
export function inlineFields(line: LogLine): [string, string][] {
  return Object.entries(line.fields)
    .filter(([name, value]) => value !== "" && !QUIET.has(name) && !QUIET_PREFIX.test(name))
    .sort(([a], [b]) => rank(a) - rank(b));
}

// What a terminal would act on has no business in a page either.
const CONTROL = /\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** The line without terminal escapes and control characters. */
export function cleanText(text: string): string {
  return text.replace(CONTROL, "");
}
