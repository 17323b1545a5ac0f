import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { RedisTarget } from "../../../lib/redisUrl.js";
import { errorReplyOf, isDenied } from "./errorReplies.js";
import { IS_REPLICA, UnfitServer } from "./unfitServer.js";

/** The interval between checks of a server that is loading its data, ms. */
const LOADING_POLL_MS = 200;

/** The fields of INFO. Empty if an ACL denies INFO. */
export type ServerInfo = Readonly<Record<string, string>>;

export interface Examination {
  target: Exclude<RedisTarget, { topology: "cluster" }>;
  connectionName: string;
  isIngest: boolean;
  /** Called before the connection becomes ready. */
  onExamined(info: ServerInfo): void;
  /** Called while the server loads its data. */
  onLoading(): void;
}

/**
 * Examines each server before its connection becomes ready. It selects the database of the URL and waits for the
 * answer, because ioredis uses database 0 if Redis rejects the selection. It rejects a Redis replica, a Cluster node
 * and a sentinel with {@link UnfitServer}. With Sentinel, ioredis rejects replicas itself.
 *
 * The connection options must not contain the URL's database and the connection's name.
 */
export function examineBeforeReady(connection: Redis, examination: Examination): void {
  const hooks = connection as unknown as {
    _readyCheck(callback: (error: unknown, info?: ServerInfo) => void): void;
  };
  hooks._readyCheck = (callback) => {
    examine(connection, examination).then((info) => callback(null, info), callback);
  };
}

async function examine(connection: Redis, examination: Examination): Promise<ServerInfo> {
  const { target, connectionName, isIngest, onExamined, onLoading } = examination;
  const { stream } = connection;
  const { database } = target;
  const [named, selected, first] = await Promise.allSettled([
    connection.client("SETNAME", connectionName),
    database === 0 ? undefined : connection.select(database),
    readInfo(connection),
  ]);
  // A server that rejects the connection answers so to the first command. A server that only does not know or permit
  // the name can serve.
  if (named.status === "rejected" && errorReplyOf(named.reason)?.code === "MAXCLIENTS") throw named.reason;
  if (first.status === "rejected") throw first.reason;
  let info = first.value;
  checkMode(info, isIngest, stream);
  if (selected.status === "rejected") throw explainSelect(selected.reason, database);
  for (let polls = 0; info.loading === "1"; polls++) {
    if (polls === 0) onLoading();
    await sleep(LOADING_POLL_MS);
    if (connection.stream !== stream) throw new Error("the connection was closed while Redis loaded its data");
    info = await readInfo(connection);
  }
  if (target.topology === "standalone" && info.role !== undefined && info.role !== "master") {
    throw new UnfitServer("replica", IS_REPLICA);
  }
  onExamined(info);
  return info;
}

async function readInfo(connection: Redis): Promise<ServerInfo> {
  try {
    const text = await connection.info();
    return Object.fromEntries(
      [...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name as string, value as string]),
    );
  } catch (error) {
    if (isDenied(error)) return {};
    throw error;
  }
}

function checkMode(info: ServerInfo, isIngest: boolean, { remoteAddress: host = "", remotePort = 0 }: RemoteEnd): void {
  const address = `${host.includes(":") ? `[${host}]` : host}:${remotePort}`;
  if (info.redis_mode === "sentinel") {
    const remedy = `use redis+sentinel://${address}/ and the name of the master`;
    throw new UnfitServer("misconfigured", `must name a Redis server, but ${address} is a sentinel; ${remedy}`);
  }
  if (info.cluster_enabled === "1") {
    const remedy = isIngest
      ? "use a single server or Sentinel: a Cluster does not keep the order of published messages"
      : `use redis+cluster://${address}`;
    throw new UnfitServer(
      "misconfigured",
      `must name a single server, but ${address} is a node of a Cluster; ${remedy}`,
    );
  }
}

interface RemoteEnd {
  remoteAddress?: string | undefined;
  remotePort?: number | undefined;
}

function explainSelect(error: unknown, database: number): unknown {
  const isMissing = error instanceof Error && /out of range|invalid DB index/i.test(error.message);
  if (!isMissing) return error;
  return new UnfitServer(
    "misconfigured",
    `must name a database that the server has, not ${database}; name another, or raise "databases" in its configuration`,
  );
}
