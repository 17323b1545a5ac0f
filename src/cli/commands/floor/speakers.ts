import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type WatchChannelsResponse,
  WatchChannelsResponseSchema,
} from "../../../../gen/squelch/v1/channel_service_pb.js";
import type { ActiveSpeaker } from "../../../../gen/squelch/v1/model_pb.js";
import { GetEventActiveSpeakersResponseSchema } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { CommandFailure } from "../../failure.js";
import { describePause, SPEAKER_COLUMNS, speakerRow, WAITING_COLUMNS, waitingRow } from "../../output/describe.js";
import { printable } from "../../output/output.js";

interface SpeakersOptions extends ConnectionOptions {
  watch?: boolean;
}

/** Adds `squelch speakers EVENT`, which shows the speakers of an event and the users who wait to speak. */
export function addSpeakersCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("speakers")
    .description("show who is speaking in an event, and who is waiting to speak")
    .argument("<event>", "the event")
    .option("--watch", "print each change until the command is stopped")
    .addHelpText("after", "\nExamples:\n  squelch speakers festival\n  squelch speakers festival --watch --json");
  addConnectionOptions(command).action(async (eventId: string, options: SpeakersOptions) => {
    if (options.watch) return watchSpeakers(context, eventId, options);
    const response = await withConnection(context, options, ({ permissions }) =>
      permissions.getEventActiveSpeakers({ eventId }),
    );
    const { output } = context;
    if (options.json) return output.json(GetEventActiveSpeakersResponseSchema, response);
    if (response.speakers.length === 0) await output.line(printable(`nobody is speaking in ${eventId}`));
    else await output.table(SPEAKER_COLUMNS, response.speakers.map(speakerRow));
    if (response.waiting.length > 0) await output.table(WAITING_COLUMNS, response.waiting.map(waitingRow));
    if (response.pause !== undefined) await output.line(printable(describePause(response.pause)));
  });
}

async function watchSpeakers(context: CommandContext, eventId: string, options: SpeakersOptions): Promise<void> {
  const { output } = context;
  await withConnection(context, options, async ({ channels, address }) => {
    for await (const response of channels.watchChannels({ eventIds: [eventId] }, { timeoutMs: 0 })) {
      if (options.json) await output.json(WatchChannelsResponseSchema, response);
      else for (const line of describeChange(response)) await output.line(printable(line));
    }
    throw new CommandFailure(`${address} ended the watch without an error; start it again`);
  });
}

const describeHolder = ({ channelId, userId, userName }: ActiveSpeaker) =>
  `${channelId}: ${userName} (${userId}) speaks`;

function describeChange({ eventId, payload, time }: WatchChannelsResponse): string[] {
  if (payload.case === "changed") {
    const { channelId, holder } = payload.value;
    return [holder === undefined ? `${channelId}: free` : describeHolder(holder)];
  }
  // A checkpoint shows only that the stream is alive.
  if (payload.case !== "snapshot") return [];
  const snapshot = payload.value;
  const at = time === undefined ? "" : ` at ${new Date(timestampMs(time)).toISOString()}`;
  if (snapshot.speakers.length === 0) return [`nobody is speaking in ${eventId}${at}`];
  return [`speaking in ${eventId}${at}:`, ...snapshot.speakers.map(describeHolder)];
}
