// A router that subscribes to Redis itself. It updates its permissions of the user and sends them to the user's
// sockets. It checks no token and does not recover what it missed during an interruption. Prints its address as JSON.
import type { AddressInfo } from "node:net";
import { Redis } from "ioredis";
import { type WebSocket, WebSocketServer } from "ws";
import { MEMBERSHIP_UPDATES } from "../../src/engine/redis/keys.js";

interface Update {
  eventId: string;
  userId: string;
  channelIds: string[];
  action: string;
}

const [redisUrl = ""] = process.argv.slice(2);
const sockets = new Map<string, WebSocket>();
const pictures = new Map<string, string[]>();

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
server.on("connection", (socket, request) => {
  const userId = new URL(request.url ?? "", "ws://router").searchParams.get("userId") ?? "";
  sockets.set(userId, socket);
  socket.on("close", () => sockets.delete(userId));
  socket.send(JSON.stringify({ type: "channel-list", data: { channels: [] } }));
});

const redis = new Redis(redisUrl);
redis.on("message", (_channel, message) => {
  const { eventId, userId, channelIds, action } = JSON.parse(message) as Update;
  const before = pictures.get(userId) ?? [];
  pictures.set(userId, channelIds);
  const added = channelIds.filter((id) => !before.includes(id));
  const removed = before.filter((id) => !channelIds.includes(id));
  const data = { eventId, channelIds, channels: channelIds, added, removed, action };
  sockets.get(userId)?.send(JSON.stringify({ type: "permission-update", data }));
});
await redis.subscribe(MEMBERSHIP_UPDATES);
const { port } = server.address() as AddressInfo;
console.log(JSON.stringify({ wsAddress: `127.0.0.1:${port}` }));
