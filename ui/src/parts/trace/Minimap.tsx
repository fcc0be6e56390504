/** The whole trace at a glance; dragging over it chooses what the rows below show. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { PALETTES } from "../../lib/palette.ts";
import type { Node, Stretch } from "../../lib/tracetree.ts";
import { useStore } from "../../state/store.ts";
import { theme } from "../../state/theme.ts";

const HEIGHT = 46;

interface Props {
  readonly rows: readonly Node[];
  /** Nanoseconds. */
  readonly duration: number;
  readonly shown: Stretch;
  readonly colourOf: (service: string) => string;
  readonly onShow: (stretch: Stretch) => void;
}

export function Minimap({ rows, duration, shown, colourOf, onShow }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const palette = PALETTES[useStore(theme)];
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);

  useLayoutEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return undefined;
    const draw = (): void => {
      const width = element.clientWidth * devicePixelRatio;
      const height = HEIGHT * devicePixelRatio;
      element.width = width;
      element.height = height;
      context.clearRect(0, 0, width, height);
      const line = Math.max(1, Math.min(4 * devicePixelRatio, height / Math.max(1, rows.length)));
      rows.forEach(({ span }, index) => {
        context.fillStyle = span.error ? palette.red : colourOf(span.service);
        const y = (index / Math.max(1, rows.length)) * (height - line);
        const x = (span.start / duration) * width;
        context.fillRect(x, y, Math.max(devicePixelRatio, (span.duration / duration) * width), line);
      });
    };
    draw();
    const resized = new ResizeObserver(draw);
    resized.observe(element);
    return () => resized.disconnect();
  }, [rows, duration, palette]);

  const at = (event: PointerEvent): number => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const done = (): void => {
    if (drag && Math.abs(drag.to - drag.from) > 0.004) {
      const start = Math.min(drag.from, drag.to) * duration;
      onShow({ start, end: Math.max(drag.from, drag.to) * duration });
    }
    setDrag(null);
  };
  const marked = drag
    ? { start: Math.min(drag.from, drag.to), end: Math.max(drag.from, drag.to) }
    : { start: shown.start / duration, end: shown.end / duration };
  return (
    <div
      class="minimap"
      data-testid="minimap"
      title="Drag to look at a part, double-click for the whole"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: at(event), to: at(event) });
      }}
      onPointerMove={(event) => drag && setDrag({ from: drag.from, to: at(event) })}
      onPointerUp={done}
      onDblClick={() => onShow({ start: 0, end: duration })}
    >
      <canvas ref={canvas} aria-hidden="true" />
      <div class="minimap-dim" style={{ left: "0", width: `${marked.start * 100}%` }} />
      <div class="minimap-dim" style={{ right: "0", width: `${(1 - marked.end) * 100}%` }} />
    </div>
  );
}
