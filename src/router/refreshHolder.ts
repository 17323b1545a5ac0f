import type { ActiveSpeaker } from "../domain/floor.js";
import { describeCallError } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

/** Asks the store who speaks on a channel and tells those who have joined it here. Undefined if it does not answer. */
export async function refreshHolder(
  { calls, channels, logger }: RouterContext,
  channelId: string,
): Promise<{ holder: ActiveSpeaker | undefined } | undefined> {
  try {
    const holder = (await calls.getChannel(channelId))?.holder;
    channels.setHolder(channelId, holder);
    return { holder };
  } catch (error) {
    logger.warn({ channelId, reason: describeCallError(error) }, "speaker of a channel not known");
    return undefined;
  }
}
