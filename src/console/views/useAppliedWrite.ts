import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { useState } from "preact/hooks";
import { AppliedOutcome } from "../../../gen/squelch/v1/fleet_service_pb.js";
import { describeFailedWrite } from "../api/problem.js";
import type { EventPicture } from "../model/eventPicture.js";
import { formatCount } from "../model/format.js";
import { useConsole } from "./console.js";

/** The longest wait until the routers have applied a change, ms. */
const WAIT_MS = 3_000;

/** The message about the last write. */
export interface Said {
  tone: "done" | "failed";
  text: string;
}

/** The result of a write: a description, and the position to wait for. It is undefined if nothing was written. */
export type WriteOutcome = { what: string } & ({ revision: bigint; epoch: string } | { revision: undefined });

/** Runs writes for one user, one at a time, and returns the message about the last one with the routers that applied it. */
export function useAppliedWrite({ eventId }: EventPicture, userId: string) {
  const { session, announce } = useConsole();
  const [said, setSaid] = useState<Said>();
  const [isBusy, setBusy] = useState(false);

  const describePlace = async (revision: bigint, epoch: string): Promise<Said> => {
    const timeout = durationFromMs(WAIT_MS);
    const request = { eventId, revision, epoch, timeout };
    const { applied, missing, outcome } = await session.fleet.awaitApplied(request);
    const all = applied.length + missing.length;
    if (outcome === AppliedOutcome.NO_ROUTERS) return { tone: "done", text: "no router serves this event" };
    const slowestMs = Math.max(0, ...applied.map(({ appliedAfter }) => (appliedAfter ? durationMs(appliedAfter) : 0)));
    const after = outcome === AppliedOutcome.ALL && slowestMs > 0 ? ` after ${slowestMs} ms` : "";
    const text = `applied on ${applied.length} of ${formatCount(all, "router")}${after}`;
    return { tone: outcome === AppliedOutcome.ALL ? "done" : "failed", text };
  };

  const run = async (write: () => Promise<WriteOutcome>) => {
    setBusy(true);
    setSaid(undefined);
    try {
      const { what, ...written } = await write();
      if (written.revision === undefined) {
        setSaid({ tone: "failed", text: what });
        return;
      }
      setSaid({ tone: "done", text: `${what}. Waiting for the routers` });
      const place = await describePlace(written.revision, written.epoch);
      setSaid({ ...place, text: `${what}, ${place.text}` });
      announce(`${userId}: ${what}, ${place.text}`);
    } catch (error) {
      setSaid({ tone: "failed", text: describeFailedWrite(error).text });
    } finally {
      setBusy(false);
    }
  };
  return { said, isBusy, run };
}
