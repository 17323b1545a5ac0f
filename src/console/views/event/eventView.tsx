import { useEffect, useState } from "preact/hooks";
import { formatCount, timeOf } from "../../model/format.js";
import { AuditView } from "../auditView.js";
import { useConsole, useLive } from "../console.js";
import { Countdown } from "../controls/clock.js";
import { ActivityList } from "./activityList.js";
import { AppliedRouters } from "./appliedRouters.js";
import { ChannelBoard } from "./channelBoard.js";
import { PauseDesk } from "./pauseDesk.js";
import { useEventChannels } from "./useEventChannels.js";
import { UserPanel } from "./userPanel.js";

const TABS = ["Channels", "Users", "Changes", "Audit"] as const;
type Tab = (typeof TABS)[number];

/** The view of one event: the pause desk on one side, channels, users and changes on the other. */
export function EventView({ eventId }: { eventId: string }) {
  const { feed } = useConsole();
  const [tab, setTab] = useState<Tab>("Channels");
  useLive((console) => {
    const event = console.feed.picture.events.get(eventId);
    return event && [event.floorVersion, event.usersVersion, event.channelsVersion, event.bansVersion].join();
  });
  const event = feed.picture.events.get(eventId);
  const channelIds = useEventChannels(eventId);
  useEffect(() => setTab("Channels"), [eventId]);
  if (event === undefined) {
    return (
      <p class="empty">
        {feed.isHealthy === undefined ? "Waiting for the server" : `The event ${eventId} does not exist`}
      </p>
    );
  }
  const untilMs = timeOf(event.pause?.expiresAt);
  return (
    <div class="event" data-paused={untilMs !== undefined}>
      <header class="event-head">
        <h1>{eventId}</h1>
        {untilMs !== undefined ? (
          <span class="event-state" data-state="paused">
            Paused, <Countdown untilMs={untilMs} /> left
          </span>
        ) : (
          <span class="event-state" data-state={event.speakers.size > 0 ? "speaking" : "free"}>
            {event.speakers.size > 0 ? `${event.speakers.size} on air` : "Quiet"}
          </span>
        )}
        <span class="event-counts">
          {formatCount(channelIds.length, "channel")}, {formatCount(event.userCount, "user")}
        </span>
      </header>
      <div class="event-desk">
        <PauseDesk event={event} />
        <AppliedRouters event={event} />
      </div>
      <div class="event-main panel">
        <div class="tabs" role="tablist" aria-label="Parts of the event">
          {TABS.map((name, index) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              aria-selected={tab === name}
              aria-controls="tab-panel"
              tabIndex={tab === name ? 0 : -1}
              onClick={() => setTab(name)}
              onKeyDown={(keyEvent) => {
                const step = { ArrowRight: 1, ArrowLeft: -1 }[keyEvent.key];
                if (step === undefined) return;
                const next = TABS[(index + step + TABS.length) % TABS.length] as Tab;
                setTab(next);
                document.getElementById(`tab-${next}`)?.focus();
              }}
            >
              {name}
            </button>
          ))}
        </div>
        <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`}>
          {tab === "Channels" && <ChannelBoard event={event} channelIds={channelIds} />}
          {tab === "Users" && <UserPanel event={event} channelIds={channelIds} />}
          {tab === "Changes" && <ActivityList eventId={eventId} />}
          {tab === "Audit" && <AuditView eventId={eventId} />}
        </div>
      </div>
    </div>
  );
}
