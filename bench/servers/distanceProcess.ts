// A way to a server on this machine that takes a given time in each direction, as a network does: arguments are the port
// of the server and the time in µs. Sends its own port to its parent. In a process of its own, because it waits by asking
// the clock over and over: timers are too coarse.
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
