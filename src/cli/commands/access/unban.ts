import type { Command } from "commander";
import { UnbanUserResponseSchema } from "../../../../gen/squelch/v1/ban_service_pb.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { printable } from "../../output/output.js";

/** Adds `squelch unban EVENT USER`, which lifts a ban. */
export function addUnbanCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("unban")
    .description("lift the ban of a user, also one that another program wrote")
    .argument("<event>", "the event whose log gets the change")
    .argument("<user>", "the user")
    .addHelpText("after", "\nExample:\n  squelch unban festival anna");
  addConnectionOptions(command).action(async (eventId: string, userId: string, options: ConnectionOptions) => {
    const response = await withConnection(context, options, ({ bans }) => bans.unbanUser({ eventId, userId }));
    const { output } = context;
    if (options.json) return output.json(UnbanUserResponseSchema, response);
    await output.line(printable(`the ban of ${userId} is lifted (revision ${response.revision})`));
  });
}
