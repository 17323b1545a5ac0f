import { once } from "node:events";
import { WebSocket } from "ws";
import { monotonicUs } from "../support/clock.js";
import type { Ledger } from "../support/ledger.js";
import { rotatingUpdate, sequenceOf, type WebSocketSource } from "./receiverProtocol.js";

interface Frame {
  type: string;
  data?: { channelIds: string[]; action: string };
}

/** Connects all clients. Resolves when each has its first frame. */
export async function openWebSockets(
  { eventId, clients }: WebSocketSource,
  ledger: Ledger,
  onEnd: (error: unknown) => void,
): Promise<WebSocket[]> {
  const sockets = clients.map(({ url, protocols }) => new WebSocket(url, protocols, { perMessageDeflate: false }));
  await Promise.all(
    sockets.map(async (socket, user) => {
      socket.on("error", onEnd);
      socket.on("message", (bytes) => {
        const atUs = monotonicUs();
        const { type, data } = JSON.parse(String(bytes)) as Frame;
        const sequence = type === "permission-update" && data !== undefined ? sequenceOf(data.action) : undefined;
        if (sequence === undefined || data === undefined) return;
        const { channelIds, action } = data;
        const said = JSON.stringify({ eventId, userId: `user-${user}`, channelIds, action });
        if (said !== rotatingUpdate([eventId], clients.length, sequence))
          onEnd(new Error(`this is not right: ${said}`));
        else ledger.note(0, sequence, atUs);
      });
      await once(socket, "message");
    }),
  );
  return sockets;
}
