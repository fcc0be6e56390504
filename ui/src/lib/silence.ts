/** The form of a silence: its times, and what is wrong with it. */

import type { Matcher } from "./matchers.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Lengths to choose from. */
export const LENGTHS: readonly [string, number][] = [
  ["30 min", 30 * MINUTE],
  ["1 h", HOUR],
  ["2 h", 2 * HOUR],
  ["4 h", 4 * HOUR],
  ["8 h", 8 * HOUR],
  ["1 day", 24 * HOUR],
  ["3 days", 72 * HOUR],
  ["1 week", 168 * HOUR],
];
export const DEFAULT_LENGTH = 2 * HOUR;

export type Field = "matchers" | "starts" | "ends" | "author" | "comment";
export type Problems = Readonly<Partial<Record<Field | "form", string>>>;

export interface Draft {
  readonly matchers: readonly Matcher[];
  /** Milliseconds since 1970; null for the moment of sending. */
  readonly starts: number | null;
  /** It counts already: its start stays. */
  readonly begun: boolean;
  /** Milliseconds since 1970, if the end was chosen exactly. */
  readonly ends: number | null;
  /** Milliseconds; counts while `ends` is null. */
  readonly length: number;
  readonly author: string;
  readonly comment: string;
}

export function startOf({ starts, begun }: Draft, now: number): number {
  if (starts === null) return now;
  return begun ? starts : Math.max(now, starts);
}

export function endOf(draft: Draft, now: number): number {
  return draft.ends ?? Math.max(now, startOf(draft, now)) + draft.length;
}

/** Whether the empty text fulfils it, so that it does not narrow anything down. */
function isVoid({ op, value }: Matcher): boolean {
  if (op === "=") return value === "";
  if (op === "!=") return value !== "";
  try {
    return new RegExp(`^(?:${value})$`, "s").test("") === (op === "=~");
  } catch {
    // A pattern that only the server's engine knows; the server decides.
    return false;
  }
}

/** What must be mended before it can be sent, by field. */
export function problemsOf(draft: Draft, now: number): Problems {
  const problems: Partial<Record<Field, string>> = {};
  if (draft.matchers.length === 0) problems.matchers = "Give at least one matcher.";
  else if (draft.matchers.some(({ name }) => name.trim() === "")) {
    problems.matchers = "A matcher has no label name.";
  } else if (draft.matchers.every(isVoid)) {
    problems.matchers = "These matchers also match alerts without the labels, which is every alert. Give a value.";
  }
  const ends = endOf(draft, now);
  if (Number.isNaN(draft.starts)) problems.starts = "This is not a time.";
  if (Number.isNaN(ends)) problems.ends = "This is not a time.";
  else if (ends <= now) problems.ends = "The end has passed. Choose a later one.";
  else if (ends <= startOf(draft, now)) problems.ends = "The end must be after the start.";
  if (draft.author.trim() === "") problems.author = "Say who you are, so that others can ask.";
  if (draft.comment.trim() === "") problems.comment = "Say why, for whoever finds this silence later.";
  return problems;
}

/** The field that an answer of the API is about. */
export function fieldOf(message: string): Field | "form" {
  const [what = ""] = message.split(/: got | Accepted: /);
  if (/matcher|filter|regex|pattern|label/i.test(what)) return "matchers";
  if (/end time|endsAt|\bend\b/i.test(what)) return "ends";
  if (/start time|startsAt|\bstart\b/i.test(what)) return "starts";
  if (/comment/i.test(what)) return "comment";
  if (/createdBy|author|creator/i.test(what)) return "author";
  return "form";
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** A moment as `<input type="datetime-local">` takes it, in local time. */
export function toInput(ms: number): string {
  const at = new Date(ms);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}`;
}
