import { useMemo, useState } from "preact/hooks";
import { formatCount, timeOf } from "../model/format.js";
import { linkTo } from "../model/route.js";
import { searchIds, sortIds } from "../model/search.js";
import { useConsole, useLive } from "./console.js";
import { Countdown } from "./controls/clock.js";

/** All events with their state, sorted by name. The order does not depend on the state, so rows do not move. */
export function EventList({ selected }: { selected: string | undefined }) {
  const { feed } = useConsole();
  const version = useLive((console) => console.feed.picture.eventsVersion);
  const [text, setText] = useState("");
  const ids = useMemo(() => sortIds(feed.picture.events.keys()), [feed, version]);
  const found = searchIds(ids, text);
  return (
    <nav class="event-list" aria-label="Events">
      <input
        type="search"
        aria-label="Find an event"
        placeholder={`Find among ${formatCount(ids.length, "event")}`}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <ul>
        {found.map((eventId) => (
          <EventLink key={eventId} eventId={eventId} isSelected={eventId === selected} />
        ))}
      </ul>
      {found.length === 0 && (
        <p class="empty">{ids.length === 0 ? "No events yet" : "No event name contains this text"}</p>
      )}
    </nav>
  );
}

function EventLink({ eventId, isSelected }: { eventId: string; isSelected: boolean }) {
  const { feed } = useConsole();
  useLive((console) => console.feed.picture.events.get(eventId)?.floorVersion);
  const event = feed.picture.events.get(eventId);
  const untilMs = timeOf(event?.pause?.expiresAt);
  const speaking = event?.speakers.size ?? 0;
  const state = event?.pause !== undefined ? "paused" : speaking > 0 ? "speaking" : "free";
  return (
    <li>
      <a href={linkTo({ page: "event", eventId })} aria-current={isSelected ? "page" : undefined} data-state={state}>
        <span class="lamp" aria-hidden="true" />
        <span class="name">{eventId}</span>
        <span class="tag">
          {untilMs !== undefined ? (
            <>
              paused <Countdown untilMs={untilMs} />
            </>
          ) : speaking > 0 ? (
            `${speaking} on air`
          ) : (
            ""
          )}
        </span>
      </a>
    </li>
  );
}
