import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { useEffect, useState } from "preact/hooks";
import type { UserBan } from "../../../../gen/squelch/v1/model_pb.js";
import { describeProblem } from "../../api/problem.js";
import type { EventPicture } from "../../model/eventPicture.js";
import { formatMoment, timeOf } from "../../model/format.js";
import { useConsole } from "../console.js";
import { DurationField } from "../controls/durationField.js";
import { useAppliedWrite } from "../useAppliedWrite.js";

const DURATIONS = [
  { label: "10 minutes", ms: 600_000 },
  { label: "1 hour", ms: 3_600_000 },
  { label: "1 day", ms: 86_400_000 },
  { label: "until it is lifted", ms: 0 },
] as const;

interface KeepOutProps {
  event: EventPicture;
  userId: string;
}

/** Controls to disconnect a user, and to ban a user or lift the ban. */
export function KeepOut({ event, userId }: KeepOutProps) {
  const { session } = useConsole();
  const { said, isBusy, run } = useAppliedWrite(event, userId);
  const { ban, problem } = useBan(event, userId);
  const [reason, setReason] = useState("");
  const [durationMs, setDurationMs] = useState<number>(DURATIONS[0].ms);
  const { eventId } = event;
  const user = { eventId, userId };

  const disconnect = () =>
    run(async () => {
      const { revision, epoch } = await session.permissions.disconnectUser({ ...user, reason: reason.trim() });
      return { what: "Disconnected", revision, epoch };
    });
  const banUser = () =>
    run(async () => {
      const duration = durationMs > 0 ? { duration: durationFromMs(durationMs) } : {};
      const { revision, epoch } = await session.bans.banUser({ ...user, reason: reason.trim(), ...duration });
      return { what: "Banned", revision, epoch };
    });
  const lift = () =>
    run(async () => {
      const { revision, epoch } = await session.bans.unbanUser(user);
      return { what: "The ban was lifted", revision, epoch };
    });
  const isSure = (what: string) => !isBusy && confirm(`${what} ${userId} from ${eventId}?`);
  const text = said?.text ?? problem ?? (ban ? describeBan(ban) : "");

  return (
    <details class="keep-out">
      <summary>Disconnect or ban</summary>
      <label>
        Reason
        <input
          maxLength={100}
          placeholder="The user sees this"
          autocomplete="off"
          value={reason}
          onInput={(input) => setReason(input.currentTarget.value)}
        />
      </label>
      <DurationField label="Length of a ban" choices={DURATIONS} value={durationMs} onValue={setDurationMs} />
      <p class="said" data-tone={said?.tone} role={said?.tone === "failed" ? "alert" : "status"}>
        {text}
      </p>
      <div class="actions">
        <button
          type="button"
          class="danger"
          aria-disabled={isBusy}
          onClick={() => isSure("Disconnect") && void disconnect()}
        >
          Disconnect
        </button>
        <button type="button" class="danger" aria-disabled={isBusy} onClick={() => isSure("Ban") && void banUser()}>
          Ban
        </button>
        {ban && (
          <button type="button" aria-disabled={isBusy} onClick={() => !isBusy && void lift()}>
            Lift the ban
          </button>
        )}
      </div>
    </details>
  );
}

/** Returns the ban of a user. It is read again when a ban of the event begins or ends. */
function useBan({ eventId, bansVersion }: EventPicture, userId: string) {
  const { session } = useConsole();
  const [known, setKnown] = useState<{ ban?: UserBan | undefined; problem?: string }>({});
  useEffect(() => {
    let isWanted = true;
    session.permissions.getUserPermissions({ eventId, userId }).then(
      ({ ban }) => isWanted && setKnown({ ban }),
      (error: unknown) => isWanted && setKnown({ problem: describeProblem(error).text }),
    );
    return () => {
      isWanted = false;
    };
  }, [session, eventId, userId, bansVersion]);
  return known;
}

function describeBan({ expiresAt, reason }: UserBan): string {
  const untilMs = timeOf(expiresAt);
  const until = untilMs === undefined ? "until the ban is lifted" : `until ${formatMoment(untilMs)}`;
  return `Banned ${until}${reason === "" ? "" : `: ${reason}`}`;
}
