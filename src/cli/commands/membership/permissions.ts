import type { Command } from "commander";
import type { SpeakerPause } from "../../../../gen/squelch/v1/model_pb.js";
import {
  GetUserPermissionsResponseSchema,
  WatchPermissionsResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import { addConnectionOptions, type Connection, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { CommandFailure } from "../../failure.js";
import { describePause, formatIds, formatTime } from "../../output/describe.js";
import { printable } from "../../output/output.js";

/** Adds `squelch permissions EVENT [USER]`, which shows the channels of one user or of all users of an event. */
export function addPermissionsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("permissions")
    .description("show the channels of one user, or of all users of an event")
    .argument("<event>", "the event")
    .argument("[user]", "the user; without it, all users")
    .addHelpText("after", "\nExamples:\n  squelch permissions festival\n  squelch permissions festival anna --json");
  addConnectionOptions(command).action(async (event: string, user: string | undefined, options: ConnectionOptions) => {
    await withConnection(context, options, (connection) =>
      user === undefined
        ? showEvent(context, connection, event, options.json)
        : showUser(context, connection, event, user, options.json),
    );
  });
}

async function showUser(
  { output }: CommandContext,
  { permissions }: Connection,
  eventId: string,
  userId: string,
  json: boolean,
): Promise<void> {
  const response = await permissions.getUserPermissions({ eventId, userId });
  if (json) return output.json(GetUserPermissionsResponseSchema, response);
  if (!response.known) return output.line(printable(`nothing was ever assigned to ${userId} in ${eventId}`));
  await output.table(
    ["EVENT", "USER", "CHANNELS", "REVISION"],
    [[eventId, userId, formatIds(response.channelIds), String(response.userRevision)]],
  );
  await showPause(output, response.pause);
}

// A watch starts with a snapshot of all users. Changes may follow. The first checkpoint shows that nothing is missing.
async function showEvent(
  { output }: CommandContext,
  connection: Connection,
  eventId: string,
  json: boolean,
): Promise<void> {
  const users = new Map<string, [channels: string, disconnected: string]>();
  let pause: SpeakerPause | undefined;
  for await (const response of connection.permissions.watchPermissions({ eventIds: [eventId] })) {
    if (json) await output.json(WatchPermissionsResponseSchema, response);
    const { payload } = response;
    if (payload.case === "snapshot") {
      if (payload.value.chunkIndex === 0) users.clear();
      for (const { userId, channelIds, disconnectedAt } of payload.value.users) {
        users.set(userId, [formatIds(channelIds), formatTime(disconnectedAt)]);
      }
      pause = payload.value.pause;
    } else if (payload.case === "changes") {
      for (const { kind } of payload.value.changes) {
        if (kind.case === "speakersPaused") pause = kind.value.pause;
        if (kind.case === "speakersResumed") pause = undefined;
        if (kind.case !== "membershipChanged") continue;
        const { userId, channelIds } = kind.value;
        users.set(userId, [formatIds(channelIds), users.get(userId)?.[1] ?? formatTime(undefined)]);
      }
    } else if (payload.case === "checkpoint") {
      if (json) return;
      const rows = [...users].map(([userId, columns]) => [userId, ...columns]);
      if (rows.length === 0) await output.line(printable(`nothing was ever assigned in ${eventId}`));
      else await output.table(["USER", "CHANNELS", "DISCONNECTED"], rows);
      return showPause(output, pause);
    }
  }
  throw new CommandFailure(`${connection.address} ended the watch before the snapshot was complete; try again`);
}

async function showPause(output: CommandContext["output"], pause: SpeakerPause | undefined): Promise<void> {
  if (pause !== undefined) await output.line(printable(describePause(pause)));
}
