/** OTLP JSON of one trace, as Tempo answers it, into flat spans. */

export type Value = string | number | boolean | null | Value[] | { [key: string]: Value };
export type Attributes = Record<string, Value>;

export interface SpanEvent {
  readonly name: string;
  /** Nanoseconds since the trace's start. */
  readonly at: number;
  readonly attributes: Attributes;
}

export interface SpanLink {
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Attributes;
}

export interface Span {
  readonly id: string;
  readonly parent: string;
  readonly name: string;
  readonly kind: string;
  readonly service: string;
  readonly scope: string;
  /** Nanoseconds since the trace's start. */
  readonly start: number;
  /** Nanoseconds. */
  readonly duration: number;
  readonly error: boolean;
  readonly statusMessage: string;
  readonly attributes: Attributes;
  readonly resource: Attributes;
  readonly events: readonly SpanEvent[];
  readonly links: readonly SpanLink[];
}

export interface Trace {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  /** Nanoseconds. */
  readonly duration: number;
  readonly spans: readonly Span[];
}

type Json = Record<string, unknown>;

const KINDS = ["", "internal", "server", "client", "producer", "consumer"];

function records(value: unknown): Json[] {
  return Array.isArray(value) ? (value as Json[]) : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : value === undefined ? "" : String(value);
}

/** An id as lower-case hex; OTLP JSON uses hex, protobuf's own JSON form base64. */
export function hexId(value: unknown): string {
  const id = text(value);
  if (/^[0-9a-f]*$/i.test(id) && (id.length === 16 || id.length === 32)) return id.toLowerCase();
  try {
    return Array.from(atob(id), (char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  } catch {
    return id;
  }
}

/** Nanoseconds between two moments that are too large for a double. */
function since(origin: bigint, at: unknown): number {
  return Number(nanos(at) - origin);
}

function nanos(value: unknown): bigint {
  try {
    return BigInt(text(value) || "0");
  } catch {
    return 0n;
  }
}

function anyValue(value: unknown): Value {
  const box = (value ?? {}) as Json;
  if ("stringValue" in box) return text(box["stringValue"]);
  if ("boolValue" in box) return box["boolValue"] === true;
  if ("intValue" in box) {
    const whole = Number(box["intValue"]);
    return Number.isSafeInteger(whole) ? whole : text(box["intValue"]);
  }
  if ("doubleValue" in box) return Number(box["doubleValue"]);
  if ("bytesValue" in box) return text(box["bytesValue"]);
  if ("arrayValue" in box) return records((box["arrayValue"] as Json)?.["values"]).map(anyValue);
  if ("kvlistValue" in box) return attributes((box["kvlistValue"] as Json)?.["values"]);
  return null;
}

function attributes(value: unknown): Attributes {
  const found: Attributes = {};
  for (const pair of records(value)) found[text(pair["key"])] = anyValue(pair["value"]);
  return found;
}

function kind(value: unknown): string {
  if (typeof value === "number") return KINDS[value] ?? "";
  return text(value).replace("SPAN_KIND_", "").replace("UNSPECIFIED", "").toLowerCase();
}

function failed(status: Json): boolean {
  return status["code"] === 2 || status["code"] === "STATUS_CODE_ERROR";
}

interface Raw {
  readonly span: Json;
  readonly resource: Attributes;
  readonly scope: string;
}

function flatten(body: Json): Raw[] {
  const trace = (body["trace"] ?? body) as Json;
  const found: Raw[] = [];
  for (const batch of records(trace["resourceSpans"] ?? trace["batches"])) {
    const resource = attributes((batch["resource"] as Json | undefined)?.["attributes"]);
    for (const group of records(batch["scopeSpans"] ?? batch["instrumentationLibrarySpans"])) {
      const scope = text((group["scope"] as Json | undefined)?.["name"]);
      for (const span of records(group["spans"])) found.push({ span, resource, scope });
    }
  }
  return found;
}

function toSpan({ span, resource, scope }: Raw, origin: bigint): Span {
  const start = since(origin, span["startTimeUnixNano"]);
  const end = since(origin, span["endTimeUnixNano"]);
  const status = (span["status"] ?? {}) as Json;
  return {
    id: hexId(span["spanId"]),
    parent: hexId(span["parentSpanId"]).replace(/^0+$/, ""),
    name: text(span["name"]),
    kind: kind(span["kind"]),
    service: text(resource["service.name"] ?? "unknown"),
    scope,
    start,
    duration: Math.max(0, end - start),
    error: failed(status),
    statusMessage: text(status["message"]),
    attributes: attributes(span["attributes"]),
    resource,
    events: records(span["events"]).map((event) => ({
      name: text(event["name"]),
      at: since(origin, event["timeUnixNano"]),
      attributes: attributes(event["attributes"]),
    })),
    links: records(span["links"]).map((link) => ({
      traceId: hexId(link["traceId"]),
      spanId: hexId(link["spanId"]),
      attributes: attributes(link["attributes"]),
    })),
  };
}

/** Read a trace; null if it holds no span. */
export function parseTrace(id: string, body: unknown): Trace | null {
  const raw = flatten((body ?? {}) as Json);
  if (raw.length === 0) return null;
  let origin = nanos(raw[0]?.span["startTimeUnixNano"]);
  for (const { span } of raw) {
    const start = nanos(span["startTimeUnixNano"]);
    if (start < origin) origin = start;
  }
  const spans = raw.map((each) => toSpan(each, origin));
  let duration = 1;
  for (const span of spans) duration = Math.max(duration, span.start + span.duration);
  return { id, startMs: Number(origin / 1000n) / 1000, duration, spans };
}

/** A value as one line of text. */
export function valueText(value: Value): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
