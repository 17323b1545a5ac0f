import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { BanUserResponseSchema } from "../../../../gen/squelch/v1/ban_service_pb.js";
import { addWaitOption, awaitRouters, type WaitOptions } from "../../awaitApplied.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { describeBan } from "../../output/describe.js";
import { parsePositiveDuration } from "../../output/duration.js";
import { printable } from "../../output/output.js";

interface BanOptions extends ConnectionOptions, WaitOptions {
  reason: string;
  duration?: number;
}

/** Adds `squelch ban EVENT USER`, which disconnects a user and refuses new connections until the ban ends. */
export function addBanCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("ban")
    .description("disconnect a user and refuse new connections; in the legacy Redis layout, in all events of the fleet")
    .argument("<event>", "the event whose log gets the change")
    .argument("<user>", "the user")
    .option("--reason <text>", "the reason that the user sees", "")
    .option(
      "--duration <time>",
      "how long the ban lasts, 1s or more (default: until squelch unban)",
      parsePositiveDuration,
    )
    .addHelpText("after", '\nExample:\n  squelch ban festival anna --duration 24h --reason "Noise" --wait');
  addConnectionOptions(addWaitOption(command)).action(async (eventId: string, userId: string, options: BanOptions) => {
    const { output } = context;
    const { reason, duration } = options;
    await withConnection(context, options, async (connection) => {
      const response = await connection.bans.banUser({
        eventId,
        userId,
        reason,
        ...(duration !== undefined && { duration: durationFromMs(duration) }),
      });
      const { ban } = response;
      if (options.json) await output.json(BanUserResponseSchema, response);
      else if (ban !== undefined) {
        await output.line(printable(describeBan(ban)));
        await output.line(printable(`lift it with: squelch unban ${eventId} ${userId}`));
      }
      await awaitRouters(context, connection, options, { eventId, ...response });
    });
  });
}
