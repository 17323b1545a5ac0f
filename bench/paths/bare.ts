import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { endChild, startChild } from "../../test/support/childProcess.js";
import type { Path } from "./path.js";

const HOST = "127.0.0.1";
const PROGRAM = fileURLToPath(new URL("../clients/bareWriter.ts", import.meta.url));

/** Starts the bare http2 writer for the messages of one event. */
export async function startBarePath(eventId: string, messages: number): Promise<Path> {
  const server = await startChild(process.execPath, ["--import", "tsx", PROGRAM, eventId, `${messages}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(server.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const { port, controlPort } = JSON.parse(line.toString()) as { port: number; controlPort: number };
  const control = connect({ host: HOST, port: controlPort, noDelay: true });
  await once(control, "connect");
  return {
    name: "bare http2 writer",
    servers: [{ name: "writer", pid: server.pid as number }],
    source: (_, receivers, connections) => ({ kind: "bare", host: HOST, port, eventId, receivers, connections }),
    publish(_, sequence) {
      const number = Buffer.alloc(4);
      number.writeUInt32BE(sequence);
      control.write(number);
    },
    settle: async () => undefined,
    async close() {
      control.destroy();
      await endChild(server, "SIGTERM");
    },
  };
}
