import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endChild, findFreePort, startChild } from "../../test/support/childProcess.js";
import { waitFor } from "../../test/support/waitFor.js";
import { connectNats } from "../clients/leanNats.js";
import { sequencedUpdate } from "../clients/receiverProtocol.js";
import type { Path } from "./path.js";

const HOST = "127.0.0.1";

/** Starts nats-server: either core NATS, or a JetStream KV bucket in memory that is written by `Put` and watched. */
export async function startNatsPath(kind: "nats" | "natsKv"): Promise<Path> {
  const directory = await mkdtemp(join(tmpdir(), "squelch-nats-"));
  const port = await findFreePort();
  const args = ["--addr", HOST, "--port", `${port}`, "--jetstream", "--store_dir", directory];
  const server = await startChild("nats-server", args, { stdio: "ignore" });
  let failure: Error | undefined;
  let answered = 0;
  let resolveAnswer: () => void = () => undefined;
  const connect = () =>
    connectNats(
      { host: HOST, port },
      ({ bytes, start, end }) => {
        answered++;
        if (bytes.includes('"error"', start)) failure = new Error(bytes.toString("utf8", start, end));
        resolveAnswer();
      },
      (error) => {
        failure = error;
        resolveAnswer();
      },
    );
  const nats = await waitFor(() => connect().catch(() => undefined), { message: "nats-server to listen" });
  const inbox = "_INBOX.publisher";
  nats.subscribe(inbox, 0);
  let asked = 0;
  const ask = (subject: string, payload: string) => {
    asked++;
    nats.publish(subject, payload, inbox);
  };
  const settle = async () => {
    await nats.flush();
    while (answered < asked && failure === undefined) {
      await new Promise<void>((resolve) => {
        resolveAnswer = resolve;
      });
    }
    if (failure !== undefined) throw failure;
  };

  const isKv = kind === "natsKv";
  return {
    name: isKv ? "NATS JetStream KV watch" : "NATS core",
    servers: [{ name: "nats-server", pid: server.pid as number }],
    async prepare(eventId) {
      if (!isKv) return;
      const name = `KV_${eventId}`;
      const bucket = {
        ...{ name, subjects: [`$KV.${eventId}.>`], storage: "memory", max_msgs_per_subject: 1, discard: "new" },
        ...{ allow_rollup_hdrs: true, deny_delete: true, allow_direct: true, num_replicas: 1 },
      };
      ask(`$JS.API.STREAM.CREATE.${name}`, JSON.stringify(bucket));
      await settle();
    },
    source: (eventId, receivers, connections) => ({ kind, host: HOST, port, eventId, receivers, connections }),
    publish(eventId, sequence) {
      const message = sequencedUpdate(eventId, sequence);
      if (isKv) ask(`$KV.${eventId}.user-${sequence}`, message);
      else nats.publish(eventId, message);
    },
    settle,
    async close() {
      nats.socket.destroy();
      await endChild(server, "SIGTERM");
      await rm(directory, { recursive: true, force: true });
    },
  };
}
