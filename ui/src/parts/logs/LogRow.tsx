/** One line of a log, and everything about it when it is opened. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { formatDay, formatTime } from "../../lib/format.ts";
import { cleanText, inlineFields, type LogLine } from "../../lib/logs.ts";
import { linkTo } from "../../lib/route.ts";
import { usePlace } from "../../state/location.ts";
import { Copy } from "../Copy.tsx";
import { Icon } from "../icons.tsx";

export const LINE_HEIGHT = 22;

interface Props {
  readonly line: LogLine;
  readonly open: boolean;
  readonly marked: boolean;
  readonly needle: string;
  readonly withService: boolean;
  readonly onToggle: () => void;
  readonly onHeight: (height: number) => void;
  readonly onFilter?: (name: string, value: string) => void;
  readonly onContext?: () => void;
}

/** The text with what was searched for marked. */
function Marked({ text, needle }: { readonly text: string; readonly needle: string }) {
  const wanted = needle.trim().toLowerCase();
  if (wanted === "") return <>{text}</>;
  const parts: preact.ComponentChildren[] = [];
  const lower = text.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0 && parts.length < 40; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + wanted.length)}</mark>);
    from = at + wanted.length;
  }
  return (
    <>
      {parts}
      {text.slice(from)}
    </>
  );
}

export function LogRow(props: Props) {
  const { line, open, marked, needle, withService, onToggle } = props;
  const { params } = usePlace();
  const trace =
    line.traceId === ""
      ? null
      : linkTo(`/traces/${encodeURIComponent(line.traceId)}`, params, { span: line.spanId });
  return (
    <div
      class={`log level-${line.level}${open || marked ? " open" : ""}`}
      role="listitem"
      data-testid="log-row"
      data-level={line.level}
      data-trace={line.traceId}
    >
      <div class="log-line" onClick={onToggle}>
        <button
          type="button"
          class="plain log-time"
          aria-expanded={open}
          title={`${formatDay(line.ms)} ${formatTime(line.ms, true)}`}
        >
          {formatTime(line.ms, true)}
        </button>
        <span class="log-level">{line.level}</span>
        {withService && <span class="log-service">{line.service}</span>}
        <span class="log-text">
          <Marked text={cleanText(line.text).replace(/\s*\n\s*/g, " ⏎ ")} needle={needle} />
          {inlineFields(line).map(([name, value]) => (
            <span class="log-field" key={name}>
              <span>{name}=</span>
              <Marked text={cleanText(value)} needle={needle} />
            </span>
          ))}
        </span>
        {trace && (
          <a class="log-trace" href={trace} title="Open the trace" onClick={(event) => event.stopPropagation()} data-testid="log-trace">
            trace
          </a>
        )}
      </div>
      {open && <Opened {...props} trace={trace} />}
    </div>
  );
}

function pretty(text: string): string | null {
  if (!/^\s*[{[]/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

function Opened({ line, onHeight, onFilter, onContext, trace }: Props & { readonly trace: string | null }) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const measured = new ResizeObserver(() => onHeight(element.offsetHeight));
    measured.observe(element);
    onHeight(element.offsetHeight);
    return () => measured.disconnect();
  }, [line.key]);
  const { exception_stacktrace: stack, ...fields } = line.fields;
  return (
    <div class="log-opened" ref={box} data-testid="log-detail">
      <pre class="log-full">{cleanText(pretty(line.text) ?? line.text)}</pre>
      {stack && <pre class="stack">{cleanText(stack)}</pre>}
      <div class="log-actions">
        {trace && (
          <a class="button" href={trace}>
            Open the trace
          </a>
        )}
        {onContext && (
          <button type="button" class="button" onClick={onContext} data-testid="log-context">
            Lines around this one
          </button>
        )}
        <Copy text={line.text} title="Copy the line" label="Copy the line" />
      </div>
      <table class="attributes">
        <tbody>
          {Object.keys(fields)
            .sort()
            .map((name) => (
              <tr key={name} data-testid="log-field" data-key={name}>
                <th scope="row">{name}</th>
                <td>{cleanText(fields[name] as string)}</td>
                <td class="attribute-tools">
                  {onFilter && (
                    <button
                      type="button"
                      class="plain"
                      title="Only lines with this value"
                      aria-label={`Only lines with this ${name}`}
                      onClick={() => onFilter(name, fields[name] as string)}
                    >
                      <Icon name="search" />
                    </button>
                  )}
                  <Copy text={fields[name] as string} title={`Copy the value of ${name}`} />
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}
