/** Requests with JSON, and what can go wrong with them. */

import { reportDown } from "../state/health.ts";

export type Params = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** The server answered, but not with what was asked for. */
export class ApiError extends Error {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** The server did not answer at all, or says that it is not ready. */
export class UnreachableError extends Error {}

const TIMEOUT_MS = 60_000;
const AWAY = new Set([502, 503, 504]);

function address(path: string, params: Params): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === "") continue;
    if (typeof value === "object") for (const each of value) query.append(name, each);
    else query.set(name, String(value));
  }
  const text = query.toString();
  return text === "" ? `./${path}` : `./${path}?${text}`;
}

function explain(status: number, body: string): string {
  try {
    const parsed = JSON.parse(body) as Record<string, unknown> | string | null;
    // Alertmanager's API answers with a bare text.
    const message =
      typeof parsed === "string" ? parsed : (parsed?.["error"] ?? parsed?.["message"] ?? parsed?.["detail"]);
    if (typeof message === "string" && message !== "") return message;
  } catch {
    // Not JSON: Tempo and Loki answer with plain text.
  }
  const text = body.trim();
  if (text === "" || text.startsWith("<")) return `The server answered with status ${status}.`;
  return text.slice(0, 600);
}

async function answered(path: string, params: Params, init: RequestInit): Promise<Response> {
  const signals = [AbortSignal.timeout(TIMEOUT_MS)];
  if (init.signal) signals.push(init.signal);
  try {
    return await fetch(address(path, params), {
      ...init,
      signal: AbortSignal.any(signals),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (error instanceof DOMException && error.name === "TimeoutError") {
      throw new ApiError("No answer within 60 seconds. Choose a shorter time range.", 0);
    }
    reportDown();
    throw new UnreachableError("The server does not answer.");
  }
}

/** The body of a good answer; throws ApiError, UnreachableError, or AbortError. */
async function bodyOf(path: string, params: Params, init: RequestInit): Promise<string> {
  const answer = await answered(path, params, init);
  const body = await answer.text();
  if (answer.ok) return body;
  const message = explain(answer.status, body);
  if (AWAY.has(answer.status)) {
    // Overload is also a 503; only a server that is not ready counts as away.
    const ready = await fetch("./-/ready", { cache: "no-store" }).catch(() => null);
    if (!ready?.ok) {
      reportDown();
      throw new UnreachableError("The server is not ready.");
    }
  }
  throw new ApiError(message, answer.status);
}

function parsed<T>(body: string): T {
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError("The answer is not JSON. Is another program listening here?", 200);
  }
}

/** Fetch JSON; throws ApiError, UnreachableError, or AbortError when `signal` says so. */
export async function getJson<T>(
  path: string,
  params: Params = {},
  signal?: AbortSignal,
  headers: Record<string, string> = {},
): Promise<T> {
  const init: RequestInit = { headers: { Accept: "application/json", ...headers } };
  if (signal) init.signal = signal;
  return parsed<T>(await bodyOf(path, params, init));
}

/** Change something with a JSON body; throws as `getJson`. An empty answer is undefined. */
export async function sendJson<T>(method: "POST" | "DELETE", path: string, value?: unknown): Promise<T> {
  const init: RequestInit = { method, headers: { Accept: "application/json" } };
  if (value !== undefined) {
    init.headers = { Accept: "application/json", "Content-Type": "application/json" };
    init.body = JSON.stringify(value);
  }
  const body = await bodyOf(path, {}, init);
  return body === "" ? (undefined as T) : parsed<T>(body);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
