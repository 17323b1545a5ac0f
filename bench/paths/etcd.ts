import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { endChild, findFreePort, startChild } from "../../test/support/childProcess.js";
import * as etcd from "../clients/etcdMessages.js";
import { sequencedUpdate } from "../clients/receiverProtocol.js";
import type { Path } from "./path.js";

const HOST = "127.0.0.1";
const START_TIMEOUT_MS = 20_000;
/** The number of puts in progress at a time. With thousands at once, etcd answers that it is too slow. */
const MAX_PUTS = 64;
/** The parent of the data folder: in memory if possible, so that the disk is not measured. */
const DATA_PLACE = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** Starts etcd. Messages are puts, and each receiver has one Watch stream. */
export async function startEtcdPath(): Promise<Path> {
  const directory = await mkdtemp(join(DATA_PLACE, "squelch-etcd-"));
  const [port, peerPort] = [await findFreePort(), await findFreePort()];
  const [url, peerUrl] = [`http://${HOST}:${port}`, `http://${HOST}:${peerPort}`];
  const args = [
    ...["--name", "bench", "--data-dir", directory, "--initial-cluster", `bench=${peerUrl}`],
    ...["--listen-client-urls", url, "--advertise-client-urls", url],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
  ];
  const server = await startChild("etcd", args, { stdio: "ignore" });
  const client = new Client(`${HOST}:${port}`, credentials.createInsecure());
  const puts = new WriteQueue((request) => {
    const pass = (bytes: Buffer) => bytes;
    return new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(etcd.PUT_PATH, pass, pass, request, (error) => (error ? reject(error) : resolve()));
    });
  });
  await new Promise<void>((resolve, reject) =>
    client.waitForReady(Date.now() + START_TIMEOUT_MS, (error) => (error ? reject(error) : resolve())),
  );

  return {
    name: "etcd watch",
    servers: [{ name: "etcd", pid: server.pid as number }],
    source: (eventId, receivers, connections) => ({ kind: "etcd", host: HOST, port, eventId, receivers, connections }),
    publish(eventId, sequence) {
      puts.add(etcd.put(eventId, `user-${sequence}`, sequencedUpdate(eventId, sequence)));
    },
    settle: () => puts.settle(),
    async close() {
      client.close();
      await endChild(server, "SIGTERM");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

// Writes in the given order, some writes at a time.
class WriteQueue {
  readonly #write: (request: Buffer) => Promise<void>;
  readonly #waiting: Buffer[] = [];
  #underWay = 0;
  #failure: unknown;
  #resolveIdle: () => void = () => undefined;

  constructor(write: (request: Buffer) => Promise<void>) {
    this.#write = write;
  }

  add(request: Buffer): void {
    this.#waiting.push(request);
    this.#next();
  }

  /** Resolves when everything is written. Rejects if etcd rejected a write. */
  async settle(): Promise<void> {
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#resolveIdle = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #next(): void {
    if (this.#underWay === MAX_PUTS) return;
    const request = this.#waiting.shift();
    if (request === undefined) return;
    this.#underWay++;
    this.#write(request)
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#underWay--;
        this.#next();
        if (this.#underWay === 0) this.#resolveIdle();
      });
  }
}
