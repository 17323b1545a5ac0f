import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import {
  AppliedOutcome,
  type AwaitAppliedResponse,
  AwaitAppliedResponseSchema,
  type RouterProgress,
} from "../../gen/squelch/v1/fleet_service_pb.js";
import type { Connection } from "./connection.js";
import type { CommandContext } from "./context.js";
import { CommandFailure, describeCallError } from "./failure.js";
import { formatCount, formatIds, formatTime } from "./output/describe.js";
import { formatDuration, parseDurationText } from "./output/duration.js";

const DEFAULT_WAIT_MS = 5_000;
const MAX_WAIT_MS = 60_000;

/** The `--wait` option: a command waits until all routers have applied its change. */
export interface WaitOptions {
  /** The longest wait, ms. True means the default, undefined means no wait. */
  wait?: number | true;
}

/** Adds `--wait` to a command. */
export function addWaitOption(command: Command): Command {
  return command.option(
    "--wait [time]",
    `wait until every router has applied the change, at most ${formatDuration(MAX_WAIT_MS)} ` +
      `(default ${formatDuration(DEFAULT_WAIT_MS)}); exit code 1 if a router has not`,
    parseWait,
  );
}

// The parser checks the limit, so that a wrong value fails before anything is changed.
function parseWait(text: string): number {
  const ms = parseDurationText(text);
  if (ms > MAX_WAIT_MS) throw new InvalidArgumentError(`It must be at most ${formatDuration(MAX_WAIT_MS)}.`);
  return ms;
}

/**
 * If `--wait` is given, waits until every router has applied a change, and prints which routers have.
 *
 * @throws CommandFailure if a router has not applied it in time, or the call fails
 */
export async function awaitRouters(
  { output }: CommandContext,
  { fleet, address, timeoutMs }: Connection,
  { wait, json }: WaitOptions & { json: boolean },
  { eventId, revision, epoch }: { eventId: string; revision: bigint; epoch: string },
): Promise<void> {
  if (wait === undefined) return;
  const waitMs = wait === true ? DEFAULT_WAIT_MS : wait;
  const call = { address, timeoutMs: waitMs + timeoutMs };
  const request = { eventId, revision, epoch, timeout: durationFromMs(waitMs) };
  const response = await fleet.awaitApplied(request, { timeoutMs: call.timeoutMs }).catch((error: unknown) => {
    const failure = describeCallError(error, call);
    if (!(failure instanceof CommandFailure)) throw failure;
    const message = `it is done, but whether the routers have applied it is not known: ${failure.message}`;
    throw new CommandFailure(message, 1, { cause: error });
  });
  if (json) await output.json(AwaitAppliedResponseSchema, response);
  else await showRouters(output, response);
  if (response.outcome !== AppliedOutcome.SOME_MISSING) return;
  const names = formatIds(response.missing.map(({ routerId }) => routerId));
  throw new CommandFailure(
    `revision ${revision} of ${eventId} is not known to be applied on ${names}; ` +
      "check them: their clients may still act on the earlier state",
  );
}

async function showRouters(output: CommandContext["output"], response: AwaitAppliedResponse): Promise<void> {
  const { applied, missing, outcome } = response;
  const count = applied.length + missing.length;
  if (outcome === AppliedOutcome.NO_ROUTERS) {
    await output.line("no router watches the event, so no router has confirmed the change");
    return;
  }
  await output.line(`applied on ${applied.length} of ${formatCount(count, "router")}${describeDelay(applied)}`);
  if (outcome !== AppliedOutcome.SOME_MISSING) return;
  await output.table(
    ["MISSING", "APPLIED UP TO", "LAST SEEN"],
    missing.map((router) => [router.routerId, describeProgress(router, response), formatTime(router.lastSeen)]),
  );
}

// Describes the delay of the slowest router. Returns an empty text if the delay of a router is unknown.
function describeDelay(applied: readonly RouterProgress[]): string {
  const delays = applied.flatMap(({ appliedAfter }) => (appliedAfter === undefined ? [] : durationMs(appliedAfter)));
  if (delays.length === 0 || delays.length < applied.length) return "";
  return ` after ${Math.round(Math.max(...delays))} ms`;
}

function describeProgress({ cursor }: RouterProgress, { cursor: awaited }: AwaitAppliedResponse): string {
  if (cursor === undefined) return "never reported";
  const isComparable = cursor.epoch === awaited?.epoch;
  return isComparable ? `revision ${cursor.revision} of ${awaited?.revision}` : "an earlier epoch";
}
