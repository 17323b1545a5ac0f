import { formatCount, timeOf } from "../model/format.js";
import { linkTo } from "../model/route.js";
import { useConsole, useLive } from "./console.js";
import { Countdown, Elapsed } from "./controls/clock.js";
import { ActivityList } from "./event/activityList.js";

/** The pauses, speakers and newest changes of all events. */
export function Overview() {
  const { feed } = useConsole();
  // Changes of speakers and pauses in all events.
  useLive((console) => {
    let version = console.feed.picture.eventsVersion;
    for (const event of console.feed.picture.events.values()) version += event.floorVersion;
    return version;
  });
  const events = [...feed.picture.events.values()];
  const paused = events.filter(({ pause }) => pause !== undefined);
  const onAir = events
    .filter(({ pause }) => pause === undefined)
    .flatMap(({ eventId, speakers }) => [...speakers.values()].map((speaker) => ({ eventId, speaker })));
  return (
    <div class="overview">
      <h1>All events</h1>
      <section class="panel" aria-labelledby="paused-title">
        <h2 id="paused-title">Paused ({paused.length})</h2>
        {paused.length === 0 && <p class="empty">No event is paused</p>}
        <ul class="rows">
          {paused.map(({ eventId, pause }) => (
            <li key={eventId} data-state="paused">
              <span class="lamp" aria-hidden="true" />
              <a href={linkTo({ page: "event", eventId })}>{eventId}</a>
              <span class="text">{pause?.reason || "No reason was given"}</span>
              <Countdown untilMs={timeOf(pause?.expiresAt) ?? 0} />
            </li>
          ))}
        </ul>
      </section>
      <section class="panel" aria-labelledby="air-title">
        <h2 id="air-title">On air ({onAir.length})</h2>
        {onAir.length === 0 && <p class="empty">Nobody is speaking</p>}
        <ul class="rows tall">
          {onAir.slice(0, 100).map(({ eventId, speaker }) => (
            <li key={`${eventId} ${speaker.channelId}`} data-state="speaking">
              <span class="lamp" aria-hidden="true" />
              <a href={linkTo({ page: "event", eventId })}>{eventId}</a>
              <span class="text">
                {speaker.userName || speaker.userId} on {speaker.channelId}
              </span>
              <Elapsed sinceMs={timeOf(speaker.startedAt) ?? 0} />
            </li>
          ))}
        </ul>
        {onAir.length > 100 && <p class="hint">and {formatCount(onAir.length - 100, "other channel")}</p>}
      </section>
      <section class="panel wide" aria-labelledby="changes-title">
        <h2 id="changes-title">Changes</h2>
        <ActivityList />
      </section>
    </div>
  );
}
