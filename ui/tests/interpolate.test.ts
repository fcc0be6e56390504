import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL, interpolate, labelSet, legendFor, parseLabelValues, pattern, used } from "../src/lib/interpolate.ts";

const BUILTINS = { rateInterval: 20, range: 900 };

test("all values are any text", () => {
  assert.equal(pattern([ALL]), ".*");
  assert.equal(pattern([]), ".*");
});

test("several values are joined, and none of their characters acts as a pattern", () => {
  assert.equal(pattern(["api", "worker"]), "api|worker");
  assert.equal(pattern(["a.b", "c|d"]), "a\\\\.b|c\\\\|d");
});

test("a value cannot end the text that it is put into", () => {
  assert.equal(pattern(['x"} or up{job="']), 'x\\"\\\\} or up\\\\{job=\\"');
});

test("variables and the built-in windows are replaced", () => {
  const variables = new Map([["job", ["api"]]]);
  assert.equal(
    'rate(x{job=~"api"}[20s]) + increase(y[900s])',
    interpolate('rate(x{job=~"$job"}[$__rate_interval]) + increase(y[$__range])', variables, BUILTINS),
  );
  assert.equal("api", interpolate("${job}", variables, BUILTINS));
});

test("a dollar that names no variable stays", () => {
  assert.equal('{path=~"^/a$"}', interpolate('{path=~"^/a$"}', new Map(), BUILTINS));
  assert.equal("$other", interpolate("$other", new Map(), BUILTINS));
});

test("the variables of an expression are known", () => {
  assert.deepEqual(new Set(["job", "__range"]), used("a{x=~\"$job\"}[$__range]"));
});

test("label_values names a selector and a label", () => {
  assert.deepEqual(parseLabelValues("label_values(up, job)"), { selector: "up", label: "job" });
  assert.deepEqual(parseLabelValues('label_values(a{b=~"x,y"}, c)'), { selector: 'a{b=~"x,y"}', label: "c" });
  assert.deepEqual(parseLabelValues("label_values(job)"), { selector: "", label: "job" });
  assert.equal(parseLabelValues("up"), null);
});

test("a legend shows label values; one without any says so", () => {
  assert.equal(legendFor("{{method}} {{ code }}", { method: "GET", code: "200" }), "GET 200");
  assert.equal(legendFor("{{missing}}", {}), "(none)");
  assert.equal(legendFor("", { __name__: "up", job: "api" }), 'up{job="api"}');
  assert.equal(labelSet({}), "value");
});
