import { createHash } from "node:crypto";
import { invalidField, refusal } from "../../../domain/errors.js";

const DEFAULT_PAGE_SIZE = 100;
const MAX_PAGE_SIZE = 1_000;
/** How many characters of a token bind it to its query. */
const DIGEST_LENGTH = 16;

/** A page that a list request asks for. */
export interface Page {
  pageSize: number;
  /** The place after which the page begins; undefined for the first page. */
  after: string | undefined;
}

/**
 * Parses the paging fields of a request.
 *
 * @param query what the request asks for, without its paging fields. A token is valid only for the query that it came from.
 * @throws SquelchError `invalidArgument`
 */
export function parsePage(request: { pageSize: number; pageToken: string }, query: readonly string[]): Page {
  const { pageSize, pageToken } = request;
  if (pageSize > MAX_PAGE_SIZE) throw invalidField("page_size", `must be at most ${MAX_PAGE_SIZE}`);
  return { pageSize: pageSize || DEFAULT_PAGE_SIZE, after: pageToken === "" ? undefined : readToken(pageToken, query) };
}

/**
 * Takes a page from the items after its beginning.
 *
 * @param placeOf returns the place of an item, which `Page.after` has for the next page
 */
export function takePage<Item>(
  remaining: readonly Item[],
  pageSize: number,
  query: readonly string[],
  placeOf: (item: Item) => string,
): { items: Item[]; nextPageToken: string } {
  const items = remaining.slice(0, pageSize);
  const last = items.at(-1);
  const isLastPage = last === undefined || remaining.length <= pageSize;
  return { items, nextPageToken: isLastPage ? "" : createToken(placeOf(last), query) };
}

/** Returns a token for the page that begins after `place`. */
export function createToken(place: string, query: readonly string[]): string {
  return `${digestOf(place, query)}${Buffer.from(place).toString("base64url")}`;
}

function readToken(token: string, query: readonly string[]): string {
  const place = Buffer.from(token.slice(DIGEST_LENGTH), "base64url").toString();
  if (token === createToken(place, query)) return place;
  const message =
    "page_token: must be the next_page_token of an earlier answer to the same query; begin at the first page";
  throw refusal("PAGE_TOKEN_INVALID", message, {});
}

function digestOf(place: string, query: readonly string[]): string {
  return createHash("sha256")
    .update(JSON.stringify([place, query]))
    .digest("base64url")
    .slice(0, DIGEST_LENGTH);
}
