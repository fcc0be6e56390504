import assert from "node:assert/strict";
import { test } from "node:test";
import { hexId, parseTrace, type Span } from "../src/lib/otlp.ts";
import { buildTree, criticalPath, spanMatches, totals, visibleRows } from "../src/lib/tracetree.ts";

function span(id: string, parent: string, start: number, duration: number, more: Partial<Span> = {}): Span {
  return {
    id, parent, name: id, kind: "", service: "api", scope: "", start, duration, error: false, statusMessage: "",
    attributes: {}, resource: {}, events: [], links: [], ...more,
  };
}

test("ids come as hex or base64 and leave as hex", () => {
  assert.equal(hexId("00f067aa0ba902b7"), "00f067aa0ba902b7");
  assert.equal(hexId("APBnqgupArc="), "00f067aa0ba902b7");
  assert.equal(hexId("Evd94AFPYf8BGlKI+1j7Gg=="), "12f77de0014f61ff011a5288fb58fb1a");
  assert.equal(hexId(undefined), "");
});

const SPAN = {
  traceId: "12f77de0014f61ff011a5288fb58fb1a",
  spanId: "APBnqgupArc=",
  name: "GET /",
  kind: "SPAN_KIND_SERVER",
  startTimeUnixNano: "1800000000000000100",
  endTimeUnixNano: "1800000000000000350",
  attributes: [
    { key: "a", value: { stringValue: "x" } },
    { key: "n", value: { intValue: "7" } },
    { key: "big", value: { intValue: "9007199254740993" } },
    { key: "list", value: { arrayValue: { values: [{ doubleValue: 0.5 }, { boolValue: true }] } } },
  ],
  status: { code: "STATUS_CODE_ERROR", message: "no" },
};
const GROUPS = [
  { resource: { attributes: [{ key: "service.name", value: { stringValue: "api" } }] }, scopeSpans: [{ scope: { name: "s" }, spans: [SPAN] }] },
];

test("both forms of a trace are read, to the nanosecond", () => {
  for (const body of [{ batches: GROUPS }, { trace: { resourceSpans: GROUPS } }]) {
    const trace = parseTrace("t", body);
    const only = trace?.spans[0];
    assert.equal(only?.duration, 250);
    assert.equal(only?.start, 0);
    assert.equal(only?.kind, "server");
    assert.equal(only?.service, "api");
    assert.equal(only?.error, true);
    assert.deepEqual(only?.attributes, { a: "x", n: 7, big: "9007199254740993", list: [0.5, true] });
  }
});

test("a trace without spans is none", () => {
  assert.equal(parseTrace("t", { batches: [] }), null);
  assert.equal(parseTrace("t", null), null);
});

test("children hang below their parents in order of their start; orphans are roots", () => {
  const roots = buildTree([span("c", "a", 5, 1), span("a", "", 0, 10), span("b", "a", 2, 1), span("x", "gone", 1, 1)]);
  assert.deepEqual(["a", "x"], roots.map((node) => node.span.id));
  assert.deepEqual(["b", "c"], roots[0]?.children.map((node) => node.span.id));
  assert.equal(roots[0]?.below, 2);
});

test("a span sent twice appears once, and a ring of parents is cut", () => {
  assert.equal(buildTree([span("a", "", 0, 1), span("a", "", 0, 1)]).length, 1);
  const roots = buildTree([span("a", "b", 0, 1), span("b", "a", 1, 1), span("me", "me", 2, 1)]);
  assert.deepEqual(["a", "b", "me"], visibleRows(roots, new Set()).map((node) => node.span.id));
});

test("an error below marks every span above", () => {
  const roots = buildTree([span("a", "", 0, 9), span("b", "a", 0, 5), span("c", "b", 0, 1, { error: true })]);
  assert.equal(roots[0]?.troubled, true);
});

test("what is folded is not shown", () => {
  const roots = buildTree([span("a", "", 0, 9), span("b", "a", 0, 5), span("c", "b", 0, 1), span("d", "a", 6, 1)]);
  assert.deepEqual(["a", "b", "d"], visibleRows(roots, new Set(["b"])).map((node) => node.span.id));
});

test("the critical path goes back through what was waited for last", () => {
  const roots = buildTree([span("root", "", 0, 100), span("fast", "root", 10, 20), span("slow", "root", 10, 60), span("last", "root", 75, 20)]);
  const path = criticalPath(roots);
  assert.deepEqual(path.get("root"), [{ start: 95, end: 100 }, { start: 70, end: 75 }, { start: 0, end: 10 }]);
  assert.deepEqual(path.get("slow"), [{ start: 10, end: 70 }]);
  assert.deepEqual(path.get("last"), [{ start: 75, end: 95 }]);
  assert.equal(path.has("fast"), false);
});

test("work that outlives its parent is not on the path", () => {
  const path = criticalPath(buildTree([span("root", "", 0, 10), span("job", "root", 9, 50)]));
  assert.equal(path.has("job"), false);
});

test("ten thousand nested spans neither overflow nor take long", () => {
  const spans = Array.from({ length: 10_000 }, (_, at) => span(`s${at}`, at === 0 ? "" : `s${at - 1}`, at, 20_000 - at));
  const began = performance.now();
  assert.equal(visibleRows(buildTree(spans), new Set()).length, 10_000);
  criticalPath(buildTree(spans));
  assert.ok(performance.now() - began < 2_000);
});

test("tokens and cost are added over the LLM calls alone", () => {
  const call = { "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "llm.cost_usd": 0.25 };
  const run = { "gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 200, "llm.cost_usd": 0.5 };
  const spans = [span("r", "", 0, 9, { attributes: run }), span("a", "r", 0, 1, { attributes: call }), span("b", "r", 2, 1, { attributes: call })];
  const sums = totals({ id: "t", startMs: 0, duration: 9, spans });
  assert.deepEqual([2, 200, 0.5], [sums.llmCalls, sums.inputTokens, sums.costUsd]);
});

test("a search looks at names, services and attributes", () => {
  const one = span("a", "", 0, 1, { name: "GET /Users", attributes: { "db.query.text": "SELECT 1", n: 7 } });
  assert.ok(spanMatches(one, "users"));
  assert.ok(spanMatches(one, "select"));
  assert.ok(spanMatches(one, "7"));
  assert.ok(!spanMatches(one, "nothing"));
});
