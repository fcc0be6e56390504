/** What was sent to whom. */

import { notifications } from "../api/own.ts";
import { Notifications } from "../parts/alerts/Notifications.tsx";
import { AlertTabs } from "../parts/alerts/Tabs.tsx";
import { Page } from "../parts/Page.tsx";
import { Failure, Loading } from "../parts/States.tsx";
import { useBeat } from "../state/beat.ts";
import { usePolled } from "../state/polled.ts";

const LISTED = 200;

export function NotificationsPage() {
  const now = useBeat(5);
  return (
    <Page title="Notifications" subtitle="What was sent to whom, newest first." testid="page-notifications" live={null}>
      <AlertTabs />
      <Told now={now} name="" />
    </Page>
  );
}

/** Notifications of one rule, or of all if `name` is empty. */
export function Told({ now, name }: { readonly now: number; readonly name: string }) {
  const told = usePolled((signal) => notifications(LISTED, signal), now, "notifications");
  const state = told.data ? (told.data.length === 0 ? "empty" : "data") : told.error === null ? "loading" : "error";
  return (
    <section class="panel scroll-x" data-testid="notifications" data-state={state}>
      {told.error !== null && !told.data && <Failure message={told.error} />}
      {told.error === null && !told.data && <Loading />}
      {told.data && <Notifications entries={told.data} name={name} now={now} />}
    </section>
  );
}
