import assert from "node:assert/strict";
import { test } from "node:test";
import { aligned, bounds, describe, durationMs, momentMs, rateInterval, shifted, stepFor, zoomedOut } from "../src/lib/timerange.ts";

const NOW = 1_800_000_000_000;

test("a relative range ends now", () => {
  assert.deepEqual(bounds({ from: "now-15m", to: "now" }, NOW), { start: NOW - 900_000, end: NOW });
});

test("an absolute range is taken as it is", () => {
  const range = { from: String(NOW - 5_000), to: String(NOW - 1_000) };
  assert.deepEqual(bounds(range, NOW), { start: NOW - 5_000, end: NOW - 1_000 });
});

test("a range that cannot be read becomes the default one", () => {
  const usual = { start: NOW - 900_000, end: NOW };
  assert.deepEqual(bounds({ from: "yesterday", to: "now" }, NOW), usual);
  assert.deepEqual(bounds({ from: "now", to: "now-1h" }, NOW), usual);
});

test("durations are a number and a unit", () => {
  assert.equal(durationMs("90s"), 90_000);
  assert.equal(durationMs("7d"), 604_800_000);
  assert.equal(durationMs("1.5h"), null);
  assert.equal(momentMs("now-2h", NOW), NOW - 7_200_000);
});

test("a preset is said in words", () => {
  assert.equal(describe({ from: "now-1h", to: "now" }, NOW), "Last hour");
  assert.equal(describe({ from: "now-90s", to: "now" }, NOW), "Last 90s");
});

test("the step is the smallest round one that gives no more points than asked for", () => {
  const range = { start: NOW - 900_000, end: NOW };
  assert.equal(stepFor(range, 180), 5);
  assert.equal(stepFor(range, 50), 30);
  assert.equal(stepFor({ start: NOW - 604_800_000, end: NOW }, 180), 3600);
});

test("points keep their places from one refresh to the next", () => {
  const first = aligned({ start: NOW - 60_000, end: NOW + 1_000 }, 15);
  const second = aligned({ start: NOW - 59_000, end: NOW + 2_000 }, 15);
  assert.equal(first.end % 15, 0);
  assert.equal((second.end - first.end) % 15, 0);
});

test("the window of rate() covers four scrapes or four steps", () => {
  assert.equal(rateInterval(5), 20);
  assert.equal(rateInterval(60), 240);
});

test("zooming out and moving never reach beyond now", () => {
  const range = { start: NOW - 600_000, end: NOW };
  assert.deepEqual(zoomedOut(range, NOW), { start: NOW - 1_200_000, end: NOW });
  assert.deepEqual(shifted(range, 1, NOW), range);
  assert.deepEqual(shifted(range, -1, NOW), { start: NOW - 900_000, end: NOW - 300_000 });
});
