import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { RedisTarget } from "../../../lib/redisUrl.js";
import { IS_REPLICA, UnfitServer } from "./unfitServer.js";

/** How often a server that loads its data is asked whether it is done, ms. */
const LOADING_POLL_MS = 200;

/** The fields of INFO; none where an ACL denies it. */
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
 * Has each server examined before the connection to it becomes ready: the database of the URL is selected and its answer
 * awaited (ioredis goes on with database 0 where Redis refuses it), and a replica of Redis, a node of a Cluster and a
 * sentinel are refused with {@link UnfitServer}. With Sentinel, ioredis refuses replicas by itself.
 *
 * The URL's database and the connection's name must not be in the options of the connection.
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
  // The first command gets the answer of a server that turns the connection away. A server that merely does not know
  // or permit the name is a good one.
  if (named.status === "rejected" && isTurnedAway(named.reason)) throw named.reason;
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
    if (error instanceof Error && /^NOPERM\b|^ERR unknown command/.test(error.message)) return {};
    throw error;
  }
}

function isTurnedAway(error: unknown): boolean {
  return error instanceof Error && /max number of clients/.test(error.message);
}

function checkMode(info: ServerInfo, isIngest: boolean, { remoteAddress: host = "", remotePort = 0 }: RemoteEnd): void {
  const address = `${host.includes(":") ? `[${host}]` : host}:${remotePort}`;
  if (info.redis_mode === "sentinel") {
    const remedy = `use redis+sentinel://${address}/ and the name of the master`;
    throw new UnfitServer("misconfigured", `must name a Redis server, but ${address} is a sentinel; ${remedy}`);
  }
  if (info.cluster_enabled === "1") {
    const remedy = isIngest
      ? "use a single server or Sentinel: a Cluster has no order of publication"
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
