import assert from "node:assert/strict";
import { test } from "node:test";
import { axisLabels, formatAge, formatValue } from "../src/lib/format.ts";

test("a duration is shown in the unit that leaves three digits", () => {
  assert.equal(formatValue(0.0123, "s"), "12.3 ms");
  assert.equal(formatValue(1.5, "s"), "1.5 s");
  assert.equal(formatValue(0.00000042, "s"), "420 ns");
  assert.equal(formatValue(90, "s"), "1.5 min");
  assert.equal(formatValue(7200, "s"), "2 h");
});

test("bytes count in powers of 1024", () => {
  assert.equal(formatValue(1536, "bytes"), "1.5 KiB");
  assert.equal(formatValue(180 * 1024 ** 2, "bytes"), "180 MiB");
});

test("a ratio is shown as a percentage", () => {
  assert.equal(formatValue(0.0512, "percentunit"), "5.12 %");
  assert.equal(formatValue(0, "percentunit"), "0 %");
  assert.equal(formatValue(1, "percentunit"), "100 %");
});

test("a small price keeps its digits whatever number of decimals was asked for", () => {
  assert.equal(formatValue(0.0042, "usd", 2), "$0.0042");
  assert.equal(formatValue(12.345, "usd", 2), "$12.35");
  assert.equal(formatValue(0, "usd", 2), "$0.00");
});

test("large counts are cut to thousands, millions and so on", () => {
  assert.equal(formatValue(1812, "tokens"), "1.81k");
  assert.equal(formatValue(2_500_000, "short"), "2.5M");
  assert.equal(formatValue(12, "reqps"), "12 req/s");
});

test("what is no number is shown as such", () => {
  assert.equal(formatValue(NaN, "s"), "–");
  assert.equal(formatValue(Infinity, "s"), "∞");
  assert.equal(formatValue(-2, "short"), "−2");
});

test("a value that rounds up to the next unit is shown in that unit", () => {
  assert.equal(formatValue(0.99999, "s"), "1 s");
});

test("the labels of an axis share one unit and can be told apart", () => {
  assert.deepEqual(axisLabels([0, 0.025, 0.05], "percentunit"), ["0", "2.5 %", "5 %"]);
  assert.deepEqual(axisLabels([0, 0.2, 0.4], "s"), ["0", "200 ms", "400 ms"]);
  assert.deepEqual(axisLabels([0, 0.5, 1], "short"), ["0", "0.5", "1.0"]);
  assert.deepEqual(axisLabels([0, 20, 40, 60], "s"), ["0", "20 s", "40 s", "60 s"]);
  assert.deepEqual(axisLabels([0, 60, 120], "s"), ["0", "1 min", "2 min"]);
});

test("an age is said in two units at most", () => {
  assert.equal(formatAge(0), "0 s");
  assert.equal(formatAge(43_000), "43 s");
  assert.equal(formatAge(7_500_000), "2 h 5 min");
  assert.equal(formatAge(86_400_000 * 3), "3 d");
});
