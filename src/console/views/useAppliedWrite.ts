import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { useState } from "preact/hooks";
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

/** The result of a write: a description, and the revision to wait for. The revision is undefined if nothing was written. */
export interface WriteOutcome {
  what: string;
  revision: bigint | undefined;
}

/** Runs writes for one user, one at a time, and returns the message about the last one with the routers that applied it. */
export function useAppliedWrite({ eventId, epoch }: EventPicture, userId: string) {
  const { session, announce } = useConsole();
  const [said, setSaid] = useState<Said>();
  const [isBusy, setBusy] = useState(false);

  const describePlace = async (revision: bigint): Promise<Said> => {
    const timeout = durationFromMs(WAIT_MS);
    const { inForce: applied, missing } = await session.permissions.awaitApplied({ eventId, revision, epoch, timeout });
    const all = applied.length + missing.length;
    if (all === 0) return { tone: "done", text: "no router serves this event" };
    const slowestMs = Math.max(0, ...applied.map(({ inForceAfter }) => (inForceAfter ? durationMs(inForceAfter) : 0)));
    const after = missing.length === 0 && slowestMs > 0 ? ` after ${slowestMs} ms` : "";
    const text = `in force on ${applied.length} of ${formatCount(all, "router")}${after}`;
    return { tone: missing.length === 0 ? "done" : "failed", text };
  };

  const run = async (write: () => Promise<WriteOutcome>) => {
    setBusy(true);
    setSaid(undefined);
    try {
      const { what, revision } = await write();
      if (revision === undefined) {
        setSaid({ tone: "failed", text: what });
        return;
      }
      setSaid({ tone: "done", text: `${what}. Waiting for the routers` });
      const place = await describePlace(revision);
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
