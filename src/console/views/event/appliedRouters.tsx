import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { useEffect, useState } from "preact/hooks";
import {
  AppliedOutcome,
  type AwaitAppliedResponse,
  type RouterProgress,
} from "../../../../gen/squelch/v1/fleet_service_pb.js";
import { describeProblem } from "../../api/problem.js";
import type { EventPicture } from "../../model/eventPicture.js";
import { formatAge, formatCount, timeOf } from "../../model/format.js";
import { useConsole, useLive } from "../console.js";

/** The longest wait of one call for all routers during a pause, ms. */
const WAIT_MS = 2_000;
/** The time between two calls, ms. It is short while some routers have not applied a pause. */
const SHORT_INTERVAL_MS = 500;
const LONG_INTERVAL_MS = 4_000;

type Answer = Pick<AwaitAppliedResponse, "applied" | "missing" | "outcome">;

/** Shows which routers have applied the pause, or, without a pause, all changes so far. */
export function AppliedRouters({ event }: { event: EventPicture }) {
  const { session, fleet } = useConsole();
  const [answer, setAnswer] = useState<Answer>();
  const [problem, setProblem] = useState("");
  const { eventId, epoch } = event;
  const pauseId = event.pause?.pauseId;
  const isOpen = useLive(({ feed }) => feed.link.state === "open");

  useEffect(() => {
    const stop = new AbortController();
    setAnswer(undefined);
    setProblem("");
    let timeoutMs = 0;
    const ask = async () => {
      const isPaused = pauseId !== undefined;
      const revision = isPaused ? event.pauseRevision : event.revision;
      const timeout = durationFromMs(timeoutMs);
      // The first call answers at once with the current state.
      timeoutMs = isPaused ? WAIT_MS : 0;
      try {
        const next = await session.fleet.awaitApplied({ eventId, epoch, revision, timeout }, { signal: stop.signal });
        if (stop.signal.aborted) return LONG_INTERVAL_MS;
        setAnswer(next);
        setProblem("");
        return isPaused && next.outcome === AppliedOutcome.SOME_MISSING ? SHORT_INTERVAL_MS : LONG_INTERVAL_MS;
      } catch (error) {
        if (!stop.signal.aborted) {
          setAnswer(undefined);
          setProblem(describeProblem(error).text);
        }
        return LONG_INTERVAL_MS;
      }
    };
    const run = async () => {
      while (!stop.signal.aborted && isOpen) {
        const delayMs = document.hidden ? LONG_INTERVAL_MS : await ask();
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    };
    void run();
    return () => stop.abort();
  }, [session, event, eventId, epoch, pauseId, isOpen]);

  return (
    <section class="panel applied" data-paused={pauseId !== undefined} aria-labelledby="applied-title">
      <h2 id="applied-title">{pauseId === undefined ? "Routers up to date" : "Pause in force"}</h2>
      {answer !== undefined ? (
        <Progress answer={answer} isPaused={pauseId !== undefined} nowMs={fleet.now()} />
      ) : (
        <p class="empty">{problem || "Loading"}</p>
      )}
    </section>
  );
}

interface ProgressProps {
  answer: Answer;
  isPaused: boolean;
  nowMs: number;
}

function Progress({ answer: { applied, missing, outcome }, isPaused, nowMs }: ProgressProps) {
  const total = applied.length + missing.length;
  if (outcome === AppliedOutcome.NO_ROUTERS) return <p class="empty">No router serves this event</p>;
  const slowestMs = Math.max(...applied.map(({ appliedAfter }) => (appliedAfter ? durationMs(appliedAfter) : 0)));
  return (
    <>
      <p class="sum" data-complete={missing.length === 0}>
        {applied.length} of {formatCount(total, "router")}
        {missing.length === 0 && slowestMs > 0 && <span class="hint"> after {slowestMs} ms</span>}
      </p>
      <ul class="rows tall">
        {missing.map((router) => (
          <RouterRow
            key={router.routerId}
            router={router}
            state={isPaused ? "paused" : "speaking"}
            text={describeSeen(router, nowMs)}
          />
        ))}
        {applied.map((router) => (
          <RouterRow
            key={router.routerId}
            router={router}
            state="free"
            text={router.appliedAfter ? `after ${durationMs(router.appliedAfter)} ms` : "applied"}
          />
        ))}
      </ul>
    </>
  );
}

function RouterRow({ router, state, text }: { router: RouterProgress; state: string; text: string }) {
  return (
    <li data-state={state}>
      <span class="lamp" aria-hidden="true" />
      <span class="name">{router.routerId}</span>
      <span class="text">{text}</span>
    </li>
  );
}

function describeSeen({ lastSeen }: RouterProgress, nowMs: number): string {
  const seenMs = timeOf(lastSeen);
  return seenMs === undefined ? "never reported" : `reported ${formatAge(Math.max(nowMs - seenMs, 0))} ago`;
}
