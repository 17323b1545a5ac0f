import { createHash } from "node:crypto";
import { idProblem } from "../../domain/id.js";
import type { MembershipUpdate } from "../../domain/ports/membershipStore.js";

/** Reads the control plane's sets of these users, in their order. Rejects with `unavailable`. */
export type ReadAssignedChannels = (userIds: readonly string[]) => Promise<string[][]>;

/** The number of characters of a digest. */
const DIGEST_LENGTH = 16;

/** Returns a digest of the control plane's set of a user, in any order. */
export function digestKey(channelIds: readonly string[]): string {
  const text = [...new Set(channelIds)].sort().join();
  return createHash("sha256").update(text).digest("base64url").slice(0, DIGEST_LENGTH);
}

/**
 * Marks updates for which the control plane's set of the user contradicts the update. The control plane writes the set
 * first and then publishes the update. So if Redis has rejected that write, the set is older than the update. A reconcile
 * then must not write the content of this set.
 *
 * @param updates that were received while Redis rejected writes
 */
export async function markStaleKeys<Update extends MembershipUpdate>(
  updates: readonly Update[],
  readAssignedChannels: ReadAssignedChannels,
): Promise<Update[]> {
  const sets = await readAssignedChannels(updates.map(({ userId }) => userId));
  return updates.map((update, index) => {
    const staleKey = digestKey((sets[index] ?? []).filter((channelId) => idProblem(channelId) === undefined));
    return staleKey === digestKey(update.channelIds) ? update : { ...update, staleKey };
  });
}
