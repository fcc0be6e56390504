/** A button that copies a text. */

import { useState } from "preact/hooks";
import { Icon } from "./icons.tsx";

interface Props {
  readonly text: string;
  readonly title: string;
  readonly label?: string;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function Copy({ text, title, label }: Props) {
  const [done, setDone] = useState<"" | "Copied" | "Copying is blocked here">("");
  const act = async (event: Event): Promise<void> => {
    event.stopPropagation();
    setDone((await copy(text)) ? "Copied" : "Copying is blocked here");
    setTimeout(() => setDone(""), 1_500);
  };
  return (
    <button type="button" class="plain copy" title={title} aria-label={title} onClick={act}>
      {done === "" ? (
        <>
          <Icon name="copy" />
          {label}
        </>
      ) : (
        <span role="status">{done}</span>
      )}
    </button>
  );
}
