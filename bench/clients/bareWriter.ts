// Measures the best that Node's http2 can do: for each number that arrives on a TCP port, it writes a pre-encoded
// frame to every stream. Prints both ports as JSON.
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer, type Server } from "node:net";
import { encodeBatch, encodeBatchHeader } from "../../src/server/feed/wire/encode.js";
import { encodeChange } from "../../src/server/feed/wire/encodeChange.js";
import { encodeCheckpoint } from "../../src/server/feed/wire/encodeCheckpoint.js";
import { sequencedUpdate } from "./receiverProtocol.js";

const NUMBER_BYTES = 4;
const [eventId = "", count = "0"] = process.argv.slice(2);

const header = encodeBatchHeader(eventId, "1f0c3a5b7d9e");
const frames = Array.from({ length: Number(count) }, (_, sequence) => {
  const { userId, channelIds, action } = JSON.parse(sequencedUpdate(eventId, sequence));
  const change = encodeChange({
    ...{ kind: "membershipChanged", userId, channelIds, action, added: channelIds, removed: [] },
    ...{ revision: sequence + 1, timeMs: Date.now(), actor: "control-plane" },
  });
  return encodeBatch(header, [change], change.length);
});
const ready = encodeCheckpoint([], { healthy: true, ageMs: 0 });

const streams = new Set<ServerHttp2Stream>();
const http2Server = createHttp2Server({ settings: { maxConcurrentStreams: 10_000 } });
http2Server.on("stream", (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc" });
  stream.on("close", () => streams.delete(stream)).on("error", () => streams.delete(stream));
  streams.add(stream);
  stream.write(ready);
});

const controlServer = createServer((socket) => {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    const bytes = Buffer.concat([rest, chunk]);
    let at = 0;
    for (; at + NUMBER_BYTES <= bytes.length; at += NUMBER_BYTES) {
      const frame = frames[bytes.readUInt32BE(at)];
      for (const stream of streams) stream.write(frame);
    }
    rest = bytes.subarray(at);
  });
});

const listen = (server: Server | typeof http2Server) =>
  new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
console.log(JSON.stringify({ port: await listen(http2Server), controlPort: await listen(controlServer) }));
