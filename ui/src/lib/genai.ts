/** Prompts and answers of an LLM call, in whichever shape the instrumentation wrote them. */

import type { Attributes, Value } from "./otlp.ts";

export interface Message {
  readonly role: string;
  readonly text: string;
}

function parsed(value: Value | undefined): Value {
  if (typeof value !== "string") return value ?? null;
  try {
    return JSON.parse(value) as Value;
  } catch {
    return value;
  }
}

function partText(part: Value): string {
  if (typeof part === "string") return part;
  if (part === null || typeof part !== "object" || Array.isArray(part)) return JSON.stringify(part);
  const text = part["content"] ?? part["text"];
  if (typeof text === "string") return text;
  const name = part["name"];
  if (part["type"] === "tool_call" || part["type"] === "tool_use") {
    const given = part["arguments"] ?? part["input"] ?? {};
    return `→ ${typeof name === "string" ? name : "tool"}(${
      typeof given === "string" ? given : JSON.stringify(given)
    })`;
  }
  const answer = part["response"] ?? part["result"];
  if (part["type"] === "tool_call_response") {
    return `← ${typeof answer === "string" ? answer : JSON.stringify(answer)}`;
  }
  return JSON.stringify(part);
}

function message(value: Value, role: string): Message {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return { role, text: partText(value) };
  }
  const parts = value["parts"] ?? value["content"] ?? value;
  const text = Array.isArray(parts) ? parts.map(partText).join("\n") : partText(parts);
  return { role: typeof value["role"] === "string" ? value["role"] : role, text };
}

function messages(value: Value | undefined, role: string): Message[] {
  const content = parsed(value);
  if (content === null || content === "") return [];
  return (Array.isArray(content) ? content : [content]).map((each) => message(each, role));
}

/** The messages of a span, system instructions first; empty unless the application captured them. */
export function conversation(attributes: Attributes): Message[] {
  return [
    ...messages(attributes["gen_ai.system_instructions"], "system"),
    ...messages(attributes["gen_ai.input.messages"], "user"),
    ...messages(attributes["gen_ai.output.messages"], "assistant"),
  ];
}
