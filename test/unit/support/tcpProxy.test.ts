import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTcpProxy, type TcpProxy } from "../../support/tcpProxy.js";
import { waitFor } from "../../support/waitFor.js";

const SILENCE_MS = 100;

let server: Server;
let proxy: TcpProxy;
let accepted: Socket[];
let received: string;
let client: Socket;
let answered: string;

beforeEach(async () => {
  accepted = [];
  received = "";
  server = createServer((socket) => {
    accepted.push(socket);
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      received += bytes;
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  proxy = await startTcpProxy(() => port);
  client = await open();
});
afterEach(async () => {
  client.destroy();
  for (const socket of accepted) socket.destroy();
  await proxy.close();
  server.close();
});

async function open(): Promise<Socket> {
  answered = "";
  const socket = connect({ port: proxy.port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  socket.on("data", (bytes) => {
    answered += bytes;
  });
  await waitFor(() => accepted.length > 0 || socket.destroyed);
  return socket;
}

async function expectSilence(read: () => string): Promise<void> {
  const until = performance.now() + SILENCE_MS;
  await waitFor(() => performance.now() > until);
  expect(read()).toBe("");
}

describe("a TCP proxy", () => {
  it("passes bytes and ends in both directions", async () => {
    client.write("question");
    await waitFor(() => received === "question");
    accepted[0]?.write("answer");
    await waitFor(() => answered === "answer");
    client.end();
    await waitFor(() => accepted[0]?.readableEnded);
  });

  it("breaks connections, and refuses them until it is healed", async () => {
    proxy.refuse();
    await waitFor(() => client.destroyed && accepted[0]?.destroyed);
    accepted = [];
    client = await open();
    expect(accepted).toEqual([]);
    proxy.heal();
    client = await open();
    client.write("again");
    await waitFor(() => received === "again");
  });

  it("holds one direction up and delivers it completely afterwards, while the other one passes", async () => {
    proxy.trouble("toServer", { kind: "held" });
    client.write("held ");
    client.write("back");
    accepted[0]?.write("passes");
    await waitFor(() => answered === "passes");
    await expectSilence(() => received);
    proxy.heal();
    await waitFor(() => received === "held back");
  });

  it("drops one direction silently, and breaks the connection when it is healed", async () => {
    proxy.trouble("toClient", { kind: "swallowed" });
    accepted[0]?.write("lost");
    client.write("passes");
    await waitFor(() => received === "passes");
    await expectSilence(() => answered);
    expect(client.destroyed).toBe(false);
    proxy.heal();
    await waitFor(() => client.destroyed);
  });

  it("delays one direction and keeps its order", async () => {
    proxy.trouble("toServer", { kind: "delayed", byMs: SILENCE_MS });
    const sentAt = performance.now();
    client.write("a");
    client.write("b");
    await waitFor(() => received === "ab");
    expect(performance.now() - sentAt).toBeGreaterThan(SILENCE_MS / 2);
  });

  it("lets one direction through slowly", async () => {
    proxy.trouble("toServer", { kind: "throttled", bytesPerSecond: 10_000 });
    const sentAt = performance.now();
    client.write("x".repeat(2_000));
    await waitFor(() => received.length === 2_000);
    expect(performance.now() - sentAt).toBeGreaterThan(100);
  });
});
