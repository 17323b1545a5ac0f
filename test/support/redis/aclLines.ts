import { read } from "../pages.js";
import type { RedisProcess } from "./redisProcess.js";

/** A set of rights in docs/operations.md. */
export type Rights = "acl" | "acl-cluster" | "acl-ingest";

/** The password in the lines of the page. */
const ACL_PASSWORD = "password";

/** The `ACL SETUSER` lines of docs/operations.md, word by word. */
export function aclLines(rights: Rights): string[][] {
  const [, block] = new RegExp(`^\`\`\`${rights}\n(.*?)^\`\`\`$`, "ms").exec(read("docs/operations.md")) ?? [];
  if (block === undefined) throw new Error(`docs/operations.md has no block of ${rights}`);
  return block
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
}

/** Gives a server the user `squelch`, or `ingest`, with the rights of docs/operations.md. */
export async function applyRights(redis: RedisProcess, rights: Rights): Promise<void> {
  if (rights !== "acl-cluster") return await setUsers(redis, aclLines(rights));
  // The keys and channels of this block replace those of the page's first block.
  const reset = ["ACL", "SETUSER", "squelch", "resetkeys", "resetchannels"];
  await setUsers(redis, [...aclLines("acl"), reset, ...aclLines("acl-cluster")]);
}

async function setUsers(redis: RedisProcess, lines: readonly (readonly string[])[]): Promise<void> {
  for (const line of lines) await redis.cli(...line);
}

/** Returns what Redis has denied to a user since its start: the command or key, and the reason. */
export async function denials(redis: RedisProcess): Promise<string[]> {
  const text = await redis.cli("ACL", "LOG");
  return text.split("\n").filter((line) => line !== "");
}

/** The URL with a user of the page. */
export function withUser(url: string, user: "squelch" | "ingest"): string {
  return url.replace("://", `://${user}:${ACL_PASSWORD}@`);
}
