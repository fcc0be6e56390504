import assert from "node:assert/strict";
import { test } from "node:test";
import { conversation } from "../src/lib/genai.ts";
import { Colours, PALETTES } from "../src/lib/palette.ts";
import { changed, linkTo, parseHash, safeLink, toHash } from "../src/lib/route.ts";
import { isDuration, type TraceFilter, traceQuery } from "../src/lib/traceql.ts";
import { unevenRows } from "../src/lib/virtual.ts";

const FILTER: TraceFilter = { service: "", name: "", min: "", max: "", error: false, attributes: [], query: "" };

test("a place survives the way through the URL", () => {
  const hash = "#/logs?service=a&service=b&text=x+%26+y";
  assert.equal(toHash(parseHash(hash)), hash);
  assert.equal(parseHash("").path, "/");
});

test("a change replaces a parameter, and nothing takes it away", () => {
  const params = new URLSearchParams("a=1&b=2");
  assert.equal(changed(params, { a: ["3", "4"], b: null }).toString(), "a=3&a=4");
});

test("links to other pages keep the time range and nothing else", () => {
  const params = new URLSearchParams("from=now-1h&to=now&text=x");
  assert.equal(linkTo("/traces", params, { error: "1" }), "#/traces?from=now-1h&to=now&error=1");
});

test("only web addresses become links", () => {
  assert.equal(safeLink("https://example.org/a"), "https://example.org/a");
  assert.equal(safeLink("javascript:alert(1)"), null);
  assert.equal(safeLink("data:text/html,x"), null);
  assert.equal(safeLink("docs/runbooks/x.md"), null);
});

test("a search form becomes TraceQL", () => {
  assert.equal(traceQuery(FILTER), "{}");
  const filter = { ...FILTER, service: "a\"b", min: "1.5s", max: "oops", error: true, attributes: ["http.route=/x", "span.n=7"] };
  assert.equal(traceQuery(filter), '{ resource.service.name="a\\"b" && traceDuration>=1.5s && status=error && .http.route="/x" && span.n=7 }');
  assert.equal(traceQuery({ ...filter, query: "{ x }" }), "{ x }");
});

test("a duration needs a unit", () => {
  assert.ok(isDuration("250ms"));
  assert.ok(!isDuration("250"));
});

test("opened rows push the others down", () => {
  const rows = unevenRows(10, 20, new Map([[2, 100], [5, 50]]));
  assert.deepEqual([0, 40, 160, 200, 270, 350], [0, 2, 3, 5, 6, 10].map(rows.topOf));
  assert.deepEqual([2, 2, 3, 5], [40, 159, 160, 210].map(rows.indexAt));
  assert.equal(rows.total, 350);
});

test("a series keeps its colour as others come and go, and failure is red", () => {
  const colours = new Colours();
  const palette = PALETTES.dark;
  colours.learn(["b", "failure"]);
  const before = colours.of("b", palette);
  colours.learn(["a", "b"]);
  assert.equal(colours.of("b", palette), before);
  assert.notEqual(colours.of("a", palette), before);
  assert.equal(colours.of("failure", palette), palette.red);
});

test("messages are read in the shapes that instrumentations write", () => {
  const messages = conversation({
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","content":"hello"},{"role":"assistant","parts":[{"type":"tool_call","name":"add","arguments":{"a":1}}]}]',
  });
  assert.deepEqual(messages, [
    { role: "user", text: "hi" },
    { role: "assistant", text: "hello" },
    { role: "assistant", text: '→ add({"a":1})' },
  ]);
  assert.deepEqual(conversation({ "gen_ai.input.messages": "plain" }), [{ role: "user", text: "plain" }]);
});
