import { SquelchError } from "../../domain/errors.js";
import { parseId } from "../../domain/id.js";
import { DEFAULT_ACTION, parseChannelIds } from "../../domain/membership.js";

/** The size of the largest message that is accepted, bytes. */
const MAX_UPDATE_BYTES = 1 << 20;

/** The full list of one user's channels in one event, as the control plane published it. */
export interface PublishedUpdate {
  eventId: string;
  userId: string;
  /** The channel ids, ascending and without duplicates. */
  channelIds: string[];
  action: string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Parses a message of `vp:membership_updates`. Ids may be strings or whole numbers; unknown fields are ignored. A
 * message without a list of channels is malformed: the list is not taken as empty.
 *
 * @throws SquelchError `invalidArgument`, naming the field
 */
export function parseMembershipUpdate(message: Uint8Array): PublishedUpdate {
  if (message.length > MAX_UPDATE_BYTES) throw invalid(`message: must have at most ${MAX_UPDATE_BYTES} bytes`);
  const { eventId, userId, channelIds, action } = parseObject(message);
  if (!Array.isArray(channelIds)) throw invalid("channelIds: must be a list");
  return {
    eventId: parseId("eventId", toText("eventId", eventId)),
    userId: parseId("userId", toText("userId", userId)),
    channelIds: parseChannelIds(
      "channelIds",
      channelIds.map((id, index) => toText(`channelIds[${index}]`, id)),
    ),
    action: action === undefined || action === null || action === "" ? DEFAULT_ACTION : parseAction(action),
  };
}

function parseAction(action: unknown): string {
  return parseId("action", toText("action", action));
}

function parseObject(message: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(message));
  } catch (error) {
    throw new SquelchError("invalidArgument", "message: must be JSON in UTF-8", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("message: must be an object");
  return value as Record<string, unknown>;
}

function toText(field: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (Number.isSafeInteger(value)) return String(value);
  throw invalid(`${field}: must be a string or a whole number`);
}

function invalid(message: string): SquelchError {
  return new SquelchError("invalidArgument", message);
}
