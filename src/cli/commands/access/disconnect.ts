import type { Command } from "commander";
import { DisconnectUserResponseSchema } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { addWaitOption, awaitRouters, type WaitOptions } from "../../awaitApplied.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { printable } from "../../output/output.js";

interface DisconnectOptions extends ConnectionOptions, WaitOptions {
  reason: string;
}

/** Adds `squelch disconnect EVENT USER`, which closes all sockets of a user in an event on every router. */
export function addDisconnectCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("disconnect")
    .description("stop a user from speaking and close all sockets of the user in an event; the user may connect again")
    .argument("<event>", "the event")
    .argument("<user>", "the user")
    .option("--reason <text>", "the reason that the user sees", "")
    .addHelpText("after", '\nExample:\n  squelch disconnect festival anna --reason "Your radio was found" --wait');
  addConnectionOptions(addWaitOption(command)).action(
    async (eventId: string, userId: string, options: DisconnectOptions) => {
      const { output } = context;
      await withConnection(context, options, async (connection) => {
        const response = await connection.permissions.disconnectUser({ eventId, userId, reason: options.reason });
        const { revision } = response;
        if (options.json) await output.json(DisconnectUserResponseSchema, response);
        else await output.line(printable(`${userId} is disconnected from ${eventId} (revision ${revision})`));
        await awaitRouters(context, connection, options, { eventId, ...response });
      });
    },
  );
}
