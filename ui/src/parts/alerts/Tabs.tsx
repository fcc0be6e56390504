/** The pages of alerting, one of which is open. */

import { linkTo } from "../../lib/route.ts";
import { usePlace } from "../../state/location.ts";

const TABS: readonly [string, string][] = [
  ["/alerts", "Alerts"],
  ["/silences", "Silences"],
  ["/rules", "Rules"],
  ["/notifications", "Notifications"],
];

export function AlertTabs() {
  const { path, params } = usePlace();
  return (
    <nav class="tabs" aria-label="Alerting">
      {TABS.map(([to, title]) => (
        <a key={to} href={linkTo(to, params)} aria-current={path === to || path.startsWith(`${to}/`) ? "page" : undefined} data-testid={`tab${to.replace("/", "-")}`}>
          {title}
        </a>
      ))}
    </nav>
  );
}
