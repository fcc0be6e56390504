/** Which of many rows are on the screen. */

export interface Rows {
  readonly count: number;
  readonly total: number;
  readonly topOf: (index: number) => number;
  readonly indexAt: (top: number) => number;
}

/** Rows of one height. */
export function evenRows(count: number, height: number): Rows {
  return {
    count,
    total: count * height,
    topOf: (index) => index * height,
    indexAt: (top) => Math.min(Math.max(0, count - 1), Math.max(0, Math.floor(top / height))),
  };
}

/** Rows of one height, some of them with extra room below. `extra` maps an index to pixels. */
export function unevenRows(count: number, height: number, extra: ReadonlyMap<number, number>): Rows {
  if (extra.size === 0) return evenRows(count, height);
  const opened = [...extra].sort(([a], [b]) => a - b);
  const topOf = (index: number): number => {
    let top = index * height;
    for (const [at, more] of opened) {
      if (at >= index) break;
      top += more;
    }
    return top;
  };
  const indexAt = (top: number): number => {
    let low = 0;
    let high = Math.max(0, count - 1);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (topOf(middle) <= top) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  return { count, total: topOf(count), topOf, indexAt };
}
