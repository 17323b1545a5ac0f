import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { onTestFinished } from "vitest";
import { FloorPriority } from "../../../gen/squelch/v1/model_pb.js";
import { runCli } from "../runCli.js";
import { startFakeService } from "./fakeService.js";

/** Starts a service with these handlers until the test is finished. `run` runs the command line on it. */
export async function fakeCommandLine(handlers: Parameters<typeof startFakeService>[0]) {
  const service = await startFakeService(handlers);
  onTestFinished(() => service.close());
  return { ...service, run: (...argv: string[]) => runCli(argv, { SQUELCH_ADDRESS: service.address }) };
}

/** A time within one minute of 2026-01-31, UTC. */
export const at = (seconds: number) => timestampFromDate(new Date(Date.UTC(2026, 0, 31, 12, 0, seconds)));

export const pause = { pauseId: "p1", reason: "Fire", actor: "cli:dora", startedAt: at(0), expiresAt: at(59) };

/** The line that describes `pause`. */
export const pauseLine = "paused until 2026-01-31T12:00:59Z by cli:dora (Fire) pause id p1";

export const speaker = {
  channelId: "stage",
  userId: "anna",
  userName: "Anna",
  startedAt: at(1),
  expiresAt: at(31),
  priority: FloorPriority.NORMAL,
};

export const cursor = { eventId: "e1", epoch: "x", revision: 7n };

/** Yields nothing and ends when the caller cancels the stream. */
export async function* untilCancelled(cancelled: AbortSignal): AsyncGenerator<never> {
  await new Promise((resolve) => cancelled.addEventListener("abort", resolve));
}
