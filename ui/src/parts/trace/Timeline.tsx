/** The gantt of a trace: ruler, rows, folding, keyboard. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { formatNanoseconds } from "../../lib/format.ts";
import type { Trace } from "../../lib/otlp.ts";
import { buildTree, criticalPath, spanMatches, type Stretch, visibleRows } from "../../lib/tracetree.ts";
import { evenRows } from "../../lib/virtual.ts";
import { useKeys } from "../../state/keys.ts";
import { setParams } from "../../state/location.ts";
import { Virtual, type VirtualHandle } from "../Virtual.tsx";
import { Minimap } from "./Minimap.tsx";
import { ROW_HEIGHT, SpanRow } from "./SpanRow.tsx";

const TICKS = [0, 0.25, 0.5, 0.75, 1];

interface Props {
  readonly trace: Trace;
  readonly search: string;
  readonly selected: string;
  readonly colourOf: (service: string) => string;
}

function select(id: string): void {
  setParams({ span: id }, "replace");
}

export function Timeline({ trace, search, selected, colourOf }: Props) {
  const roots = useMemo(() => buildTree(trace.spans), [trace]);
  const path = useMemo(() => criticalPath(roots), [roots]);
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => visibleRows(roots, collapsed), [roots, collapsed]);
  const all = useMemo(() => visibleRows(roots, new Set()), [roots]);
  const [shown, setShown] = useState<Stretch>({ start: 0, end: trace.duration });
  const [nameWidth, setNameWidth] = useState(380);
  const list = useRef<VirtualHandle>(null);
  const places = useMemo(() => evenRows(rows.length, ROW_HEIGHT), [rows]);
  const matched = useMemo(
    () =>
      search === ""
        ? null
        : new Set(trace.spans.filter((span) => spanMatches(span, search)).map(({ id }) => id)),
    [trace, search],
  );
  const index = rows.findIndex(({ span }) => span.id === selected);

  useEffect(() => {
    if (index >= 0) list.current?.reveal(index);
  }, [selected]);

  const toggle = (id: string): void => {
    const next = new Set(collapsed);
    if (!next.delete(id)) next.add(id);
    setCollapsed(next);
  };
  const move = (by: number): void => {
    const next = rows[Math.min(rows.length - 1, Math.max(0, index + by))];
    if (next) select(next.span.id);
  };
  const seek = (by: 1 | -1, wanted: (id: string, error: boolean) => boolean): void => {
    for (let step = 1; step <= rows.length; step += 1) {
      const node = rows[(Math.max(0, index) + by * step + rows.length * 2) % rows.length];
      if (node && wanted(node.span.id, node.span.error)) {
        select(node.span.id);
        return;
      }
    }
  };
  const fold = (folded: boolean): void => {
    const node = rows[index];
    if (!node) return;
    if (node.children.length > 0 && collapsed.has(node.span.id) !== folded) toggle(node.span.id);
    else if (folded) select(node.span.parent);
    else move(1);
  };
  useKeys({
    j: () => move(1),
    ArrowDown: () => move(1),
    k: () => move(-1),
    ArrowUp: () => move(-1),
    ArrowLeft: () => fold(true),
    ArrowRight: () => fold(false),
    n: () => seek(1, (id) => matched?.has(id) ?? false),
    N: () => seek(-1, (id) => matched?.has(id) ?? false),
    e: () => seek(1, (_id, error) => error),
    Escape: () => select(""),
    "0": () => setShown({ start: 0, end: trace.duration }),
  });

  const whole = shown.start === 0 && shown.end === trace.duration;
  return (
    <div class="timeline" style={{ "--name-width": `${nameWidth}px` }}>
      <Minimap rows={all} duration={trace.duration} shown={shown} colourOf={colourOf} onShow={setShown} />
      <div class="ruler">
        <div class="ruler-name">
          <span>
            {rows.length === trace.spans.length
              ? `${trace.spans.length} spans`
              : `${rows.length} of ${trace.spans.length} spans`}
            {matched && `, ${matched.size} match`}
          </span>
          <button
            type="button"
            class="plain link"
            onClick={() =>
              setCollapsed(
                collapsed.size > 0
                  ? new Set()
                  : new Set(all.filter((node) => node.depth > 0 && node.children.length > 0).map(({ span }) => span.id)),
              )
            }
          >
            {collapsed.size > 0 ? "Unfold all" : "Fold"}
          </button>
          {!whole && (
            <button type="button" class="plain link" onClick={() => setShown({ start: 0, end: trace.duration })}>
              Whole trace
            </button>
          )}
          <Resizer width={nameWidth} onResize={setNameWidth} />
        </div>
        <div class="ruler-lane">
          {TICKS.map((tick) => (
            <span key={tick} class="tick" style={{ left: `${tick * 100}%` }}>
              {formatNanoseconds(shown.start + tick * (shown.end - shown.start))}
            </span>
          ))}
        </div>
      </div>
      <Virtual
        rows={places}
        role="tree"
        testid="span-list"
        label="Spans"
        className="span-list"
        handle={list}
        keyOf={(at) => rows[at]?.span.id ?? String(at)}
        render={(at) => {
          const node = rows[at];
          if (!node) return null;
          const { id } = node.span;
          return (
            <SpanRow
              node={node}
              shown={shown}
              colour={colourOf(node.span.service)}
              critical={path.get(id)}
              collapsed={collapsed.has(id)}
              selected={id === selected}
              matches={matched ? matched.has(id) : null}
              onToggle={() => toggle(id)}
              onSelect={() => select(id === selected ? "" : id)}
            />
          );
        }}
      />
    </div>
  );
}

function Resizer({ width, onResize }: { readonly width: number; readonly onResize: (width: number) => void }) {
  const start = useRef<{ x: number; width: number } | null>(null);
  return (
    <div
      class="resizer"
      title="Drag to change the width"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        start.current = { x: event.clientX, width };
      }}
      onPointerMove={(event) => {
        if (!start.current) return;
        onResize(Math.max(160, Math.min(760, start.current.width + event.clientX - start.current.x)));
      }}
      onPointerUp={() => {
        start.current = null;
      }}
    />
  );
}
