import { useEffect, useRef } from "preact/hooks";
import { useConsole, useLive } from "./console.js";

/** Announces to screen readers when a pause begins or ends, in every view, and shows the number of pauses in the title. */
export function useEmergencies(): void {
  const { feed, announce } = useConsole();
  const paused = useLive((console) =>
    [...console.feed.picture.events.values()]
      .flatMap(({ eventId, pause }) => (pause === undefined ? [] : `${eventId}\n${pause.pauseId}`))
      .sort()
      .join("\t"),
  );
  const known = useRef<ReadonlySet<string> | undefined>(undefined);
  useEffect(() => {
    const now = new Set(paused === "" ? [] : paused.split("\t"));
    document.title = now.size > 0 ? `(${now.size} paused) Squelch` : "Squelch";
    const before = known.current;
    known.current = now;
    if (before === undefined) return;
    for (const entry of now) {
      if (before.has(entry)) continue;
      const [eventId = ""] = entry.split("\n");
      const reason = feed.picture.events.get(eventId)?.pause?.reason;
      announce(`Emergency: all speakers of ${eventId} are paused${reason ? `: ${reason}` : ""}`, "assertive");
    }
    for (const entry of before) {
      const [eventId = ""] = entry.split("\n");
      if (!now.has(entry) && feed.picture.events.get(eventId)?.pause === undefined) {
        announce(`The pause of ${eventId} has ended`, "assertive");
      }
    }
  }, [paused, feed, announce]);
}
