import { invalidField, refusal, type SquelchError } from "./errors.js";
import { parseId } from "./id.js";
import { channelOfAnotherEvent, parseChannelIds } from "./membership.js";
import type { UserChannels } from "./ports/membershipStore.js";

/** The action of the changes that a sync makes. */
export const SYNC_ACTION = "sync_event_members";

/** The most users that one sync may name. */
const MAX_SYNC_USERS = 100_000;
/** The most channels that one sync may assign. A channel of several users counts once for each of them. */
const MAX_SYNC_CHANNELS = 2_000_000;

/** Collects and checks the users of one sync. */
export class MemberList {
  readonly #users = new Map<string, UserChannels>();
  #channelCount = 0;

  /** The users in the order in which they were added. */
  get users(): UserChannels[] {
    return [...this.#users.values()];
  }

  /**
   * Adds a user. Sorts the user's channels and removes duplicates.
   *
   * @param path begins the message of a failure, for example `users[3].`
   * @throws SquelchError `invalidArgument` if an id is not valid or the user was added before; `resourceExhausted` beyond
   * 100,000 users or 2,000,000 channels in total
   */
  add(path: string, { userId, channelIds }: Readonly<UserChannels>): void {
    parseId(`${path}user_id`, userId);
    if (this.#users.has(userId)) {
      throw invalidField(`${path}user_id`, `"${userId}" was named before; name each user once`);
    }
    const user = { userId, channelIds: parseChannelIds(`${path}channel_ids`, channelIds) };
    this.#channelCount += user.channelIds.length;
    if (this.#users.size >= MAX_SYNC_USERS) throw tooMany("users_per_sync", MAX_SYNC_USERS, "users");
    if (this.#channelCount > MAX_SYNC_CHANNELS)
      throw tooMany("channels_per_sync", MAX_SYNC_CHANNELS, "channels in all");
    this.#users.set(userId, user);
  }
}

/** Returns the error for a sync that names a channel of another event. */
export function foreignChannelInSync(users: readonly UserChannels[], channelId: string): SquelchError {
  const userId = users.find((user) => user.channelIds.includes(channelId))?.userId;
  return channelOfAnotherEvent("users", channelId, ` of user "${userId}"`);
}

function tooMany(limit: string, max: number, what: string): SquelchError {
  return refusal(
    "LIMIT_EXCEEDED",
    `users: one sync may have at most ${max} ${what}; assign larger events user by user with SetUserChannels`,
    { limit, max: `${max}` },
  );
}
