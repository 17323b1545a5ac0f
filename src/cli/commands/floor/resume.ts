import type { Command } from "commander";
import { ResumeSpeakersResponseSchema } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { addConnectionOptions, type Connection, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { CommandFailure } from "../../failure.js";
import { printable } from "../../output/output.js";

interface ResumeOptions extends ConnectionOptions {
  pauseId?: string;
}

/** Adds `squelch resume EVENT`, which ends the current pause. */
export function addResumeCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("resume")
    .description("end the pause of an event")
    .argument("<event>", "the event")
    .option("--pause-id <id>", "end only this pause (default: the current pause)")
    .addHelpText("after", "\nExample:\n  squelch resume festival");
  addConnectionOptions(command).action(async (eventId: string, options: ResumeOptions) => {
    const { pauseId, response } = await withConnection(context, options, async (connection) => {
      const standing = options.pauseId ?? (await findPause(connection, eventId));
      return {
        pauseId: standing,
        response: await connection.permissions.resumeSpeakers({ eventId, pauseId: standing }),
      };
    });
    const { output } = context;
    if (options.json) return output.json(ResumeSpeakersResponseSchema, response);
    await output.line(printable(`${eventId}: pause ${pauseId} is lifted (revision ${response.revision})`));
  });
}

async function findPause({ permissions }: Connection, eventId: string): Promise<string> {
  const { pause } = await permissions.getEventActiveSpeakers({ eventId });
  if (pause === undefined) throw new CommandFailure(`${eventId} is not paused; there is nothing to lift`);
  return pause.pauseId;
}
