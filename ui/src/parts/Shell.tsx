/** Navigation, the banner of an absent server, and the help. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { troubleCount } from "../api/alertmanager.ts";
import { isAbort } from "../api/http.ts";
import { type BoardEntry, boards } from "../api/own.ts";
import { incidents } from "../api/incidents.ts";
import { formatTime } from "../lib/format.ts";
import { linkTo } from "../lib/route.ts";
import { health, recoveries } from "../state/health.ts";
import { useKeys } from "../state/keys.ts";
import { asked, refreshNow } from "../state/live.ts";
import { currentPlace, go, setParams, usePlace } from "../state/location.ts";
import { useStore } from "../state/store.ts";
import { theme, toggleTheme } from "../state/theme.ts";
import { Help } from "./Help.tsx";
import { Icon, type IconName } from "./icons.tsx";

const COUNT_EVERY_MS = 10_000;

const STANDARD: readonly BoardEntry[] = [
  { uid: "overview", title: "Overview", description: "" },
  { uid: "agents", title: "Agents", description: "" },
];

function useBoards(): readonly BoardEntry[] {
  const recovered = useStore(recoveries);
  const [found, setFound] = useState<readonly BoardEntry[]>(STANDARD);
  useEffect(() => {
    const abort = new AbortController();
    boards(abort.signal)
      .then(setFound)
      .catch(() => undefined);
    return () => abort.abort();
  }, [recovered]);
  return found;
}

/** A number that is asked for every ten seconds; null while it is unknown. */
function useCount(ask: (signal: AbortSignal) => Promise<number>): number | null {
  const recovered = useStore(recoveries);
  const manual = useStore(asked);
  const [count, setCount] = useState<number | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const look = async (): Promise<void> => {
      try {
        setCount(await ask(abort.signal));
      } catch (error) {
        if (!isAbort(error)) setCount(null);
      }
    };
    void look();
    const beat = setInterval(() => !document.hidden && void look(), COUNT_EVERY_MS);
    return () => {
      clearInterval(beat);
      abort.abort();
    };
  }, [recovered, manual]);
  return count;
}

/** How many incidents nobody has; null while that is unknown. */
function useUnheld(): number | null {
  return useCount(async (signal) => (await incidents("triggered", 1_000, signal)).length);
}

interface NavLinkProps {
  readonly path: string;
  /** Other pages that belong to it. */
  readonly also?: readonly string[];
  readonly icon: IconName;
  readonly title: string;
  readonly badge?: number | null;
  readonly badgeId?: string;
  readonly badgeMeans?: string;
}

function NavLink({ path, also = [], icon, title, badge = null, badgeId = "", badgeMeans = "" }: NavLinkProps) {
  const place = usePlace();
  const here = [path, ...also].some((each) => place.path === each || place.path.startsWith(`${each}/`));
  return (
    <a
      class="nav-link"
      href={linkTo(path, place.params)}
      title={title}
      aria-current={here ? "page" : undefined}
      data-testid={`nav-${path.split("/").at(-1)}`}
    >
      <Icon name={icon} />
      {icon === "board" && (
        <span class="nav-short" aria-hidden="true">
          {title.slice(0, 2)}
        </span>
      )}
      <span class="nav-text">{title}</span>
      {badge !== null && badge > 0 && (
        <span class="badge" data-testid={badgeId} title={`${badge} ${badgeMeans}`}>
          {badge}
        </span>
      )}
    </a>
  );
}

function Banner() {
  const { down, since } = useStore(health);
  const timer = useRef(0);
  const [late, setLate] = useState(false);
  useEffect(() => {
    // A restart of a moment needs no alarm.
    if (down) timer.current = window.setTimeout(() => setLate(true), 700);
    else setLate(false);
    return () => clearTimeout(timer.current);
  }, [down]);
  if (!down || !late) return null;
  return (
    <div class="banner" role="alert" data-testid="banner-down">
      <span class="pulse" />
      The server has not answered since {formatTime(since)}. What you see is from before. This page
      goes on by itself as soon as the server is back.
    </div>
  );
}

function jump(path: string): void {
  go(linkTo(path, currentPlace().params));
}

export function Shell({ children }: { readonly children: ComponentChildren }) {
  const entries = useBoards();
  const firing = useCount(troubleCount);
  const unheld = useUnheld();
  const shade = useStore(theme);
  const [help, setHelp] = useState(false);
  useKeys({
    "?": () => setHelp(true),
    r: refreshNow,
    d: toggleTheme,
    "1": () => entries[0] && jump(`/d/${entries[0].uid}`),
    "2": () => entries[1] && jump(`/d/${entries[1].uid}`),
    t: () => jump("/traces"),
    l: () => jump("/logs"),
    a: () => jump("/alerts"),
    i: () => jump("/incidents"),
    s: () => jump("/silences"),
    "/": () => document.querySelector<HTMLElement>("[data-search]")?.focus(),
    Escape: () => setParams({ panel: null }),
  });
  return (
    <div class="shell">
      <nav class="nav" aria-label="Pages">
        <a class="brand" href={linkTo("/", currentPlace().params)} title="watchkeeper">
          <svg viewBox="0 0 24 24" aria-hidden="true" class="brand-mark">
            <circle cx="12" cy="12" r="8.5" />
            <path d="M12 12V5.8M12 12l4.4 2.2" />
          </svg>
          <span class="nav-text">watchkeeper</span>
        </a>
        <div class="nav-group">
          <p class="nav-title">Dashboards</p>
          {entries.map(({ uid, title }) => (
            <NavLink key={uid} path={`/d/${uid}`} icon="board" title={title} />
          ))}
        </div>
        <div class="nav-group">
          <p class="nav-title">Look closer</p>
          <NavLink path="/traces" icon="traces" title="Traces" />
          <NavLink path="/logs" icon="logs" title="Logs" />
          <NavLink
            path="/alerts"
            also={["/silences", "/rules", "/notifications"]}
            icon="alerts"
            title="Alerts"
            badge={firing}
            badgeId="firing-count"
            badgeMeans="firing"
          />
          <NavLink
            path="/incidents"
            icon="incidents"
            title="Incidents"
            badge={unheld}
            badgeId="incident-count"
            badgeMeans="that nobody has"
          />
        </div>
        <div class="nav-foot">
          <button
            type="button"
            class="nav-link"
            onClick={toggleTheme}
            title="Dark or light ( d )"
            data-testid="theme-toggle"
          >
            <Icon name={shade === "dark" ? "sun" : "moon"} />
            <span class="nav-text">{shade === "dark" ? "Light" : "Dark"}</span>
          </button>
          <button type="button" class="nav-link" onClick={() => setHelp(true)} title="Keys ( ? )" data-testid="help-open">
            <Icon name="help" />
            <span class="nav-text">Keys</span>
          </button>
        </div>
      </nav>
      <div class="content">
        <Banner />
        {children}
      </div>
      {help && <Help close={() => setHelp(false)} />}
    </div>
  );
}
