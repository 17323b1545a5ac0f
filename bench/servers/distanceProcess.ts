// Forwards to a server on this machine with a given delay in each direction, like a network. The arguments are the
// port of the server and the delay in µs. It sends its own port to its parent. It runs in its own process because it
// waits in a busy loop: timers are too coarse.
import { connect, createServer, type Socket } from "node:net";
import { monotonicUs } from "../support/clock.js";

interface OnTheWay {
  dueUs: number;
  to: Socket;
  bytes: Buffer;
}

const [serverPort, oneWayUs] = process.argv.slice(2).map(Number) as [number, number];
const underWay: OnTheWay[] = [];

function deliver(): void {
  for (let next = underWay[0]; next !== undefined && next.dueUs <= monotonicUs(); next = underWay[0]) {
    underWay.shift();
    next.to.write(next.bytes);
  }
  if (underWay.length > 0) setImmediate(deliver);
}

function carry(from: Socket, to: Socket): void {
  from.on("data", (bytes) => {
    if (underWay.push({ dueUs: monotonicUs() + oneWayUs, to, bytes }) === 1) setImmediate(deliver);
  });
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroy());
}

const server = createServer({ noDelay: true }, (client) => {
  const upstream = connect({ port: serverPort, host: "127.0.0.1", noDelay: true });
  carry(client, upstream);
  carry(upstream, client);
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address === "object") process.send?.(address?.port);
});
