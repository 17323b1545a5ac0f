import { formatTimeOfDay } from "../../model/format.js";
import { linkTo } from "../../model/route.js";
import { useLive } from "../console.js";

const MAX_SHOWN = 60;

/** A list of the newest changes of one event or of all events. */
export function ActivityList({ eventId }: { eventId?: string }) {
  const activity = useLive(({ feed }) => feed.picture.activity);
  const shown = activity.filter((entry) => eventId === undefined || entry.eventId === eventId).slice(0, MAX_SHOWN);
  if (shown.length === 0) return <p class="empty">Nothing has changed since this page was opened</p>;
  return (
    <ol class="activity" aria-label="Newest changes">
      {shown.map((entry) => (
        <li key={entry.key} data-tone={entry.tone}>
          <time class="digits">{formatTimeOfDay(entry.timeMs)}</time>
          {eventId === undefined && <a href={linkTo({ page: "event", eventId: entry.eventId })}>{entry.eventId}</a>}
          <span class="text">{entry.text}</span>
          {entry.actor !== "" && <span class="actor">{entry.actor}</span>}
        </li>
      ))}
    </ol>
  );
}
