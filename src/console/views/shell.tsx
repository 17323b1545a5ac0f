import { linkTo, type Route } from "../model/route.js";
import { AuditView } from "./auditView.js";
import { useEmergencies } from "./emergencies.js";
import { EventView } from "./event/eventView.js";
import { EventList } from "./eventList.js";
import { FleetView } from "./fleetView.js";
import { Overview } from "./overview.js";
import { StatusBar, useIsLive } from "./statusBar.js";

interface ShellProps {
  route: Route;
  /** Undefined if the user is not signed in. */
  onSignOut: (() => void) | undefined;
}

/** The frame of the page: header, status bar, list of events, and the current view. */
export function Shell({ route, onSignOut }: ShellProps) {
  useEmergencies();
  const isLive = useIsLive();
  const link = (page: "overview" | "fleet" | "audit", text: string) => (
    <a href={linkTo({ page })} aria-current={route.page === page ? "page" : undefined}>
      {text}
    </a>
  );
  return (
    <div class="shell" data-page={route.page} data-live={isLive}>
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to the content
      </button>
      <header class="top">
        <span class="brand">Squelch</span>
        <nav aria-label="Pages">
          {link("overview", "Events")}
          {link("fleet", "Fleet")}
          {link("audit", "Audit")}
        </nav>
        {onSignOut !== undefined && (
          <button type="button" class="small" onClick={onSignOut}>
            Sign out
          </button>
        )}
      </header>
      <StatusBar />
      <EventList selected={route.page === "event" ? route.eventId : undefined} />
      <main id="main" tabIndex={-1}>
        {route.page === "overview" && <Overview />}
        {route.page === "fleet" && <FleetView />}
        {route.page === "audit" && (
          <>
            <h1>Audit trail</h1>
            <AuditView />
          </>
        )}
        {route.page === "event" && <EventView key={route.eventId} eventId={route.eventId} />}
      </main>
    </div>
  );
}
