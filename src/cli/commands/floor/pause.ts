import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type PauseAllSpeakersResponse,
  PauseAllSpeakersResponseSchema,
} from "../../../../gen/squelch/v1/permission_service_pb.js";
import { addWaitOption, awaitRouters, type WaitOptions } from "../../awaitApplied.js";
import { addConnectionOptions, type ConnectionOptions, withConnection } from "../../connection.js";
import type { CommandContext } from "../../context.js";
import { describePause, isCutOnly, SPEAKER_COLUMNS, speakerRow } from "../../output/describe.js";
import { parseDurationText } from "../../output/duration.js";
import { printable } from "../../output/output.js";

interface PauseOptions extends ConnectionOptions, WaitOptions {
  reason: string;
  duration?: number;
  exempt: string[];
  broadcaster?: string;
  requestId: string;
  replace: string;
}

/** `squelch pause EVENT`: cuts every speaker of an event and keeps the floors closed. */
export function addPauseCommand(program: Command, context: CommandContext): void {
  const command = program
    .command("pause")
    .description("cut every speaker of an event and keep all floors closed for a while")
    .argument("<event>", "the event")
    .option("--reason <text>", "told to everybody", "")
    .option(
      "--duration <time>",
      "how long floors stay closed, at most 1h; 0 only cuts (default 60s)",
      parseDurationText,
    )
    .option("--exempt <user...>", "users who may go on speaking", [])
    .option("--broadcaster <user>", "give this user the floor on every channel in the same step")
    .option("--request-id <id>", "makes a repeat within an hour return the first outcome", "")
    .option("--replace <pause-id>", "take the place of this pause, for example of a dispatcher who has vanished", "")
    .addHelpText(
      "after",
      '\nExamples:\n  squelch pause festival --reason "Evacuation"\n  squelch pause festival --duration 10m --broadcaster anna\n  squelch pause festival --wait',
    );
  addConnectionOptions(addWaitOption(command)).action(async (eventId: string, options: PauseOptions) => {
    const { reason, duration, exempt, broadcaster, requestId, replace } = options;
    await withConnection(context, options, async (connection) => {
      const response = await connection.permissions.pauseAllSpeakers({
        eventId,
        reason,
        exemptUserIds: exempt,
        requestId,
        replacePauseId: replace,
        ...(duration === undefined ? {} : { duration: durationFromMs(duration) }),
        ...(broadcaster === undefined ? {} : { broadcaster: { userId: broadcaster } }),
      });
      if (options.json) await context.output.json(PauseAllSpeakersResponseSchema, response);
      else await showPause(context, eventId, response);
      await awaitRouters(context, connection, options, { eventId, revision: response.revision });
    });
  });
}

async function showPause(
  { output }: CommandContext,
  eventId: string,
  { pause, paused, replacedPauseId }: PauseAllSpeakersResponse,
): Promise<void> {
  if (paused.length === 0) await output.line(printable(`nobody was speaking in ${eventId}`));
  else await output.table([...SPEAKER_COLUMNS], paused.map(speakerRow));
  if (pause === undefined) return;
  await output.line(printable(describePause(pause)));
  if (replacedPauseId !== "") await output.line(printable(`it took the place of pause ${replacedPauseId}`));
  if (!isCutOnly(pause)) await output.line(printable(`lift it with: squelch resume ${eventId}`));
}
