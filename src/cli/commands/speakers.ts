import type { Command } from "commander";
import { GetEventActiveSpeakersResponseSchema } from "../../../gen/squelch/v1/permission_service_pb.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../connection.js";
import type { CommandContext } from "../context.js";
import { describePause, SPEAKER_COLUMNS, speakerRow } from "../describe.js";
import { printable } from "../output.js";

/** `squelch speakers EVENT`: who holds the floor of which channel. */
export function addSpeakersCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("speakers")
    .description("show who is speaking in an event")
    .argument("<event>", "the event")
    .addHelpText("after", "\nExample:\n  squelch speakers festival");
  addConnectionOptions(command).action(async (eventId: string, options: ConnectionOptions) => {
    const response = await withConnection(context, options, ({ permissions }) =>
      permissions.getEventActiveSpeakers({ eventId }),
    );
    const { output } = context;
    if (options.json) return output.json(GetEventActiveSpeakersResponseSchema, response);
    if (response.speakers.length === 0) await output.line(printable(`nobody is speaking in ${eventId}`));
    else await output.table(SPEAKER_COLUMNS, response.speakers.map(speakerRow));
    if (response.pause !== undefined) await output.line(printable(describePause(response.pause)));
  });
}
