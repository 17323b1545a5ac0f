import { describe, expect, it } from "vitest";
import { parseRedisUrl, redactRedisUrl } from "../../../src/lib/redisUrl.js";
import { parseConfig, redisFromEnvironment } from "../../../src/server/config.js";

describe("parseRedisUrl", () => {
  it.each([
    [
      "redis://localhost",
      { topology: "standalone", tls: false, address: { host: "localhost", port: 6379 }, database: 0 },
    ],
    [
      "rediss://user:p%40ss:word@[::1]:6380/2",
      {
        topology: "standalone",
        tls: true,
        username: "user",
        password: "p@ss:word",
        address: { host: "::1", port: 6380 },
        database: 2,
      },
    ],
    [
      "redis+sentinel://:secret@a:1,b/main/3?sentinelUsername=s&sentinelPassword=t%26",
      {
        topology: "sentinel",
        tls: false,
        password: "secret",
        sentinels: [
          { host: "a", port: 1 },
          { host: "b", port: 26379 },
        ],
        masterName: "main",
        database: 3,
        sentinelUsername: "s",
        sentinelPassword: "t&",
      },
    ],
    [
      "rediss+cluster://a@b:c@x:7000,y",
      {
        topology: "cluster",
        tls: true,
        username: "a@b",
        password: "c",
        nodes: [
          { host: "x", port: 7000 },
          { host: "y", port: 6379 },
        ],
      },
    ],
  ])("reads %s", (url, target) => {
    expect(parseRedisUrl(url)).toEqual(target);
  });

  it.each([
    ["localhost:6379", "like redis://host:port"],
    ["http://localhost", "like redis://host:port"],
    ["redis://", "host:port"],
    ["redis://a:b:c", "host:port"],
    ["redis://a:65536", "from 1 to 65535"],
    ["redis://a:0", "from 1 to 65535"],
    ["redis://a,b", "redis+sentinel:// or redis+cluster://"],
    ["redis://a/one", "number as database"],
    ["redis://a/1/2", "nothing behind the database"],
    ["redis://user@a", "password behind the user"],
    ["redis://:%zz@a", "percent-encoding"],
    ["redis://a?db=1", "without the option db"],
    ["redis+sentinel://a,b", "master's name"],
    ["redis+cluster://a/1", "without a database"],
    ["redis+cluster://a?sentinelPassword=x", "without the option sentinelPassword"],
  ])("refuses %s", (url, reason) => {
    expect(() => parseRedisUrl(url)).toThrow(reason);
  });
});

describe("redactRedisUrl", () => {
  it.each([
    ["redis://user:secret@host:1/2", "redis://***@host:1/2"],
    ["redis://:se@cret@host", "redis://***@host"],
    ["redis//:se/cret@host", "redis//***@host"],
    [
      "redis+sentinel://a,b/m?sentinelUsername=s&sentinelPassword=secret",
      "redis+sentinel://a,b/m?sentinelUsername=***&sentinelPassword=***",
    ],
    ["redis://host", "redis://host"],
  ])("hides the secrets in %s", (url, redacted) => {
    expect(redactRedisUrl(url)).toBe(redacted);
  });
});

describe("the configuration of Redis", () => {
  it("reports all mistakes at once, without passwords", () => {
    const flags = { redisUrl: "redis://:secret@a,b", ingestRedisUrl: "redis+cluster://:secret@a", redisLayout: "flat" };
    let message = "";
    try {
      parseConfig(flags, {});
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message.split("\n")).toEqual([
      '--redis-url (SQUELCH_REDIS_URL): must be a Redis URL of one host, or redis+sentinel:// or redis+cluster:// of several, not "redis://***@a,b"',
      '--ingest-redis-url (SQUELCH_INGEST_REDIS_URL): must be a Redis URL of one server or of Sentinel, not "redis+cluster://***@a"',
      '--redis-layout (SQUELCH_REDIS_LAYOUT): must be one of legacy, cluster, not "flat"',
    ]);
  });

  it.each([
    [{ redisUrl: "redis+cluster://a" }, "--redis-layout: must be cluster where --redis-url is of a Cluster"],
    [{ ingestRedisUrl: "redis://a" }, "--ingest-redis-url: needs --redis-url too"],
  ])("refuses options that exclude each other: %j", (flags, problem) => {
    expect(() => parseConfig(flags, {})).toThrow(problem);
  });

  it("accepts a Cluster with its layout, from flags or variables", () => {
    const env = { SQUELCH_REDIS_URL: "redis+cluster://a", SQUELCH_REDIS_LAYOUT: "cluster" };
    expect(parseConfig({ ingestRedisUrl: "redis://b" }, env)).toMatchObject({
      redisUrl: "redis+cluster://a",
      ingestRedisUrl: "redis://b",
      redisLayout: "cluster",
    });
    expect(redisFromEnvironment(undefined, env)).toMatchObject({
      redisUrl: "redis+cluster://a",
      redisLayout: "cluster",
    });
    expect(redisFromEnvironment("redis://c", {})).toMatchObject({ redisUrl: "redis://c", redisLayout: "legacy" });
    expect(() => redisFromEnvironment(undefined, {})).toThrow("redisUrl: must be given");
  });
});
