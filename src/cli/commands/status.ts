import { toJson } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { type SpeakerPause, SpeakerPauseSchema } from "../../../gen/squelch/v1/model_pb.js";
import type { Checkpoint } from "../../../gen/squelch/v1/permission_service_pb.js";
import { addConnectionOptions, type Connection, type ConnectionOptions, withConnection } from "../connection.js";
import type { CommandContext } from "../context.js";
import { describePause } from "../describe.js";
import { CommandFailure } from "../failure.js";
import { printable } from "../output.js";

/** `squelch status`: whether a replica answers and its feed is alive, and what stands. */
export function addStatusCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("status")
    .description("ask a replica whether it is well; exit code 1 if it is not")
    .addHelpText("after", "\nExample:\n  squelch status --address 10.0.0.7:50051");
  addConnectionOptions(command).action(async (options: ConnectionOptions) => {
    await withConnection(context, options, async (connection) => {
      const status = await readStatus(connection);
      if (options.json) await context.output.line(statusJson(connection.address, status));
      else await showStatus(context, connection.address, status);
      if (!status.checkpoint.feedHealthy) {
        throw new CommandFailure(
          `changes do not reach ${connection.address}; it serves what it knows, look at its log and at Redis`,
        );
      }
    });
  });
}

interface Status {
  checkpoint: Checkpoint;
  pauses: Map<string, SpeakerPause>;
}

// A watch of all events tells everything: its first checkpoint comes after a snapshot of each event. No user has
// this name, so that the snapshots are small however many users there are.
async function readStatus({ permissions, address }: Connection): Promise<Status> {
  const pauses = new Map<string, SpeakerPause>();
  const request = {
    userIds: ["squelch-status"],
    routerId: "squelch-status",
    checkpointInterval: durationFromMs(1_000),
  };
  for await (const { payload } of permissions.watchPermissions(request)) {
    if (payload.case === "snapshot" && payload.value.pause !== undefined) {
      pauses.set(payload.value.eventId, payload.value.pause);
    }
    if (payload.case === "checkpoint") return { checkpoint: payload.value, pauses };
  }
  throw new CommandFailure(`${address} ended the watch before it told its state; try again`);
}

async function showStatus({ output }: CommandContext, address: string, { checkpoint, pauses }: Status): Promise<void> {
  const { green, red } = output.colors;
  const feed = checkpoint.feedHealthy ? green("healthy") : red("not healthy");
  await output.line(`replica  ${address}, answers`);
  await output.line(`feed     ${feed}, ${describeAge(checkpoint.feedAge)}`);
  await output.line(`events   ${checkpoint.cursors.length}`);
  await output.line(`pauses   ${pauses.size}`);
  for (const [eventId, pause] of pauses) await output.line(printable(`  ${eventId}: ${describePause(pause)}`));
}

function describeAge(age: Duration | undefined): string {
  return age === undefined ? "never proven" : `proven ${(durationMs(age) / 1_000).toFixed(1)} s ago`;
}

function statusJson(address: string, { checkpoint, pauses }: Status): string {
  return JSON.stringify({
    address,
    feedHealthy: checkpoint.feedHealthy,
    feedAgeMs: checkpoint.feedAge === undefined ? null : durationMs(checkpoint.feedAge),
    events: checkpoint.cursors.length,
    pauses: [...pauses].map(([eventId, pause]) => ({
      eventId,
      pause: toJson(SpeakerPauseSchema, pause, { alwaysEmitImplicit: true }),
    })),
  });
}
