import { MAX_BAN_MS, MIN_BAN_MS, type UserBan } from "../../../domain/ban.js";
import { parseId } from "../../../domain/id.js";
import type { Engine } from "../../../domain/ports/engine.js";
import { toUserBanMessage } from "../../feed/wire/messages.js";
import type { Handlers } from "../call.js";
import { parseDuration, parseUserAndReason, toWriteAnswer } from "./convert.js";
import { parsePage, takePage } from "./paging.js";

/** The calls of BanService. */
export function createBanService(engine: Engine): Pick<Handlers, "banUser" | "unbanUser" | "listBans"> {
  return {
    async banUser(request, { actor }) {
      const { ban, ...write } = await engine.banUser({
        ...parseUserAndReason(request),
        actor,
        durationMs: parseDuration("duration", request.duration, MIN_BAN_MS, MAX_BAN_MS),
      });
      return { ban: toUserBanMessage(ban), ...toWriteAnswer(write) };
    },

    async unbanUser({ eventId, userId }, { actor }) {
      return toWriteAnswer(await engine.unbanUser(parseId("event_id", eventId), parseId("user_id", userId), actor));
    },

    async listBans({ eventId, ...page }) {
      const { after, pageSize } = parsePage(page, [parseId("event_id", eventId)]);
      const bans = (await engine.listBans(eventId)).filter((ban) => after === undefined || placeOf(ban) > after);
      const { items, nextPageToken } = takePage(bans, pageSize, [eventId], placeOf);
      return { bans: items.map(toUserBanMessage), nextPageToken };
    },
  };
}

// Sorts as the list does: by the end, then by the user id.
function placeOf({ userId, expiresAtMs = Number.MAX_SAFE_INTEGER }: UserBan): string {
  return `${String(expiresAtMs).padStart(16, "0")} ${userId}`;
}
