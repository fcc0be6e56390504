/** One span of the timeline: its name on the left, its bar on the right. */

import { formatNanoseconds } from "../../lib/format.ts";
import type { Node, Stretch } from "../../lib/tracetree.ts";
import { Icon } from "../icons.tsx";

export const ROW_HEIGHT = 25;
const DEEPEST_INDENT = 28;

interface Props {
  readonly node: Node;
  readonly shown: Stretch;
  readonly colour: string;
  readonly critical: readonly Stretch[] | undefined;
  readonly collapsed: boolean;
  readonly selected: boolean;
  readonly matches: boolean | null;
  readonly onToggle: () => void;
  readonly onSelect: () => void;
}

function percent(value: number): string {
  return `${(value * 100).toFixed(3)}%`;
}

export function SpanRow(props: Props) {
  const { node, shown, colour, critical = [], collapsed, selected, matches } = props;
  const { span } = node;
  const length = Math.max(1, shown.end - shown.start);
  const left = (span.start - shown.start) / length;
  const width = span.duration / length;
  const right = left + width;
  const visible = right >= 0 && left <= 1;
  const from = Math.max(0, left);
  const to = Math.min(1, right);
  // The time stands behind the bar; if there is no room, before it or inside.
  const place = to <= 0.86 ? "after" : from >= 0.12 ? "before" : "inside";
  const classes = ["span-row"];
  if (selected) classes.push("selected");
  if (matches === false) classes.push("dimmed");
  if (matches === true) classes.push("matched");
  return (
    <div
      class={classes.join(" ")}
      role="treeitem"
      aria-selected={selected}
      aria-level={node.depth + 1}
      aria-expanded={node.children.length > 0 ? !collapsed : undefined}
      data-testid="span-row"
      data-span={span.id}
      data-error={span.error}
      onClick={props.onSelect}
    >
      <div
        class="span-name"
        style={{ paddingLeft: `${8 + 13 * Math.min(DEEPEST_INDENT, node.depth)}px` }}
      >
        {node.children.length > 0 ? (
          <button
            type="button"
            class="plain fold"
            tabIndex={-1}
            aria-label={collapsed ? "Unfold" : "Fold"}
            onClick={(event) => {
              event.stopPropagation();
              props.onToggle();
            }}
          >
            <Icon name={collapsed ? "right" : "down"} />
          </button>
        ) : (
          <span class="fold" />
        )}
        <i class="span-service" style={{ background: colour }} title={span.service} />
        <span class="span-title" title={`${span.service}: ${span.name}`}>
          {span.name}
        </span>
        {collapsed && <span class="span-below">+{node.below}</span>}
        {span.error && (
          <span class="span-error" title={span.statusMessage || "failed"}>
            error
          </span>
        )}
        {!span.error && collapsed && node.troubled && (
          <span class="span-error" title="A span below this one failed">
            error below
          </span>
        )}
      </div>
      <div class="span-lane">
        {visible && (
          <div
            class={span.error ? "span-bar failed" : "span-bar"}
            style={{ left: percent(from), width: percent(Math.max(0, to - from)), background: colour }}
          />
        )}
        {critical.map((stretch) => {
          const begin = Math.max(0, (stretch.start - shown.start) / length);
          const end = Math.min(1, (stretch.end - shown.start) / length);
          if (end <= begin) return null;
          return (
            <div
              key={stretch.start}
              class="span-critical"
              style={{ left: percent(begin), width: percent(end - begin) }}
            />
          );
        })}
        {visible && (
          <span
            class={`span-time ${place}`}
            style={place === "after" ? { left: percent(to) } : { right: percent(1 - (place === "inside" ? to : from)) }}
          >
            {formatNanoseconds(span.duration)}
          </span>
        )}
      </div>
    </div>
  );
}
