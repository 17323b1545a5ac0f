import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { ListBansResponseSchema } from "../../../../gen/squelch/v1/ban_service_pb.js";
import { readAllPages } from "../../../wire/allPages.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { formatTime } from "../../output/describe.js";
import { printable } from "../../output/output.js";

/** Adds `squelch bans EVENT`, which lists the bans that hold in an event. */
export function addBansCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("bans")
    .description("show the banned users; bans that expire first come first")
    .argument("<event>", "the event")
    .addHelpText("after", "\nExample:\n  squelch bans festival");
  addConnectionOptions(command).action(async (eventId: string, options: ConnectionOptions) => {
    const { output } = context;
    const bans = await withConnection(context, options, (connection) =>
      readAllPages(async (page) => {
        const answer = await connection.bans.listBans({ eventId, ...page });
        return { items: answer.bans, nextPageToken: answer.nextPageToken };
      }),
    );
    if (options.json) return output.json(ListBansResponseSchema, create(ListBansResponseSchema, { bans }));
    if (bans.length === 0) return output.line(printable(`nobody is banned in ${eventId}`));
    const rows = bans.map(({ userId, expiresAt, bannedBy, bannedAt, reason }) => [
      userId,
      expiresAt === undefined ? "lifted" : formatTime(expiresAt),
      bannedBy || "-",
      formatTime(bannedAt),
      reason || "-",
    ]);
    await output.table(["USER", "UNTIL", "BY", "SINCE", "REASON"], rows);
  });
}
