/** The largest page that a replica returns. */
export const MAX_PAGE_SIZE = 1_000;

/** Reads all pages of a list, one after the other. */
export async function readAllPages<Item>(
  readPage: (page: { pageSize: number; pageToken: string }) => Promise<{ items: Item[]; nextPageToken: string }>,
): Promise<Item[]> {
  const all: Item[] = [];
  let pageToken = "";
  do {
    const { items, nextPageToken } = await readPage({ pageSize: MAX_PAGE_SIZE, pageToken });
    for (const item of items) all.push(item);
    pageToken = nextPageToken;
  } while (pageToken !== "");
  return all;
}
