import { toJson } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type GetFleetStatusResponse,
  GetFleetStatusResponseSchema,
  type ReconcileMembershipsResponse,
  ReconcileMembershipsResponseSchema,
} from "../../../gen/squelch/v1/fleet_service_pb.js";
import { type Checkpoint, type SpeakerPause, SpeakerPauseSchema } from "../../../gen/squelch/v1/model_pb.js";
import { addConnectionOptions, type Connection, type ConnectionOptions, withConnection } from "../connection.js";
import type { CommandContext } from "../context.js";
import { CommandFailure } from "../failure.js";
import { describePause, formatCount } from "../output/describe.js";
import { formatDuration } from "../output/duration.js";
import { showFleet } from "../output/fleetTables.js";
import { printable } from "../output/output.js";

/** The longest time that a replica needs for a reconcile, ms. */
const RECONCILE_TIMEOUT_MS = 60_000;

interface StatusOptions extends ConnectionOptions {
  fleet: boolean;
  reconcile: boolean;
}

/** Adds `squelch status`, which shows if a replica or the fleet works, and the current pauses. */
export function addStatusCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("status")
    .description("show if a replica or the whole fleet works; exit code 1 if not")
    .option("--fleet", "also show every replica, and every router with its unconfirmed changes", false)
    .option(
      "--reconcile",
      "first compare all memberships with the control plane's keys in Redis and apply missed updates " +
        `(the default of --timeout is then ${formatDuration(RECONCILE_TIMEOUT_MS)})`,
      false,
    )
    .addHelpText(
      "after",
      "\nExamples:\n  squelch status --address 10.0.0.7:50051\n  squelch status --fleet\n  squelch status --reconcile --json",
    );
  addConnectionOptions(command).action(async (options: StatusOptions) => {
    const isPatient = options.reconcile && command.getOptionValueSource("timeout") === "default";
    const timeout = isPatient ? RECONCILE_TIMEOUT_MS : options.timeout;
    await withConnection(context, { ...options, timeout }, async (connection) => {
      const reconciled = options.reconcile ? await connection.fleet.reconcileMemberships({}) : undefined;
      const fleet = options.fleet ? await connection.fleet.getFleetStatus({}) : undefined;
      const status = { ...(await readStatus(connection)), reconciled, fleet };
      if (options.json) await context.output.line(statusJson(connection.address, status));
      else await showStatus(context, connection.address, status);
      const { feedHealthy, feedProblem } = status.checkpoint;
      if (!feedHealthy) {
        const problem = feedProblem === "" ? "check its log and Redis" : feedProblem;
        throw new CommandFailure(
          printable(`changes do not reach ${connection.address}, it serves its last data; ${problem}`),
        );
      }
      const sick = fleet?.replicas.filter((replica) => !replica.feedHealthy) ?? [];
      if (sick.length > 0) {
        const names = sick.map(({ replicaId }) => replicaId).join(", ");
        const problems = new Set(sick.flatMap((replica) => replica.feedProblem || []));
        const advice = problems.size === 0 ? "check the log of the replica and Redis" : [...problems].join("; ");
        throw new CommandFailure(printable(`changes do not reach ${names}; ${advice}`));
      }
    });
  });
}

interface Status {
  checkpoint: Checkpoint;
  pauses: Map<string, SpeakerPause>;
  /** The result of `--reconcile`. */
  reconciled?: ReconcileMembershipsResponse | undefined;
  /** The answer for `--fleet`. */
  fleet?: GetFleetStatusResponse | undefined;
}

// The first checkpoint of a watch of all events comes after the snapshots of all events. The watch names a user that does
// not exist, so that the snapshots are small.
async function readStatus({ permissions, address }: Connection): Promise<Status> {
  const pauses = new Map<string, SpeakerPause>();
  const request = {
    userIds: ["squelch-status"],
    checkpointInterval: durationFromMs(1_000),
  };
  for await (const { payload } of permissions.watchPermissions(request)) {
    if (payload.case === "snapshot" && payload.value.pause !== undefined) {
      pauses.set(payload.value.eventId, payload.value.pause);
    }
    if (payload.case === "checkpoint") return { checkpoint: payload.value, pauses };
  }
  throw new CommandFailure(`${address} ended the watch before its first checkpoint; try again`);
}

async function showStatus(
  { output }: CommandContext,
  address: string,
  { checkpoint, pauses, reconciled, fleet }: Status,
): Promise<void> {
  const { green, red } = output.colors;
  const feed = checkpoint.feedHealthy ? green("healthy") : red("not healthy");
  await output.line(`replica  ${address}, answers`);
  await output.line(`feed     ${feed}, ${describeAge(checkpoint.feedAge)}`);
  if (checkpoint.feedProblem !== "") await output.line(printable(`problem  ${checkpoint.feedProblem}`));
  await output.line(`events   ${checkpoint.cursors.length}`);
  await output.line(`pauses   ${pauses.size}`);
  for (const [eventId, pause] of pauses) await output.line(printable(`  ${eventId}: ${describePause(pause)}`));
  if (reconciled !== undefined) {
    const { comparedUsers, changedUsers, ambiguousUsers } = reconciled;
    await output.line(
      `compared ${formatCount(comparedUsers, "user")} with the control plane's keys: ${changedUsers} changed, ` +
        `${ambiguousUsers} unchanged because the keys give no clear answer`,
    );
  }
  if (fleet !== undefined) await showFleet(output, fleet);
}

function describeAge(age: Duration | undefined): string {
  return age === undefined ? "never proven" : `proven ${(durationMs(age) / 1_000).toFixed(1)} s ago`;
}

function statusJson(address: string, { checkpoint, pauses, reconciled, fleet }: Status): string {
  return JSON.stringify({
    address,
    feedHealthy: checkpoint.feedHealthy,
    feedAgeMs: checkpoint.feedAge === undefined ? null : durationMs(checkpoint.feedAge),
    ...(checkpoint.feedProblem !== "" && { feedProblem: checkpoint.feedProblem }),
    events: checkpoint.cursors.length,
    pauses: [...pauses].map(([eventId, pause]) => ({
      eventId,
      pause: toJson(SpeakerPauseSchema, pause, { alwaysEmitImplicit: true }),
    })),
    ...(fleet && { fleet: toJson(GetFleetStatusResponseSchema, fleet, { alwaysEmitImplicit: true }) }),
    ...(reconciled && {
      reconciled: toJson(ReconcileMembershipsResponseSchema, reconciled, { alwaysEmitImplicit: true }),
    }),
  });
}
