import { useEffect, useState } from "preact/hooks";
import type { AuditEntry } from "../../../gen/squelch/v1/audit_service_pb.js";
import { describeProblem } from "../api/problem.js";
import { formatTimeOfDay, timeOf } from "../model/format.js";
import { linkTo } from "../model/route.js";
import { useConsole } from "./console.js";

const PAGE_SIZE = 100;

interface Trail {
  entries: readonly AuditEntry[];
  nextPageToken: string;
}

/** The audit trail of one event or of all events, newest first. It is read when the view opens and on request. */
export function AuditView({ eventId }: { eventId?: string }) {
  const { session } = useConsole();
  const [trail, setTrail] = useState<Trail>();
  const [problem, setProblem] = useState("");
  const [readMs, setReadMs] = useState(0);
  const [text, setText] = useState("");

  const read = async (before: Trail | undefined, signal?: AbortSignal) => {
    try {
      const { entries, nextPageToken } = await session.audit.listAuditEntries(
        {
          eventIds: eventId === undefined ? [] : [eventId],
          pageSize: PAGE_SIZE,
          pageToken: before?.nextPageToken ?? "",
        },
        signal && { signal },
      );
      setTrail({ entries: [...(before?.entries ?? []), ...entries], nextPageToken });
      if (before === undefined) setReadMs(Date.now());
      setProblem("");
    } catch (error) {
      if (!signal?.aborted) setProblem(describeProblem(error).text);
    }
  };
  useEffect(() => {
    const stop = new AbortController();
    setTrail(undefined);
    void read(undefined, stop.signal);
    return () => stop.abort();
  }, [session, eventId]);

  const wanted = text.trim().toLowerCase();
  const isWanted = (entry: AuditEntry) =>
    [entry.actor, entry.action, entry.eventId, entry.target, entry.outcome, entry.detail, entry.callId].some((field) =>
      field.toLowerCase().includes(wanted),
    );
  const shown = trail?.entries.filter(isWanted) ?? [];
  return (
    <section class="audit" aria-label="Audit trail">
      <div class="toolbar">
        <input
          type="search"
          aria-label="Find in the audit trail"
          placeholder="Find an actor, a call, a target, an outcome"
          value={text}
          onInput={(input) => setText(input.currentTarget.value)}
        />
        <span class="hint" role="status">
          {problem || (trail === undefined ? "Loading" : `As of ${formatTimeOfDay(readMs)}`)}
        </span>
        <button type="button" onClick={() => void read(undefined)}>
          Read again
        </button>
      </div>
      {trail !== undefined && shown.length === 0 && <p class="empty">The audit trail has no entries</p>}
      {shown.length > 0 && (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Time</th>
                <th scope="col">Actor</th>
                <th scope="col">Call</th>
                {eventId === undefined && <th scope="col">Event</th>}
                <th scope="col">Target</th>
                <th scope="col">Outcome</th>
                <th scope="col">Detail</th>
                <th scope="col">Call id</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((entry) => (
                <AuditRow key={entry.entryId} entry={entry} hasEvent={eventId === undefined} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {trail !== undefined && trail.nextPageToken !== "" && (
        <button type="button" class="more" onClick={() => void read(trail)}>
          Older entries
        </button>
      )}
    </section>
  );
}

function AuditRow({ entry, hasEvent }: { entry: AuditEntry; hasEvent: boolean }) {
  const { actor, action, eventId, target, outcome, detail, callId } = entry;
  const timeMs = timeOf(entry.time);
  return (
    <tr data-state={outcome === "OK" ? "free" : "paused"}>
      <th scope="row" title={timeMs === undefined ? undefined : new Date(timeMs).toISOString()}>
        <span class="lamp" aria-hidden="true" />
        {timeMs === undefined ? "" : formatDay(timeMs)}
      </th>
      <td>{actor}</td>
      <td>{action}</td>
      {hasEvent && <td>{eventId !== "" && <a href={linkTo({ page: "event", eventId })}>{eventId}</a>}</td>}
      <td>{target}</td>
      <td>{outcome}</td>
      <td>{detail}</td>
      <td class="hint">{callId}</td>
    </tr>
  );
}

// The date is added unless it is today.
function formatDay(timeMs: number): string {
  const day = new Date(timeMs).toDateString();
  return day === new Date().toDateString() ? formatTimeOfDay(timeMs) : `${day} ${formatTimeOfDay(timeMs)}`;
}
