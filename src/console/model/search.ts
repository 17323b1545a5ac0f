/** A user, as a row shows it. */
export interface UserRow {
  userId: string;
  channelIds: readonly string[];
}

const compare = new Intl.Collator("en", { numeric: true }).compare;

/** Ids as people sort them: `unit-2` before `unit-10`. */
export function sortIds(ids: Iterable<string>): string[] {
  return [...ids].sort(compare);
}

/** The ids of users who have channels, in order. */
export function listUsers(users: ReadonlyMap<string, readonly string[]>): string[] {
  return sortIds([...users].filter(([, channelIds]) => channelIds.length > 0).map(([userId]) => userId));
}

/** Rows whose user id has the text, then those who have a channel with it; all for an empty text. Case does not count. */
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

/** The ids that have the text. Case does not count. */
export function searchIds(ids: readonly string[], text: string): readonly string[] {
  const wanted = text.trim().toLowerCase();
  return wanted === "" ? ids : ids.filter((id) => id.toLowerCase().includes(wanted));
}
