import { ConnectError } from "@connectrpc/connect";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  type SetUserChannelsResponse,
  SetUserChannelsResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import { reasonOfConnectError } from "../../../wire/errorInfo.js";
import { addWaitOption, awaitRouters, type WaitOptions } from "../../awaitApplied.js";
import { addConnectionOptions, type Connection, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { CommandFailure } from "../../failure.js";
import { formatIds } from "../../output/describe.js";

interface AssignOptions extends ConnectionOptions, WaitOptions {
  action?: string;
  onlyIfUnknown: boolean;
  ifRevision?: bigint;
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
    .addOption(
      new Option(
        "--if-revision <n>",
        "write only if the newest change of the user still has this revision, which squelch permissions shows " +
          "(default: the revision that the command reads before it writes)",
      )
        .argParser(parseRevision)
        .conflicts("onlyIfUnknown"),
    )
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
        const response = await write(connection, request, options.ifRevision);
        if (options.json) await context.output.json(SetUserChannelsResponseSchema, response);
        else await showAssignment(context, request, response);
        await awaitRouters(context, connection, options, { eventId, ...response });
      });
    },
  );
}

interface Assignment {
  eventId: string;
  userId: string;
  channelIds: string[];
  action: string;
  onlyIfUnknown: boolean;
}

// Another administrator may write between the read and the write, or since the user of the command has looked.
async function write(
  { permissions }: Connection,
  request: Assignment,
  seenRevision: bigint | undefined,
): Promise<SetUserChannelsResponse> {
  const user = { eventId: request.eventId, userId: request.userId };
  if (request.onlyIfUnknown) return permissions.setUserChannels(request);
  const ifRevision = seenRevision ?? (await permissions.getUserPermissions(user)).userRevision;
  try {
    return await permissions.setUserChannels({ ...request, ifRevision });
  } catch (error) {
    if (!(error instanceof ConnectError) || reasonOfConnectError(error)?.reason !== "REVISION_CHANGED") throw error;
    const { channelIds, userRevision } = await permissions.getUserPermissions(user);
    throw new CommandFailure(
      `nothing was written: another administrator has changed ${request.userId}, who now has ` +
        `${formatIds(channelIds)} (revision ${userRevision}); to replace that, repeat with --if-revision ${userRevision}`,
      1,
      { cause: error },
    );
  }
}

function parseRevision(text: string): bigint {
  if (/^\d{1,16}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError("It must be the number of a revision.");
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
