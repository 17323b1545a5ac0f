import { once } from "node:events";
import { connect } from "node:net";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type RedisServer, startRedis } from "../../support/redis/startRedis.js";
import { errorCodeOf, type RespCommand, type RespProxy, startRespProxy } from "../../support/resp/respProxy.js";
import { waitFor } from "../../support/waitFor.js";

const OOM = "OOM command not allowed when used memory > 'maxmemory'.";
const LARGE_BYTES = 8 << 20;

let redis: RedisServer;
let proxy: RespProxy;
let direct: Redis;
let clients: Redis[];
let client: Redis;

beforeAll(async () => {
  redis = await startRedis();
  direct = new Redis({ port: redis.port });
});
afterAll(async () => {
  direct.disconnect();
  await redis.stop();
});
beforeEach(async () => {
  await direct.flushall();
  clients = [];
  proxy = await startRespProxy(() => redis.port);
  client = open();
});
afterEach(async () => {
  for (const one of clients) one.disconnect();
  await proxy.close();
});

function open(options: object = {}): Redis {
  const opened = new Redis({ port: proxy.port, retryStrategy: () => null, ...options });
  opened.on("error", () => undefined);
  clients.push(opened);
  return opened;
}

const named =
  (...names: string[]) =>
  ({ name }: RespCommand) =>
    names.includes(name) ? OOM : undefined;

describe("a RESP proxy", () => {
  it("passes commands and replies of every type", async () => {
    await client.hset("h", { a: "1", b: "" });
    await client.rpush("l", "one", "two");
    const nested = "return {1, 'a', {2, {false, 'b'}}, {}}";
    expect(await client.hgetall("h")).toEqual({ a: "1", b: "" });
    expect(await client.lrange("l", 0, -1)).toEqual(["one", "two"]);
    expect(await client.eval(nested, 0)).toEqual([1, "a", [2, [null, "b"]], []]);
    expect(await client.get("absent")).toBeNull();
    expect(await client.ping()).toBe("PONG");
    await expect(client.incr("h")).rejects.toThrow("WRONGTYPE");
  });

  it("answers instead of the server before the command takes effect", async () => {
    const end = proxy.refuse({ when: "before", answer: named("set") });
    await expect(client.set("k", "v")).rejects.toThrow(OOM);
    expect(await direct.get("k")).toBeNull();
    end();
    expect(await client.set("k", "v")).toBe("OK");
  });

  it("answers instead of the server after the command has taken effect", async () => {
    proxy.refuse({ when: "after", answer: named("set", "lrange") });
    await client.rpush("l", ..."abc");
    await expect(client.set("k", "v")).rejects.toThrow(OOM);
    await expect(client.lrange("l", 0, -1)).rejects.toThrow(OOM);
    expect(await direct.get("k")).toBe("v");
    proxy.heal();
    expect(await client.get("k")).toBe("v");
  });

  it("keeps the order of a pipeline in which some commands are refused", async () => {
    proxy.refuse({ when: "before", answer: named("set") });
    proxy.refuse({ when: "after", answer: named("incr") });
    const results = await client.pipeline().set("a", "1").ping().incr("n").set("b", "2").get("n").ping("end").exec();
    const replies = results?.map(([error, value]) => (error === null ? value : "refused"));
    expect(replies).toEqual(["refused", "PONG", "refused", "refused", "1", "end"]);
  });

  it("refuses only connections with one name", async () => {
    const other = open({ connectionName: "squelch-commands" });
    proxy.refuse({
      when: "before",
      answer: ({ connection, name }) => (connection === "squelch-commands" && name === "set" ? OOM : undefined),
    });
    await expect(other.set("k", "v")).rejects.toThrow(OOM);
    expect(await client.set("k", "v")).toBe("OK");
  });

  it("passes large replies and commands completely, also if their neighbours are refused", async () => {
    const large = "x".repeat(LARGE_BYTES);
    proxy.refuse({ when: "before", answer: named("incr") });
    const [stored, refused, read, alive] = await Promise.allSettled([
      client.set("k", large),
      client.incr("n"),
      client.get("k"),
      client.ping(),
    ]);
    expect([stored.status, refused.status, alive.status]).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(read).toMatchObject({ value: large });
  });

  it("replaces a large reply of a command that took effect", async () => {
    await direct.set("k", "x".repeat(LARGE_BYTES));
    proxy.refuse({ when: "after", answer: named("getset") });
    await expect(client.getset("k", "new")).rejects.toThrow(OOM);
    expect(await client.get("k")).toBe("new");
  });

  it("finds the ends of values that arrive a byte at a time", async () => {
    const socket = connect({ port: proxy.port, host: "127.0.0.1", noDelay: true });
    let answered = "";
    socket.on("data", (bytes) => {
      answered += bytes;
    });
    await once(socket, "connect");
    proxy.refuse({ when: "before", answer: named("incr") });
    for (const byte of "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$4\r\nPING\r\n$2\r\n\r\n\r\n") {
      await new Promise((resolve) => socket.write(byte, resolve));
    }
    await waitFor(() => answered === `-${OOM}\r\n$2\r\n\r\n\r\n`, { message: () => `the answers, not ${answered}` });
    socket.destroy();
  });

  it("passes published messages unchanged, also after commands of the same connection", async () => {
    const messages: string[] = [];
    client.on("message", (_, message: string) => messages.push(message));
    await client.ping();
    await client.subscribe("one", "two");
    proxy.refuse({ when: "before", answer: () => OOM });
    for (const message of ["a", "-ERR b", "*3", "c\r\n$1"]) await direct.publish("two", message);
    await waitFor(() => messages.length === 4);
    expect(messages).toEqual(["a", "-ERR b", "*3", "c\r\n$1"]);
  });

  it("refuses a subscription like any command", async () => {
    const end = proxy.refuse({ when: "before", answer: named("subscribe") });
    await expect(client.subscribe("one")).rejects.toThrow(OOM);
    end();
    expect(await client.ping()).toBe("PONG");
  });

  it("counts the errors of the server and its own by their codes", async () => {
    await client.hset("h", "a", "1");
    await client.incr("h").catch(() => undefined);
    proxy.refuse({ when: "before", answer: named("set") });
    await client.set("k", "v").catch(() => undefined);
    await client.set("k", "v").catch(() => undefined);
    expect(Object.fromEntries(proxy.errors)).toMatchObject({ "WRONGTYPE Operation against a": 1, OOM: 2 });
  });

  it("ends both connections when one of them ends", async () => {
    await client.ping();
    const closed = once(client, "close");
    await direct.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    await closed;
    const other = open();
    await other.ping();
    const closedToo = once(other, "close");
    proxy.cut();
    await closedToo;
  });
});

describe("the code of an error", () => {
  it.each([
    ["OOM command not allowed when used memory > 'maxmemory'.", "OOM"],
    ["ERR user_script:141: OOM command not allowed script: 60a5, on @user_script:1.", "OOM"],
    ["ERR Error running script (call to f_60a5): @user_script:1: @user_script: 1: -READONLY You can't", "READONLY"],
    ["MOVED 3999 127.0.0.1:6381", "MOVED"],
    ["ERR max number of clients reached", "ERR max number of"],
    ["ERR user_script:141: ERR The user executing the script can't run this", "ERR The user executing"],
  ])("%s", (text, code) => expect(errorCodeOf(text)).toBe(code));
});
