/** What to look for in the logs. */

import { useEffect, useState } from "preact/hooks";
import { logLabelValues } from "../../api/loki.ts";
import { LEVELS, type LogFilter } from "../../lib/logs.ts";
import { useAsked } from "../../state/asked.ts";
import type { Live } from "../../state/live.ts";
import { setParams } from "../../state/location.ts";
import { MultiSelect } from "../MultiSelect.tsx";

interface Props {
  readonly filter: LogFilter;
  readonly query: string;
  readonly live: Live;
}

const TYPING_MS = 350;

export function LogForm({ filter, query, live }: Props) {
  const [text, setText] = useState(filter.text);
  const [raw, setRaw] = useState(filter.query);
  const [writes, setWrites] = useState(filter.query !== "");
  const services = useAsked((signal) => logLabelValues("service_name", live.bounds, signal), [live.range.from]);
  useEffect(() => setText(filter.text), [filter.text]);
  useEffect(() => {
    if (text === filter.text) return undefined;
    const timer = setTimeout(() => setParams({ text }, "replace"), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  if (writes) {
    return (
      <form
        class="log-form"
        onSubmit={(event) => {
          event.preventDefault();
          setParams({ q: raw });
        }}
      >
        <input
          type="text"
          class="mono grow"
          aria-label="LogQL"
          data-search
          data-testid="logql"
          placeholder='{service_name="api"} |= "timeout"'
          value={raw}
          onInput={(event) => setRaw(event.currentTarget.value)}
        />
        <button type="submit" class="button primary">
          Search
        </button>
        <button
          type="button"
          class="plain link"
          onClick={() => {
            setWrites(false);
            setParams({ q: null });
          }}
        >
          Use the form
        </button>
      </form>
    );
  }
  return (
    <form
      class="log-form"
      onSubmit={(event) => {
        event.preventDefault();
        setParams({ text }, "replace");
      }}
    >
      <MultiSelect
        label="Service"
        testid="log-service"
        options={services.data ?? []}
        chosen={filter.services}
        onChange={(values) => setParams({ service: values })}
      />
      <MultiSelect
        label="Level"
        testid="log-level"
        options={LEVELS}
        chosen={filter.levels}
        onChange={(values) => setParams({ level: values })}
      />
      <input
        type="search"
        class="grow"
        data-search
        data-testid="log-text"
        aria-label="Text"
        placeholder="Text in the line ( / )"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {filter.trace !== "" && (
        <button
          type="button"
          class="chip"
          title="Show lines of other traces too"
          data-testid="log-trace-filter"
          onClick={() => setParams({ trace: null })}
        >
          trace {filter.trace.slice(0, 8)} ×
        </button>
      )}
      {filter.fields.map((pair) => (
        <button
          key={pair}
          type="button"
          class="chip"
          title="Take this filter away"
          onClick={() => setParams({ field: filter.fields.filter((each) => each !== pair) })}
        >
          {pair} ×
        </button>
      ))}
      <button
        type="button"
        class="plain link"
        onClick={() => {
          setRaw(query);
          setWrites(true);
        }}
      >
        Write LogQL
      </button>
    </form>
  );
}
