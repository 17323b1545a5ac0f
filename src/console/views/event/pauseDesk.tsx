import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { useEffect, useRef, useState } from "preact/hooks";
import type { SpeakerPause } from "../../../../gen/squelch/v1/model_pb.js";
import { describeFailedWrite } from "../../api/problem.js";
import type { EventPicture } from "../../model/eventPicture.js";
import { formatCount, formatTimeOfDay, timeOf } from "../../model/format.js";
import { createRequestId } from "../../model/requestId.js";
import { useConsole } from "../console.js";
import { Countdown } from "../controls/clock.js";
import { DurationField } from "../controls/durationField.js";
import { HoldButton } from "../controls/holdButton.js";
import { UserField } from "./userField.js";

const DURATIONS = [
  { label: "1 minute", ms: 60_000 },
  { label: "2 minutes", ms: 120_000 },
  { label: "5 minutes", ms: 300_000 },
  { label: "15 minutes", ms: 900_000 },
  { label: "1 hour", ms: 3_600_000 },
  { label: "stop speakers once, no pause", ms: 0 },
] as const;

/** The emergency pause: a form to pause the event, or the current pause with a button to end it. */
export function PauseDesk({ event }: { event: EventPicture }) {
  const [said, setSaid] = useState<{ tone: "done" | "failed"; text: string }>();
  const { eventId } = event;
  useEffect(() => setSaid(undefined), [eventId]);
  const desk = useRef<HTMLElement>(null);
  const hadFocus = useRef(false);
  const pauseId = event.pause?.pauseId;
  // The focused control disappears when the state changes. The focus moves here, so that keyboard users can continue.
  useEffect(() => {
    if (hadFocus.current && !desk.current?.contains(document.activeElement)) desk.current?.focus();
  }, [pauseId]);
  const report = (tone: "done" | "failed", text: string) => setSaid({ tone, text });
  return (
    <section
      ref={desk}
      class="panel pause-desk"
      data-state={event.pause ? "paused" : "free"}
      aria-labelledby="pause-title"
      tabIndex={-1}
      onFocusIn={() => {
        hadFocus.current = true;
      }}
      onFocusOut={({ relatedTarget }) => {
        if (relatedTarget !== null) hadFocus.current = desk.current?.contains(relatedTarget as Node) ?? false;
      }}
    >
      <h2 id="pause-title">{event.pause ? "All speakers are paused" : "Emergency pause"}</h2>
      {event.pause ? (
        <StandingPause event={event} pause={event.pause} report={report} />
      ) : (
        <PauseForm key={eventId} event={event} report={report} />
      )}
      <p class="said" data-tone={said?.tone} role={said?.tone === "failed" ? "alert" : "status"}>
        {said?.text}
      </p>
    </section>
  );
}

interface FormProps {
  event: EventPicture;
  report(tone: "done" | "failed", text: string): void;
}

function PauseForm({ event, report }: FormProps) {
  const { session } = useConsole();
  const [reason, setReason] = useState("");
  const [durationMs, setDurationMs] = useState<number>(DURATIONS[0].ms);
  const [broadcasterId, setBroadcasterId] = useState("");
  const [isBusy, setBusy] = useState(false);
  // The id is kept until the server answers, so that a retry after an unknown outcome does not pause twice.
  const requestId = useRef<string | undefined>(undefined);

  const pause = async () => {
    setBusy(true);
    requestId.current ??= createRequestId();
    try {
      const userId = broadcasterId.trim();
      const { paused } = await session.permissions.pauseAllSpeakers({
        eventId: event.eventId,
        reason: reason.trim(),
        duration: durationFromMs(durationMs),
        requestId: requestId.current,
        ...(userId !== "" && { broadcaster: { userId, userName: userId } }),
      });
      requestId.current = undefined;
      report("done", `${formatCount(paused.length, "speaker")} stopped`);
    } catch (error) {
      const problem = describeFailedWrite(error);
      if (problem.kind !== "unreachable") requestId.current = undefined;
      report("failed", problem.text);
    } finally {
      setBusy(false);
    }
  };

  return (
    <>
      <label>
        Reason
        <input
          name="reason"
          maxLength={200}
          placeholder="All users see this"
          autocomplete="off"
          value={reason}
          onInput={(input) => setReason(input.currentTarget.value)}
        />
      </label>
      <DurationField label="Duration" choices={DURATIONS} value={durationMs} onValue={setDurationMs} />
      <UserField
        label="Broadcaster"
        placeholder="Nobody (silence)"
        event={event}
        value={broadcasterId}
        onValue={setBroadcasterId}
      />
      <HoldButton
        label={isBusy ? "Pausing" : "Pause all speakers"}
        question={`Pause all speakers of ${event.eventId}?`}
        isBusy={isBusy}
        onHeld={() => void pause()}
      />
    </>
  );
}

function StandingPause({ event, pause, report }: FormProps & { pause: SpeakerPause }) {
  const { session } = useConsole();
  const [isBusy, setBusy] = useState(false);
  const { pauseId, broadcaster, exemptUserIds } = pause;
  const resume = async () => {
    setBusy(true);
    try {
      await session.permissions.resumeSpeakers({ eventId: event.eventId, pauseId });
      report("done", "The pause was lifted");
    } catch (error) {
      report("failed", describeFailedWrite(error).text);
    } finally {
      setBusy(false);
    }
  };
  const startedMs = timeOf(pause.startedAt) ?? 0;
  const untilMs = timeOf(pause.expiresAt) ?? 0;
  return (
    <>
      <p class="countdown">
        <Countdown untilMs={untilMs} />
      </p>
      <dl class="facts">
        <dt>Reason</dt>
        <dd>{pause.reason || "No reason given"}</dd>
        <dt>Since</dt>
        <dd class="digits">
          {formatTimeOfDay(startedMs)}, until {formatTimeOfDay(untilMs)}
        </dd>
        <dt>By</dt>
        <dd>{pause.actor || "Unknown"}</dd>
        <dt>On air</dt>
        <dd>{broadcaster ? broadcaster.userName || broadcaster.userId : "Nobody"}</dd>
        {exemptUserIds.length > 0 && (
          <>
            <dt>Exempt</dt>
            <dd>{exemptUserIds.join(", ")}</dd>
          </>
        )}
        {event.cut !== undefined && (
          <>
            <dt>Cut</dt>
            <dd>{formatCount(event.cut, "speaker")}</dd>
          </>
        )}
      </dl>
      <button type="button" class="primary resume" aria-disabled={isBusy} onClick={() => !isBusy && void resume()}>
        {isBusy ? "Resuming" : "Resume"}
      </button>
    </>
  );
}
