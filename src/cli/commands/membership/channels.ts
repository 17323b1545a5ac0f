import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { ListEventChannelsResponseSchema } from "../../../../gen/squelch/v1/channel_service_pb.js";
import { readAllPages } from "../../../wire/allPages.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { printable } from "../../output/output.js";

interface ChannelsOptions extends ConnectionOptions {
  add: string[];
}

/** Adds `squelch channels EVENT`, which lists the channels of an event and can add channels first. */
export function addChannelsCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("channels")
    .description("list the channels of an event")
    .argument("<event>", "the event")
    .option("--add <channel...>", "first add these channels to the event, unless they belong to another event", [])
    .addHelpText("after", "\nExamples:\n  squelch channels festival\n  squelch channels festival --add stage gate");
  addConnectionOptions(command).action(async (eventId: string, options: ChannelsOptions) => {
    const channelIds = await withConnection(context, options, async ({ channels }) => {
      for (const channelId of options.add) {
        await channels.setChannelEvent({ channelId, eventId, onlyIfUnassigned: true });
      }
      return readAllPages(async (page) => {
        const answer = await channels.listEventChannels({ eventId, ...page });
        return { items: answer.channelIds, nextPageToken: answer.nextPageToken };
      });
    });
    const { output } = context;
    if (options.json) {
      return output.json(ListEventChannelsResponseSchema, create(ListEventChannelsResponseSchema, { channelIds }));
    }
    if (channelIds.length === 0) return output.line(printable(`no channel belongs to ${eventId}`));
    await output.table(
      ["CHANNEL"],
      channelIds.map((id) => [id]),
    );
  });
}
