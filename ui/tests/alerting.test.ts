import assert from "node:assert/strict";
import { test } from "node:test";
import type { AlertGroup, GroupedAlert, Silence } from "../src/api/alertmanager.ts";
import type { Incident } from "../src/api/incidents.ts";
import { commonLabels, labelsKey, orderedSilences, shownGroups, titleOf } from "../src/lib/alertgroups.ts";
import { incidentOf, nextOf, orderedIncidents, toldOf } from "../src/lib/incidents.ts";
import { filtersOf, MatcherSyntaxError, matchersFor, matcherText, parseMatchers } from "../src/lib/matchers.ts";
import { type Draft, endOf, fieldOf, problemsOf, startOf, toInput } from "../src/lib/silence.ts";

const NOW = Date.parse("2026-01-31T12:00:00Z");
const HOUR = 3_600_000;

test("matchers are read with and without braces, quotes and spaces", () => {
  const wanted = [
    { name: "alertname", op: "=", value: "X" },
    { name: "path", op: "!~", value: 'a"b\\c, {d}' },
    { name: "env", op: "=", value: "prod" },
  ];
  const text = 'alertname="X", path !~ "a\\"b\\\\c, {d}",env=prod';
  assert.deepEqual(parseMatchers(text), wanted);
  assert.deepEqual(parseMatchers(`{${text}}`), wanted);
  assert.deepEqual(parseMatchers(""), []);
});

test("a matcher comes back from its own text", () => {
  const hard = { name: "a label", op: "=~", value: 'x\n"y"\\.+' } as const;
  assert.deepEqual(parseMatchers(matcherText(hard)), [hard]);
});

test("what is no matcher is said, with what is", () => {
  assert.throws(() => parseMatchers('a="1", oops'), (error: Error) => {
    return error instanceof MatcherSyntaxError && error.message.includes("“oops”") && error.message.includes('name="value"');
  });
  assert.throws(() => parseMatchers('a="1" b="2"'), MatcherSyntaxError);
});

test("filters of an address become one matcher each, and what cannot be read is left to the server", () => {
  assert.deepEqual(filtersOf(['{a="1",b=2}', "oops"]), ['a="1"', 'b="2"', "oops"]);
});

test("the labels of an alert become matchers, its name first", () => {
  const texts = matchersFor({ service: "api", alertname: "X", severity: "page" }).map(matcherText);
  assert.deepEqual(texts, ['alertname="X"', 'severity="page"', 'service="api"']);
});

const DRAFT: Draft = {
  matchers: [{ name: "a", op: "=", value: "1" }],
  starts: null,
  begun: false,
  ends: null,
  length: HOUR,
  author: "Ann",
  comment: "why",
};

test("a silence counts from its start for its length, unless its end is chosen", () => {
  assert.equal(endOf(DRAFT, NOW), NOW + HOUR);
  assert.equal(endOf({ ...DRAFT, starts: NOW + HOUR }, NOW), NOW + 2 * HOUR);
  assert.equal(endOf({ ...DRAFT, ends: NOW + 5 }, NOW), NOW + 5);
});

test("a silence that has begun keeps its start, and a new length counts from now", () => {
  const begun = { ...DRAFT, starts: NOW - HOUR, begun: true };
  assert.equal(startOf(begun, NOW), NOW - HOUR);
  assert.equal(endOf(begun, NOW), NOW + HOUR);
  assert.equal(startOf({ ...begun, begun: false }, NOW), NOW);
});

test("what is missing in a silence is said at its field", () => {
  assert.deepEqual(problemsOf(DRAFT, NOW), {});
  const fields = (change: Partial<Draft>): string[] => Object.keys(problemsOf({ ...DRAFT, ...change }, NOW));
  assert.deepEqual(fields({ matchers: [] }), ["matchers"]);
  assert.deepEqual(fields({ matchers: [{ name: "", op: "=", value: "1" }] }), ["matchers"]);
  assert.deepEqual(fields({ author: " ", comment: "" }), ["author", "comment"]);
  assert.deepEqual(fields({ ends: NOW }), ["ends"]);
  assert.deepEqual(fields({ starts: NOW + HOUR, ends: NOW + 1 }), ["ends"]);
  assert.deepEqual(fields({ ends: Number.NaN }), ["ends"]);
});

test("a silence that would match every alert is refused", () => {
  const voids: Draft["matchers"] = [
    { name: "a", op: "=", value: "" },
    { name: "a", op: "!=", value: "x" },
    { name: "a", op: "=~", value: ".*" },
    { name: "a", op: "!~", value: "x+" },
  ];
  for (const matcher of voids) assert.ok(problemsOf({ ...DRAFT, matchers: [matcher] }, NOW).matchers, matcher.op);
  assert.equal(problemsOf({ ...DRAFT, matchers: [...voids, { name: "b", op: "=~", value: ".+" }] }, NOW).matchers, undefined);
});

test("an answer of the API is shown at the field that it is about", () => {
  assert.equal(fieldOf("bad matcher format: oops"), "matchers");
  assert.equal(fieldOf("silence refused, end time can't be in the past: got a=\"comment\". Accepted: an end"), "ends");
  assert.equal(fieldOf("comment in body is required"), "comment");
  assert.equal(fieldOf("createdBy in body is required"), "author");
  assert.equal(fieldOf("too many silences: got 3"), "form");
});

test("a moment goes into a field in local time and comes back", () => {
  assert.equal(Date.parse(toInput(NOW)), NOW);
});

function alert(labels: Record<string, string>, state: "active" | "suppressed" = "active", startsAt = NOW): GroupedAlert {
  return {
    labels,
    annotations: {},
    startsAt: new Date(startsAt).toISOString(),
    endsAt: "",
    updatedAt: "",
    fingerprint: labelsKey(labels),
    receivers: [],
    status: { state, silencedBy: [], inhibitedBy: [] },
  };
}

function group(receiver: string, ...alerts: GroupedAlert[]): AlertGroup {
  return { labels: { alertname: alerts[0]?.labels["alertname"] ?? "" }, receiver: { name: receiver }, alerts };
}

test("what wakes people comes first, then what is muted, then the watchdog", () => {
  const shown = shownGroups([
    group("r", alert({ alertname: "Watchdog", severity: "none" })),
    group("r", alert({ alertname: "Muted", severity: "page" }, "suppressed")),
    group("r", alert({ alertname: "Ticket", severity: "ticket" })),
    group("r", alert({ alertname: "Older", severity: "page" }, "active", NOW - HOUR)),
    group("r", alert({ alertname: "Newer", severity: "page" })),
  ]);
  assert.deepEqual(shown.map(titleOf), ["Newer", "Older", "Ticket", "Muted", "Watchdog"]);
});

test("a group that goes to several receivers is shown once", () => {
  const one = alert({ alertname: "X" });
  const shown = shownGroups([group("a", one), group("b", one), group("c", one, alert({ alertname: "X", n: "2" }))]);
  assert.deepEqual(shown.map(({ receivers }) => receivers), [["a", "b"], ["c"]]);
});

test("active alerts of a group come before muted ones, and both are counted", () => {
  const [shown] = shownGroups([group("r", alert({ alertname: "X", n: "1" }, "suppressed"), alert({ alertname: "X", n: "2" }))]);
  assert.deepEqual(shown?.alerts.map(({ labels }) => labels["n"]), ["2", "1"]);
  assert.equal(shown?.active, 1);
});

test("a silence of a group asks for what its alerts share", () => {
  const alerts = [alert({ alertname: "X", queue: "a", service: "w" }), alert({ alertname: "X", queue: "b", service: "w" })];
  assert.deepEqual(commonLabels(alerts), { alertname: "X", service: "w" });
});

test("silences that end soonest come first, and ended ones last", () => {
  const silence = (id: string, state: Silence["status"]["state"], start: number, end: number): Silence => ({
    id,
    matchers: [],
    createdBy: "",
    comment: "",
    updatedAt: "",
    startsAt: new Date(NOW + start).toISOString(),
    endsAt: new Date(NOW + end).toISOString(),
    status: { state },
  });
  const found = orderedSilences([
    silence("old", "expired", -9, -5),
    silence("recent", "expired", -9, -1),
    silence("later", "pending", 5, 9),
    silence("long", "active", -1, 9),
    silence("short", "active", -1, 2),
  ]);
  assert.deepEqual(found.map(({ id }) => id), ["short", "long", "later", "recent", "old"]);
});

const INCIDENT: Incident = {
  id: "a1",
  source: "rules",
  group_key: '{}/{severity="page"}:{alertname="X", service="api"}',
  receiver: "backend",
  title: "X (1 firing)",
  state: "triggered",
  labels: {},
  annotations: {},
  severities: ["page"],
  firing: 1,
  truncated: 0,
  policy: "p",
  round: 1,
  step: 1,
  waits_for: "step",
  due_ms: NOW + 90_000,
  owner: "",
  opened_ms: NOW,
  changed_ms: NOW,
  acknowledged_ms: null,
  resolved_ms: null,
  resolved_by: "",
};

test("a group finds its open incident, and no other", () => {
  const find = (labels: Record<string, string>, change: Partial<Incident> = {}): string | undefined =>
    incidentOf(labels, ["backend"], [{ ...INCIDENT, ...change }])?.id;
  assert.equal(find({ service: "api", alertname: "X" }), "a1");
  assert.equal(find({ service: "api" }), undefined);
  assert.equal(find({ service: "api", alertname: "X" }, { state: "resolved" }), undefined);
  assert.equal(find({ service: "api", alertname: "X" }, { receiver: "other" }), undefined);
  assert.equal(find({ service: "api", alertname: "X" }, { source: "upstream" }), undefined);
});

test("what comes next is said in words", () => {
  const next = (change: Partial<Incident>): string => nextOf({ ...INCIDENT, ...change }, NOW);
  assert.equal(next({}), "next step in 1 min 30 s");
  assert.equal(next({ due_ms: NOW - 1 }), "next step now");
  assert.equal(next({ waits_for: "", due_ms: null, policy: "" }), "does not escalate: no policy matches");
  assert.equal(next({ waits_for: "", due_ms: null }), "nobody else will be told");
  assert.equal(next({ state: "acknowledged", waits_for: "", due_ms: null }), "");
  assert.match(next({ state: "acknowledged", waits_for: "acknowledged" }), /^escalates again in/);
  assert.match(next({ waits_for: "quiet" }), /^quiet hours/);
  assert.equal(next({ state: "resolved" }), "");
});

test("how far an escalation has come is said in words", () => {
  assert.equal(toldOf({ round: 1, step: 0 }), "nobody yet");
  assert.equal(toldOf({ round: 1, step: 2 }), "step 2 of round 1");
  assert.equal(toldOf({ round: 2, step: 0 }), "all of round 1");
});

test("incidents that nobody has come first, and of these the ones that page", () => {
  const found = orderedIncidents([
    { ...INCIDENT, id: "done", state: "resolved", opened_ms: NOW + 2 },
    { ...INCIDENT, id: "held", state: "acknowledged", opened_ms: NOW + 1 },
    { ...INCIDENT, id: "old", opened_ms: NOW - 1 },
    { ...INCIDENT, id: "ticket", severities: ["ticket"], opened_ms: NOW + 3 },
    INCIDENT,
  ]);
  assert.deepEqual(found.map(({ id }) => id), ["a1", "old", "ticket", "held", "done"]);
});
