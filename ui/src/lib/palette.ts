/** Colours that charts draw with; canvas cannot read CSS variables that depend on the theme. */

export type Theme = "dark" | "light";

export interface Palette {
  readonly series: readonly string[];
  readonly red: string;
  readonly amber: string;
  readonly green: string;
  readonly text: string;
  readonly grid: string;
  readonly surface: string;
  readonly cursor: string;
}

export const PALETTES: Record<Theme, Palette> = {
  dark: {
    series: [
      "#5cc9b0", "#7da7f5", "#eeb45e", "#e492b4", "#a9d36f", "#b8a1f0", "#67c3e6", "#ef8f72",
      "#d2cb6c", "#8fb9aa", "#cb94de", "#9eabbd",
    ],
    red: "#f47c79",
    amber: "#ebb84f",
    green: "#69c98a",
    text: "#93a1a8",
    grid: "#1e282c",
    surface: "#12191c",
    cursor: "#5f6f76",
  },
  light: {
    series: [
      "#0c7d69", "#2f62c9", "#b06a00", "#b33a70", "#4b850e", "#6c48c4", "#087aa2", "#bf4a22",
      "#837509", "#4c7366", "#8d36b0", "#586575",
    ],
    red: "#c5282b",
    amber: "#a86400",
    green: "#167c3d",
    text: "#5a686e",
    grid: "#e9edef",
    surface: "#ffffff",
    cursor: "#8b989e",
  },
};

type Meaning = "red" | "amber" | "green";

const MEANINGS: readonly [RegExp, Meaning][] = [
  [/^5(\d\d|xx)$|\b(error|errors|failure|failed|fatal|critical|rejected|dropped)\b/i, "red"],
  [/^4(\d\d|xx)$|\b(retry|warn|warning|timeout|refused)\b/i, "amber"],
  [/^2(\d\d|xx)$|\b(success|succeeded|accepted|ok)\b/i, "green"],
];

/** Gives each name a colour and keeps it as names come and go. */
export class Colours {
  private readonly slots = new Map<string, Meaning | number>();
  private next = 0;

  /** Name new series in the order given; a meaning such as "failure" claims its colour once. */
  learn(names: readonly string[]): void {
    for (const name of names) {
      if (this.slots.has(name)) continue;
      const meaning = MEANINGS.find(([pattern]) => pattern.test(name))?.[1];
      const free = meaning !== undefined && ![...this.slots.values()].includes(meaning);
      this.slots.set(name, free ? meaning : this.next++);
    }
  }

  of(name: string, palette: Palette): string {
    const slot = this.slots.get(name) ?? 0;
    if (typeof slot !== "number") return palette[slot];
    return palette.series[slot % palette.series.length] as string;
  }
}

/** A colour with opacity, as `#rrggbbaa`. */
export function faded(colour: string, opacity: number): string {
  return `${colour}${Math.round(opacity * 255).toString(16).padStart(2, "0")}`;
}

export const LEVEL_COLOURS: Record<Theme, Record<string, string>> = {
  dark: {
    fatal: "#ff8f9f", error: "#f47c79", warn: "#ebb84f", info: "#62a8d8", debug: "#7f8f97",
    trace: "#65747b", unknown: "#9aa7ad",
  },
  light: {
    fatal: "#8d0f2c", error: "#c5282b", warn: "#c27c0a", info: "#3f86ba", debug: "#93a0a6",
    trace: "#b3bec3", unknown: "#77858b",
  },
};

/** The colours of log levels, whatever order they come in. */
export class LevelColours extends Colours {
  private readonly theme: () => Theme;

  constructor(theme: () => Theme) {
    super();
    this.theme = theme;
  }

  override of(name: string, palette: Palette): string {
    return LEVEL_COLOURS[this.theme()][name] ?? palette.text;
  }
}
