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

/** Users who have channels, by id. */
export function listUsers(users: ReadonlyMap<string, readonly string[]>): UserRow[] {
  const rows: UserRow[] = [];
  for (const [userId, channelIds] of users) if (channelIds.length > 0) rows.push({ userId, channelIds });
  return rows.sort((a, b) => compare(a.userId, b.userId));
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
