import { SquelchError } from "./errors.js";
import { parseId } from "./id.js";
import { parseChannelIds } from "./membership.js";
import type { UserChannels } from "./ports/membershipStore.js";

/** What the changes of a sync are called. */
export const SYNC_ACTION = "sync_event_members";

/** The most users that one sync may name. */
const MAX_SYNC_USERS = 100_000;
/** The most channels that one sync may assign, each counted once for every user who has it. */
const MAX_SYNC_CHANNELS = 2_000_000;

/** The members of an event as they come in, until there are enough for one sync. */
export class MemberList {
  readonly #users = new Map<string, UserChannels>();
  #channelCount = 0;

  /** In the order in which they were added. */
  get users(): UserChannels[] {
    return [...this.#users.values()];
  }

  /**
   * Adds a user with all channels, which are put in order.
   *
   * @param path begins the message of a failure, for example `users[3].`
   * @throws SquelchError `invalidArgument` if an id is none or the user was added before; `resourceExhausted` beyond 100,000 users or 2,000,000 channels in all
   */
  add(path: string, { userId, channelIds }: Readonly<UserChannels>): void {
    parseId(`${path}user_id`, userId);
    if (this.#users.has(userId)) {
      throw new SquelchError("invalidArgument", `${path}user_id: "${userId}" was named before; name each user once`);
    }
    const user = { userId, channelIds: parseChannelIds(`${path}channel_ids`, channelIds) };
    this.#channelCount += user.channelIds.length;
    if (this.#users.size >= MAX_SYNC_USERS) throw tooMany(`${MAX_SYNC_USERS} users`);
    if (this.#channelCount > MAX_SYNC_CHANNELS) throw tooMany(`${MAX_SYNC_CHANNELS} channels in all`);
    this.#users.set(userId, user);
  }
}

/** The refusal of a sync of which a channel belongs to the event `owner`. */
export function foreignChannelInSync(users: readonly UserChannels[], channelId: string, owner: string): SquelchError {
  const userId = users.find((user) => user.channelIds.includes(channelId))?.userId;
  return new SquelchError(
    "failedPrecondition",
    `users: channel "${channelId}" of user "${userId}" belongs to event "${owner}"; move it with SetChannelEvent first`,
  );
}

function tooMany(limit: string): SquelchError {
  return new SquelchError(
    "resourceExhausted",
    `users: one sync may have at most ${limit}; assign larger events user by user with SetUserChannels`,
  );
}
