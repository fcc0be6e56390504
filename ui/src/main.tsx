import { render } from "preact";
import { useEffect } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "./styles/index.css";
import { Shell } from "./parts/Shell.tsx";
import { AlertsPage } from "./pages/Alerts.tsx";
import { Dashboard } from "./pages/Dashboard.tsx";
import { IncidentPage } from "./pages/Incident.tsx";
import { IncidentsPage } from "./pages/Incidents.tsx";
import { LogsPage } from "./pages/Logs.tsx";
import { NotificationsPage } from "./pages/Notifications.tsx";
import { RulesPage } from "./pages/Rules.tsx";
import { EditSilencePage, NewSilencePage, SilencePage, SilencesPage } from "./pages/Silences.tsx";
import { TracePage } from "./pages/Trace.tsx";
import { TracesPage } from "./pages/Traces.tsx";
import { usePlace } from "./state/location.ts";
import { startTheme } from "./state/theme.ts";

function Route() {
  const { path } = usePlace();
  const [, page = "", ...rest] = path.split("/");
  const id = decoded(rest.join("/"));
  useEffect(() => window.scrollTo(0, 0), [page, id]);
  if (page === "traces") return id === "" ? <TracesPage /> : <TracePage key={id} id={id} />;
  if (page === "logs") return <LogsPage />;
  if (page === "alerts") return <AlertsPage />;
  if (page === "rules") return <RulesPage />;
  if (page === "notifications") return <NotificationsPage />;
  if (page === "incidents") return id === "" ? <IncidentsPage /> : <IncidentPage key={id} id={id} />;
  if (page === "silences") return <Silences id={id} />;
  return <Dashboard uid={page === "d" && id !== "" ? id : "overview"} />;
}

function Silences({ id }: { readonly id: string }) {
  if (id === "") return <SilencesPage />;
  if (id === "new") return <NewSilencePage />;
  const own = id.replace(/\/edit$/, "");
  return own === id ? <SilencePage key={id} id={id} /> : <EditSilencePage key={id} id={own} />;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Addresses are written `/#/alerts`; somebody who types `/alerts` means the same. */
function adoptPath(): void {
  const page = window.location.pathname.split("/").at(-1) ?? "";
  if (page !== "" && page !== "index.html" && window.location.hash === "") {
    window.history.replaceState(null, "", `./#/${page}`);
    window.dispatchEvent(new PopStateEvent("popstate"));
  }
}

startTheme();
adoptPath();
const host = document.getElementById("app");
if (host) {
  render(
    <Shell>
      <Route />
    </Shell>,
    host,
  );
}
