import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { signToken } from "../../../support/clients/wsClient.js";
import {
  connect,
  joinA,
  SECRET,
  server,
  startRouter,
  useRoutersOnFakeServer,
} from "../../../support/fakes/routersOnFakeServer.js";
import { spawnRouter } from "../../../support/spawnRouter.js";
import { waitFor } from "../../../support/waitFor.js";

useRoutersOnFakeServer();

let strangers: Socket[] = [];
afterEach(() => {
  for (const socket of strangers) socket.destroy();
  strangers = [];
});

/** Opens a TCP connection that never closes its own side. */
async function openTcp(wsAddress: string, firstBytes = ""): Promise<{ socket: Socket; received: () => string }> {
  const socket = connectTcp({ host: "127.0.0.1", port: Number(wsAddress.split(":")[1]), allowHalfOpen: true });
  strangers.push(socket);
  let text = "";
  socket.on("data", (bytes) => {
    text += String(bytes);
  });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(firstBytes);
  return { socket, received: () => text };
}

const upgrade = (token: string) =>
  `${["GET /ws HTTP/1.1", "Host: router", "Connection: Upgrade", "Upgrade: websocket"].join("\r\n")}\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n` +
  `Authorization: Bearer ${token}\r\n\r\n`;

describe("a connection", () => {
  it("is destroyed after a refusal, also if the client keeps its side open", async () => {
    const router = await startRouter({ maxSockets: 1 });
    const { socket, received } = await openTcp(router.wsAddress, upgrade("forged"));
    await waitFor(() => received().includes("401 Unauthorized"));
    // The place is free again, though the client has not closed the connection.
    await waitFor(() => connect(router, "u1").catch(() => undefined), { timeoutMs: 5_000 });
    expect(socket.writableEnded).toBe(false);
  });

  it("whose client is not admitted within 10 s is closed; an admitted one stays", async () => {
    const router = await startRouter();
    const client = await connect(router, "u1");
    const idle = [
      await openTcp(router.wsAddress),
      await openTcp(router.wsAddress, "GET /ws HTTP/1.1\r\nHost: "),
      await openTcp(router.wsAddress, "GET /ws HTTP/1.1\r\nHost: router\r\n\r\n"),
    ];
    const openedAtMs = performance.now();
    await Promise.all(idle.map(({ socket }) => once(socket, "end")));
    expect(performance.now() - openedAtMs).toBeLessThan(11_500);
    expect(await client.request("ping")).toBeDefined();
  }, 30_000);

  it("is refused above the limits in all, per user and per address, until one is free", async () => {
    const perUser = await startRouter({ maxSocketsPerUser: 2 });
    const [first] = [await connect(perUser, "u1"), await connect(perUser, "u1")];
    await expect(connect(perUser, "u1")).rejects.toThrow("429 You have too many connections");
    await connect(perUser, "u1", { eventId: "e2" });
    await connect(perUser, "u2");
    await first?.close();
    await waitFor(() => connect(perUser, "u1").catch(() => undefined));

    for (const limits of [{ maxSockets: 2 }, { maxSocketsPerAddress: 2 }]) {
      const router = await startRouter(limits);
      const [one] = [await connect(router, "u1"), await openTcp(router.wsAddress)];
      await expect(connect(router, "u2"), JSON.stringify(limits)).rejects.toThrow();
      expect(await one.request("ping")).toBeDefined();
      await one.close();
      await waitFor(() => connect(router, "u2").catch(() => undefined));
    }
    await expect(startRouter({ maxSockets: 0 })).rejects.toThrow("maxSockets");
  });
});

describe("the router", () => {
  it("ends at SIGTERM in its drain time, whatever clients and the service do", async () => {
    const program = await spawnRouter("router-1", [server.address], SECRET);
    try {
      server.setUserChannels("e1", "u1", ["a"]);
      const client = await joinA(program, "u1");
      await client.request("ptt-start", { channelId: "a" });
      await openTcp(program.wsAddress);
      await openTcp(program.wsAddress, upgrade("forged"));
      // The service does not answer any more: neither a release nor an admission.
      server.gates.set("stopPtt", new Promise(() => undefined));
      server.gates.set("getUserPermissions", new Promise(() => undefined));
      await openTcp(program.wsAddress, upgrade(await signToken(SECRET, { userId: "u2", eventId: "e1" })));
      client.socket.pause();
      const beganAtMs = performance.now();
      await program.stop();
      expect(performance.now() - beganAtMs).toBeLessThan(10_000);
    } finally {
      program.kill("SIGKILL");
    }
  }, 40_000);
});
