import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanText, inlineFields, levelOf, logQuery, mergeLines, nextNs, toLines, type LogFilter } from "../src/lib/logs.ts";

const FILTER: LogFilter = { services: [], levels: [], text: "", trace: "", fields: [], query: "" };

test("no filter asks for every service", () => {
  assert.equal(logQuery(FILTER), '{service_name=~".+"}');
});

test("a filter becomes a selector, a text and labels", () => {
  const filter = { ...FILTER, services: ["api", "a.b"], levels: ["error"], text: 'a "b" (c)', trace: "ab12", fields: ["user.id=7"] };
  assert.equal(
    logQuery(filter),
    '{service_name=~"api|a\\\\.b", level="error"} |~ "(?i)a \\"b\\" \\\\(c\\\\)" | trace_id="ab12" | user_id="7"',
  );
});

test("LogQL stands instead of the filter", () => {
  assert.equal(logQuery({ ...FILTER, services: ["api"], query: " {job=\"x\"} " }), '{job="x"}');
});

test("fields come from the stream, the line, or both; newest first", () => {
  const lines = toLines([
    { stream: { service_name: "api", level: "warning" }, values: [["1800000000000000001", "old", { structuredMetadata: { trace_id: "ab" } }], ["1800000000000000002", "new"]] },
    { stream: { service_name: "api", severity_text: "ERROR", trace_id: "cd" }, values: [["1800000000000000001", "merged"]] },
  ]);
  assert.deepEqual(["new", "old", "merged"], lines.map(({ text }) => text));
  assert.deepEqual(["warn", "warn", "error"], lines.map(({ level }) => level));
  assert.deepEqual(["", "ab", "cd"], lines.map(({ traceId }) => traceId));
});

test("lines that come again are not shown again, and no more than allowed are held", () => {
  const stream = (from: number, to: number) =>
    toLines([{ stream: {}, values: Array.from({ length: to - from }, (_, at) => [String(1_000_000_000_000 + from + at), `line ${from + at}`] as const) }]);
  const merged = mergeLines(stream(0, 5), stream(3, 8), 6);
  assert.deepEqual(["line 7", "line 6", "line 5", "line 4", "line 3", "line 2"], merged.map(({ text }) => text));
});

test("equal lines of one nanosecond stay apart", () => {
  const lines = toLines([{ stream: {}, values: [["1000000", "x"], ["1000000", "x"]] }]);
  assert.equal(new Set(lines.map(({ key }) => key)).size, 2);
});

test("nanoseconds are counted exactly", () => {
  assert.equal(nextNs("1800000000000000001"), "1800000000000000002");
});

test("levels have many names", () => {
  assert.equal(levelOf("WARNING"), "warn");
  assert.equal(levelOf("critical"), "fatal");
  assert.equal(levelOf(""), "unknown");
});

test("terminal escapes and control characters are taken out", () => {
  assert.equal(cleanText("\u001b[31mred\u001b[0m\u0000 x\ty\n"), "red x\ty\n");
});

test("fields of the process have no place beside the line", () => {
  const [line] = toLines([{ stream: { service_name: "api", process_pid: "1", http_route: "/x" }, values: [["1000000", "x"]] }]);
  assert.deepEqual(line && inlineFields(line), [["http_route", "/x"]]);
});
