/** Lines of a log, of which only those on the screen are in the document. */

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { LogLine } from "../../lib/logs.ts";
import { unevenRows } from "../../lib/virtual.ts";
import { Virtual, type VirtualHandle } from "../Virtual.tsx";
import { LINE_HEIGHT, LogRow } from "./LogRow.tsx";

interface Props {
  readonly lines: readonly LogLine[];
  readonly needle: string;
  readonly withService: boolean;
  /** The key of a line to bring into view and to mark. */
  readonly focus?: string;
  readonly onFilter?: (name: string, value: string) => void;
  readonly onContext?: (line: LogLine) => void;
}

const OPENED_HEIGHT = 260;

export function LogList({ lines, needle, withService, focus, onFilter, onContext }: Props) {
  const [open, setOpen] = useState<ReadonlyMap<string, number>>(new Map());
  const list = useRef<VirtualHandle>(null);
  const first = useRef<string | undefined>(undefined);
  const rows = useMemo(() => {
    const extra = new Map<number, number>();
    if (open.size > 0) {
      lines.forEach(({ key }, index) => {
        const height = open.get(key);
        if (height !== undefined) extra.set(index, height);
      });
    }
    return unevenRows(lines.length, LINE_HEIGHT, extra);
  }, [lines, open]);

  // New lines come in above; what is being read must not move away under the eyes.
  useLayoutEffect(() => {
    const element = list.current?.element();
    const before = first.current;
    first.current = lines[0]?.key;
    if (!element || before === undefined || element.scrollTop < LINE_HEIGHT) return;
    const moved = lines.findIndex(({ key }) => key === before);
    if (moved > 0) element.scrollTop += rows.topOf(moved);
  }, [lines]);

  useLayoutEffect(() => {
    const element = list.current?.element();
    const index = lines.findIndex(({ key }) => key === focus);
    if (element && index >= 0) element.scrollTop = rows.topOf(index) - element.clientHeight / 2;
  }, [focus]);

  const toggle = (key: string): void => {
    const next = new Map(open);
    if (!next.delete(key)) next.set(key, OPENED_HEIGHT);
    setOpen(next);
  };
  return (
    <Virtual
      rows={rows}
      className="log-list"
      testid="log-list"
      label="Log lines"
      handle={list}
      keyOf={(index) => lines[index]?.key ?? String(index)}
      render={(index) => {
        const line = lines[index];
        if (!line) return null;
        return (
          <LogRow
            line={line}
            open={open.has(line.key)}
            marked={line.key === focus}
            needle={needle}
            withService={withService}
            onToggle={() => toggle(line.key)}
            onHeight={(height) =>
              setOpen((before) =>
                !before.has(line.key) || before.get(line.key) === height
                  ? before
                  : new Map(before).set(line.key, height),
              )
            }
            {...(onFilter ? { onFilter } : {})}
            {...(onContext ? { onContext: () => onContext(line) } : {})}
          />
        );
      }}
    />
  );
}
