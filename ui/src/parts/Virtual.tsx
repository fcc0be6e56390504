/** A scrolling list that keeps only the rows on the screen in the document. */

import type { ComponentChildren } from "preact";
import { useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Ref } from "preact";
import { type Rows } from "../lib/virtual.ts";

export interface VirtualHandle {
  /** Bring a row into view. */
  readonly reveal: (index: number) => void;
  readonly element: () => HTMLElement | null;
}

interface Props {
  readonly rows: Rows;
  readonly keyOf: (index: number) => string;
  readonly render: (index: number) => ComponentChildren;
  readonly className?: string;
  readonly testid: string;
  readonly label: string;
  readonly handle?: Ref<VirtualHandle>;
  readonly role?: "list" | "tree" | "table";
}

const AROUND = 240;

export function Virtual(props: Props) {
  const { rows, keyOf, render, className = "", testid, label, handle = null, role = "list" } = props;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const read = (): void => {
      const next = { top: element.scrollTop, height: element.clientHeight };
      setView((before) =>
        before.top === next.top && before.height === next.height ? before : next,
      );
    };
    read();
    const resized = new ResizeObserver(read);
    resized.observe(element);
    element.addEventListener("scroll", read, { passive: true });
    return () => {
      resized.disconnect();
      element.removeEventListener("scroll", read);
    };
  }, []);
  useImperativeHandle(
    handle,
    () => ({
      element: () => box.current,
      reveal: (index: number) => {
        const element = box.current;
        if (!element) return;
        const top = rows.topOf(index);
        const bottom = rows.topOf(index + 1);
        if (top < element.scrollTop) element.scrollTop = top - 40;
        else if (bottom > element.scrollTop + element.clientHeight) {
          element.scrollTop = bottom - element.clientHeight + 40;
        }
      },
    }),
    [rows],
  );
  const shown: ComponentChildren[] = [];
  if (rows.count > 0) {
    const first = rows.indexAt(view.top - AROUND);
    const last = rows.indexAt(view.top + view.height + AROUND);
    for (let index = first; index <= last; index += 1) {
      shown.push(
        <div class="virtual-row" key={keyOf(index)} style={{ top: `${rows.topOf(index)}px` }}>
          {render(index)}
        </div>,
      );
    }
  }
  return (
    <div
      ref={box}
      class={`virtual ${className}`}
      role={role}
      aria-label={label}
      data-testid={testid}
      data-count={rows.count}
      tabIndex={0}
    >
      <div class="virtual-inner" style={{ height: `${rows.total}px` }}>
        {shown}
      </div>
    </div>
  );
}
