/** A trace as a tree, and what can be read off it. */

import type { Span, Trace } from "./otlp.ts";

export interface Node {
  readonly span: Span;
  readonly children: Node[];
  depth: number;
  /** Spans below this one. */
  below: number;
  /** Whether this span or one below it failed. */
  troubled: boolean;
}

/**
 * Build the tree. Spans whose parent is missing become roots; of spans with the same id the first
 * stays; a ring of parents is cut.
 */
export function buildTree(spans: readonly Span[]): Node[] {
  const nodes = new Map<string, Node>();
  for (const span of spans) {
    if (nodes.has(span.id)) continue;
    nodes.set(span.id, { span, children: [], depth: 0, below: 0, troubled: span.error });
  }
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const parent = nodes.get(node.span.parent);
    if (parent && parent !== node && !inRing(node, nodes)) parent.children.push(node);
    else roots.push(node);
  }
  const byStart = (a: Node, b: Node): number =>
    a.span.start - b.span.start || b.span.duration - a.span.duration;
  roots.sort(byStart);
  const order = walk(roots, (node) => {
    node.children.sort(byStart);
    for (const child of node.children) child.depth = node.depth + 1;
  });
  for (const node of order.reverse()) {
    for (const child of node.children) {
      node.below += child.below + 1;
      node.troubled ||= child.troubled;
    }
  }
  return roots;
}

function inRing(node: Node, nodes: ReadonlyMap<string, Node>): boolean {
  // Only the member with the smallest id cuts its ring, so that the others keep their places.
  let smallest = node.span.id;
  let current = nodes.get(node.span.parent);
  for (let hops = 0; current && hops < 200; hops += 1) {
    if (current === node) return smallest === node.span.id;
    if (current.span.id < smallest) smallest = current.span.id;
    current = nodes.get(current.span.parent);
  }
  return false;
}

function walk(roots: readonly Node[], visit: (node: Node) => void): Node[] {
  const order: Node[] = [];
  const stack = [...roots].reverse();
  for (let node = stack.pop(); node; node = stack.pop()) {
    visit(node);
    order.push(node);
    for (let index = node.children.length - 1; index >= 0; index -= 1) {
      stack.push(node.children[index] as Node);
    }
  }
  return order;
}

/** The rows to show, in order, without what is below a collapsed span. */
export function visibleRows(roots: readonly Node[], collapsed: ReadonlySet<string>): Node[] {
  const rows: Node[] = [];
  const stack = [...roots].reverse();
  for (let node = stack.pop(); node; node = stack.pop()) {
    rows.push(node);
    if (collapsed.has(node.span.id)) continue;
    for (let index = node.children.length - 1; index >= 0; index -= 1) {
      stack.push(node.children[index] as Node);
    }
  }
  return rows;
}

/** A stretch of a span, in nanoseconds since the trace's start, that the whole had to wait for. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/**
 * The critical path of the longest root: walking back from its end, always into the child that
 * ended last. Returns the stretches on the path for each span id.
 */
export function criticalPath(roots: readonly Node[]): Map<string, Stretch[]> {
  const path = new Map<string, Stretch[]>();
  const add = (id: string, start: number, end: number): void => {
    if (end <= start) return;
    const stretches = path.get(id);
    if (stretches) stretches.push({ start, end });
    else path.set(id, [{ start, end }]);
  };
  const longest = roots.reduce<Node | null>(
    (best, node) => (best === null || node.span.duration > best.span.duration ? node : best),
    null,
  );
  if (!longest) return path;
  const tasks: { node: Node; until: number }[] = [{ node: longest, until: Infinity }];
  for (let task = tasks.pop(); task; task = tasks.pop()) {
    const { span, children } = task.node;
    let at = Math.min(task.until, span.start + span.duration);
    const ended = (node: Node): number => Math.min(node.span.start + node.span.duration, at);
    const waiting = children.filter((child) => child.span.start + child.span.duration <= at);
    waiting.sort((a, b) => ended(b) - ended(a));
    for (const child of waiting) {
      const end = child.span.start + child.span.duration;
      if (end > at || child.span.start < span.start) continue;
      add(span.id, end, at);
      tasks.push({ node: child, until: end });
      at = child.span.start;
    }
    add(span.id, span.start, at);
  }
  return path;
}

export interface Totals {
  readonly spans: number;
  readonly errors: number;
  readonly services: readonly string[];
  readonly llmCalls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costUsd: number | null;
}

/** Counts over all spans; tokens and cost are of the LLM calls, not of the runs around them. */
export function totals(trace: Trace): Totals {
  const services = new Map<string, number>();
  let errors = 0;
  let llmCalls = 0;
  let inputTokens = 0;
  let outputTokens = 0;
  let costUsd: number | null = null;
  for (const span of trace.spans) {
    services.set(span.service, (services.get(span.service) ?? 0) + 1);
    if (span.error) errors += 1;
    if (!isLlmCall(span)) continue;
    llmCalls += 1;
    inputTokens += numberOf(span, "gen_ai.usage.input_tokens") ?? 0;
    outputTokens += numberOf(span, "gen_ai.usage.output_tokens") ?? 0;
    const cost = numberOf(span, "llm.cost_usd");
    if (cost !== null) costUsd = (costUsd ?? 0) + cost;
  }
  return {
    spans: trace.spans.length,
    errors,
    services: [...services.keys()],
    llmCalls,
    inputTokens,
    outputTokens,
    costUsd,
  };
}

export function isGenAi(span: Span): boolean {
  return "gen_ai.operation.name" in span.attributes || "gen_ai.request.model" in span.attributes;
}

function isLlmCall(span: Span): boolean {
  const operation = span.attributes["gen_ai.operation.name"];
  return (
    isGenAi(span) &&
    operation !== "invoke_agent" &&
    operation !== "execute_tool" &&
    operation !== "create_agent"
  );
}

export function numberOf(span: Span, key: string): number | null {
  const value = span.attributes[key];
  return typeof value === "number" ? value : null;
}

/** Whether a span's name, service or attributes hold the text, upper and lower case alike. */
export function spanMatches(span: Span, needle: string): boolean {
  const wanted = needle.toLowerCase();
  const holds = (text: string): boolean => text.toLowerCase().includes(wanted);
  if (holds(span.name) || holds(span.service) || span.id.startsWith(wanted)) return true;
  return Object.entries(span.attributes).some(
    ([key, value]) =>
      holds(key) || holds(typeof value === "string" ? value : (JSON.stringify(value) ?? "")),
  );
}
