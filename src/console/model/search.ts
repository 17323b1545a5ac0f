/** A user in a row of the list. */
export interface UserRow {
  userId: string;
  channelIds: readonly string[];
}

const compare = new Intl.Collator("en", { numeric: true }).compare;

/** Compares ids with numbers in natural order: `unit-2` before `unit-10`. */
export function sortIds(ids: Iterable<string>): string[] {
  return [...ids].sort(compare);
}

/** Returns the ids of users who have channels, sorted. */
export function listUsers(users: ReadonlyMap<string, readonly string[]>): string[] {
  return sortIds([...users].filter(([, channelIds]) => channelIds.length > 0).map(([userId]) => userId));
}

/**
 * Finds users by text: first users with the text in their id, then users with the text in a channel id. An empty text finds
 * all. Upper and lower case are equal.
 */
export function searchUsers(rows: readonly UserRow[], text: string): readonly UserRow[] {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return rows;
  const byUser: UserRow[] = [];
  const byChannel: UserRow[] = [];
  for (const row of rows) {
    if (row.userId.toLowerCase().includes(wanted)) byUser.push(row);
    else if (row.channelIds.some((channelId) => channelId.toLowerCase().includes(wanted))) byChannel.push(row);
  }
  return [...byUser, ...byChannel];
}

/** Returns the ids that contain the text. Upper and lower case are equal. */
export function searchIds(ids: readonly string[], text: string): readonly string[] {
  const wanted = text.trim().toLowerCase();
  return wanted === "" ? ids : ids.filter((id) => id.toLowerCase().includes(wanted));
}
