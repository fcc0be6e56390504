/** Model, tokens, cost and messages of an LLM call. */

import { formatValue } from "../../lib/format.ts";
import { conversation } from "../../lib/genai.ts";
import { type Span, valueText } from "../../lib/otlp.ts";
import { numberOf } from "../../lib/tracetree.ts";

function facts(span: Span): [string, string][] {
  const { attributes } = span;
  const found: [string, string][] = [];
  const text = (label: string, ...keys: string[]): void => {
    const value = keys.map((key) => attributes[key]).find((each) => each !== undefined && each !== "");
    if (value === undefined) return;
    found.push([label, Array.isArray(value) ? value.map(valueText).join(", ") : valueText(value)]);
  };
  const number = (label: string, key: string, unit: "tokens" | "usd" | "s" | "short"): void => {
    const value = numberOf(span, key);
    if (value !== null) {
      found.push([label, unit === "tokens" ? value.toLocaleString("en-US") : formatValue(value, unit)]);
    }
  };
  text("Agent", "gen_ai.agent.name");
  text("Tool", "gen_ai.tool.name");
  text("Model", "gen_ai.response.model", "gen_ai.request.model");
  text("Provider", "gen_ai.provider.name", "gen_ai.system");
  number("Input tokens", "gen_ai.usage.input_tokens", "tokens");
  number("of them cached", "gen_ai.usage.cache_read.input_tokens", "tokens");
  number("Output tokens", "gen_ai.usage.output_tokens", "tokens");
  number("Cost", "llm.cost_usd", "usd");
  number("First chunk after", "gen_ai.response.time_to_first_chunk", "s");
  number("Steps", "agent.run.steps", "short");
  text("Ended because", "gen_ai.response.finish_reasons");
  text("Customer", "tenant.id");
  return found;
}

export function GenAi({ span }: { readonly span: Span }) {
  const messages = conversation(span.attributes);
  const isCall = span.attributes["gen_ai.operation.name"] === "chat";
  return (
    <section class="detail-section" data-testid="genai">
      <dl class="facts">
        {facts(span).map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {messages.map(({ role, text }, index) => (
        <figure key={index} class={`message message-${role === "user" || role === "assistant" ? role : "other"}`}>
          <figcaption>{role}</figcaption>
          <pre>{text}</pre>
        </figure>
      ))}
      {isCall && messages.length === 0 && (
        <p class="faint">
          Messages are not recorded unless the application asks for it, since they may hold personal
          data.
        </p>
      )}
    </section>
  );
}
