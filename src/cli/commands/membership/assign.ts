import type { Command } from "commander";
import {
  type SetUserChannelsResponse,
  SetUserChannelsResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import { addWaitOption, awaitRouters, type WaitOptions } from "../../awaitApplied.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { formatIds } from "../../output/describe.js";

interface AssignOptions extends ConnectionOptions, WaitOptions {
  action?: string;
  onlyIfUnknown: boolean;
}

/** Adds `squelch assign EVENT USER [CHANNEL…]`, which replaces the channels of a user. */
export function addAssignCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("assign")
    .description("replace the channels of a user in an event; without channels, revoke all")
    .argument("<event>", "the event")
    .argument("<user>", "the user")
    .argument("[channels...]", "all channels that the user will have; none revokes all")
    .option("--action <text>", "the action name in the log (default set_user_channels)")
    .option("--only-if-unknown", "write only if the user was never written in the event", false)
    .addHelpText(
      "after",
      "\nExamples:\n  squelch assign festival anna stage gate   anna has these two channels only" +
        "\n  squelch assign festival anna              anna has no channels" +
        "\n  squelch assign festival anna --wait       also wait until all routers have applied it",
    );
  addConnectionOptions(addWaitOption(command)).action(
    async (eventId: string, userId: string, channelIds: string[], options: AssignOptions) => {
      const { action = "", onlyIfUnknown } = options;
      await withConnection(context, options, async (connection) => {
        const request = { eventId, userId, channelIds, action, onlyIfUnknown };
        const response = await connection.permissions.setUserChannels(request);
        if (options.json) await context.output.json(SetUserChannelsResponseSchema, response);
        else await showAssignment(context, request, response);
        await awaitRouters(context, connection, options, { eventId, revision: response.revision });
      });
    },
  );
}

async function showAssignment(
  { output }: CommandContext,
  { eventId, userId, onlyIfUnknown }: { eventId: string; userId: string; onlyIfUnknown: boolean },
  { added, removed, revision, superseded }: SetUserChannelsResponse,
): Promise<void> {
  await output.table(
    ["EVENT", "USER", "ADDED", "REMOVED", "REVISION"],
    [[eventId, userId, formatIds(added), formatIds(removed), String(revision)]],
  );
  if (superseded) {
    const why = onlyIfUnknown ? "the user has an entry" : "a later write got in first";
    await output.line(`nothing was written: ${why}`);
  }
}
