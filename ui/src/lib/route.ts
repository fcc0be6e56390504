/** The place in the UI as the URL's fragment holds it: `#/logs?trace=abc`. */

export interface Place {
  readonly path: string;
  readonly params: URLSearchParams;
}

export type Changes = Readonly<Record<string, string | readonly string[] | null>>;

/** Parameters that every page understands, so that links between pages carry them. */
const SHARED = ["from", "to"];

export function parseHash(hash: string): Place {
  const text = hash.replace(/^#/, "");
  const at = text.indexOf("?");
  const path = at < 0 ? text : text.slice(0, at);
  return {
    path: path === "" ? "/" : path,
    params: new URLSearchParams(at < 0 ? "" : text.slice(at + 1)),
  };
}

export function toHash({ path, params }: Place): string {
  const query = params.toString();
  return `#${path}${query === "" ? "" : `?${query}`}`;
}

/** The parameters with changes: null and the empty string take one away. */
export function changed(params: URLSearchParams, changes: Changes): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    if (value === null || value === "") continue;
    for (const each of typeof value === "string" ? [value] : value) next.append(name, each);
  }
  return next;
}

/** A link to another page that keeps the time range. */
export function linkTo(path: string, current: URLSearchParams, changes: Changes = {}): string {
  const params = new URLSearchParams();
  for (const name of SHARED) {
    const value = current.get(name);
    if (value !== null) params.set(name, value);
  }
  return toHash({ path, params: changed(params, changes) });
}

/** An address if it may be followed: http and https only. */
export function safeLink(address: string): string | null {
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}
