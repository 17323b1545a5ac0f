import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { WebSocketServer } from "ws";
import { DemoClient } from "../../../src/cli/demo/demoClient.js";

let server: WebSocketServer;
let url: string;

beforeEach(async () => {
  server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`;
});
afterEach(() => {
  vi.useRealTimers();
  for (const socket of server.clients) socket.terminate();
  server.close();
});

it("G9: reports which users a frame did not reach in time", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const connected = once(server, "connection");
  const connecting = expect(DemoClient.connect(url, "token", "anna")).rejects.toThrow(
    "the channel list did not reach anna within 5 s",
  );
  await connected;
  vi.advanceTimersByTime(5_000);
  await connecting;
});

it("G9: says that the router closed the connection, without waiting", async () => {
  server.on("connection", (socket) => socket.close(4003));
  await expect(DemoClient.connect(url, "token", "anna")).rejects.toThrow(
    "the connection of anna failed: closed with 4003",
  );
});

it("resolves a request with the reply that has its id", async () => {
  server.on("connection", (socket) => {
    socket.send('{"type":"channel-list","data":{}}');
    socket.on("message", (bytes) => {
      const { id, type, data } = JSON.parse(String(bytes));
      socket.send('{"type":"channel-state","id":999}');
      socket.send(JSON.stringify({ type: "channel-state", id, data: { asked: type, ...data } }));
    });
  });
  const client = await DemoClient.connect(url, "token", "anna");
  const { frame } = await client.request("join-channel", "stage");
  expect(frame.data).toEqual({ asked: "join-channel", channelId: "stage" });
  client.close();
});
