/** Everything that is known about one span. */

import { Fragment } from "preact";
import { formatMoment, formatNanoseconds } from "../../lib/format.ts";
import { type Attributes, type Span, type SpanEvent, type Trace, type Value, valueText } from "../../lib/otlp.ts";
import { linkTo, safeLink } from "../../lib/route.ts";
import { isGenAi } from "../../lib/tracetree.ts";
import { usePlace } from "../../state/location.ts";
import { Copy } from "../Copy.tsx";
import { Icon } from "../icons.tsx";
import { GenAi } from "./GenAi.tsx";

interface Props {
  readonly trace: Trace;
  readonly span: Span;
  readonly logsLink: string;
  readonly onClose: () => void;
}

export function SpanDetail({ trace, span, logsLink, onClose }: Props) {
  const startMs = trace.startMs + span.start / 1e6;
  const messages = ["gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"];
  const plain = Object.fromEntries(
    Object.entries(span.attributes).filter(([key]) => !isGenAi(span) || !messages.includes(key)),
  );
  return (
    <aside class="span-detail" data-testid="span-detail" aria-label="Span">
      <header>
        <h2>{span.name}</h2>
        <button type="button" class="plain" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <p class="span-facts">
        {span.service}
        {span.kind !== "" && ` · ${span.kind}`} · <b>{formatNanoseconds(span.duration)}</b> · from{" "}
        {formatNanoseconds(span.start)} · {formatMoment(startMs, Date.now(), true)}
      </p>
      {span.error && (
        <p class="notice notice-red" role="alert">
          <b>Failed.</b> {span.statusMessage}
        </p>
      )}
      {isGenAi(span) && <GenAi span={span} />}
      {span.events.length > 0 && (
        <Section title="Events" count={span.events.length}>
          {span.events.map((event, index) => (
            <Event key={index} event={event} span={span} />
          ))}
        </Section>
      )}
      <Section title="Attributes" count={Object.keys(plain).length}>
        <AttributeTable attributes={plain} scope="span" />
      </Section>
      {span.links.length > 0 && (
        <Section title="Links" count={span.links.length}>
          {span.links.map((link) => (
            <SpanLinkRow key={link.spanId} traceId={link.traceId} spanId={link.spanId} />
          ))}
        </Section>
      )}
      <Section title="Resource" count={Object.keys(span.resource).length}>
        <AttributeTable attributes={span.resource} scope="resource" />
      </Section>
      <p class="span-ids">
        <span>
          Span <code>{span.id}</code> <Copy text={span.id} title="Copy the span's id" />
        </span>
        {span.scope !== "" && <span>recorded by {span.scope}</span>}
        <a href={logsLink}>Logs of this trace</a>
      </p>
    </aside>
  );
}

function SpanLinkRow({ traceId, spanId }: { readonly traceId: string; readonly spanId: string }) {
  const { params } = usePlace();
  return (
    <p>
      <a href={linkTo(`/traces/${encodeURIComponent(traceId)}`, params, { span: spanId })}>
        Trace <code>{traceId.slice(0, 8)}</code>, span <code>{spanId}</code>
      </a>
    </p>
  );
}

function Section({ title, count, children }: { title: string; count: number; children: preact.ComponentChildren }) {
  return (
    <section class="detail-section">
      <h3>
        {title} <span class="faint">{count}</span>
      </h3>
      {children}
    </section>
  );
}

function Event({ event, span }: { readonly event: SpanEvent; readonly span: Span }) {
  const { "exception.stacktrace": stack, ...others } = event.attributes;
  return (
    <div class={event.name === "exception" ? "event event-error" : "event"} data-testid="span-event">
      <p>
        <b>{event.name}</b>{" "}
        <span class="faint">{formatNanoseconds(event.at - span.start)} after the start</span>
      </p>
      {Object.keys(others).length > 0 && <AttributeTable attributes={others} />}
      {typeof stack === "string" && <pre class="stack">{stack}</pre>}
    </div>
  );
}

function Shown({ value }: { readonly value: Value }) {
  const text = valueText(value);
  const link = typeof value === "string" ? safeLink(value) : null;
  if (link) {
    return (
      <a href={link} target="_blank" rel="noreferrer noopener">
        {text}
      </a>
    );
  }
  return <>{text}</>;
}

/** A dotted name that may be broken after its dots and underscores. */
export function Breakable({ name }: { readonly name: string }) {
  return (
    <>
      {name.split(/(?<=[._])/).map((part, index) => (
        <Fragment key={index}>
          {part}
          <wbr />
        </Fragment>
      ))}
    </>
  );
}

interface AttributeTableProps {
  readonly attributes: Attributes;
  readonly scope?: "span" | "resource";
}

export function AttributeTable({ attributes, scope }: AttributeTableProps) {
  const { params } = usePlace();
  const keys = Object.keys(attributes).sort();
  if (keys.length === 0) return <p class="faint">none</p>;
  return (
    <table class="attributes">
      <tbody>
        {keys.map((key) => {
          const value = attributes[key] as Value;
          return (
            <tr key={key} data-testid="attribute" data-key={key}>
              <th scope="row">
                <Breakable name={key} />
              </th>
              <td>
                <Shown value={value} />
              </td>
              <td class="attribute-tools">
                {scope && typeof value !== "object" && (
                  <a
                    href={linkTo("/traces", params, { attr: `${scope}.${key}=${valueText(value)}` })}
                    title="Find traces with this value"
                    aria-label={`Find traces with ${key} of this value`}
                  >
                    <Icon name="search" />
                  </a>
                )}
                <Copy text={valueText(value)} title={`Copy the value of ${key}`} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
