import assert from "node:assert/strict";
import { test } from "node:test";
import { reached, stacked, summary, toCsv, toFrame, valueLimits } from "../src/lib/frame.ts";

const RESULT = [
  {
    legend: "{{r}}",
    series: [
      { metric: { r: "b" }, values: [[10, "1"], [20, "2"]] as [number, string][] },
      { metric: { r: "a" }, values: [[10, "3"], [30, "NaN"]] as [number, string][] },
    ],
  },
];

test("points that are missing or no numbers are gaps", () => {
  const frame = toFrame(RESULT, 10, 30, 10);
  assert.deepEqual(frame.times, [10, 20, 30]);
  assert.deepEqual(
    frame.series.map(({ name, values }) => [name, values]),
    [["a", [3, null, null]], ["b", [1, 2, null]]],
  );
});

test("series without a single point are left out", () => {
  const empty = [{ legend: "", series: [{ metric: {}, values: [[10, "NaN"]] as [number, string][] }] }];
  assert.equal(toFrame(empty, 10, 30, 10).series.length, 0);
});

test("equal names are told apart", () => {
  const twice = [...RESULT, ...RESULT];
  assert.deepEqual(["a", "b", "a (2)", "b (2)"], toFrame(twice, 10, 30, 10).series.map(({ name }) => name));
});

test("a pile has a gap only where no series has a point", () => {
  const frame = toFrame(RESULT, 10, 30, 10);
  assert.deepEqual(stacked(frame, () => true), [[3, 0, null], [4, 2, null]]);
  assert.deepEqual(stacked(frame, (name) => name === "b"), [[0, 0, null], [1, 2, null]]);
});

test("a summary passes over gaps", () => {
  assert.deepEqual(summary([1, null, 5, 3, null]), { last: 3, max: 5, mean: 3 });
  assert.ok(Number.isNaN(summary([null]).last));
});

test("the value axis begins at 0 and shows a threshold that is near", () => {
  assert.equal(valueLimits(2, 10, [], false)[0], 0);
  assert.ok(valueLimits(2, 10, [12], false)[1] > 12);
  assert.ok(valueLimits(2, 10, [100], false)[1] < 12);
  assert.deepEqual(valueLimits(0.5, 1, [], true), [0, 1]);
  assert.deepEqual(valueLimits(null, null, [], false), [0, 1]);
});

test("the severest threshold that was reached counts", () => {
  const thresholds = [{ value: 1, severity: "warning" }, { value: 2, severity: "critical" }];
  assert.equal(reached(0.5, thresholds), null);
  assert.equal(reached(1, thresholds)?.severity, "warning");
  assert.equal(reached(9, thresholds)?.severity, "critical");
});

test("a name that looks like a formula is inert in CSV", () => {
  const frame = { times: [0], leftOut: 0, series: [{ name: '=HYPERLINK("x")', labels: {}, values: [1] }] };
  assert.equal(toCsv(frame).split("\n")[0], `time,"'=HYPERLINK(""x"")"`);
});
