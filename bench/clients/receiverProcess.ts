// Runs the receivers of a scenario in a process of their own, so that they delay neither the servers nor the
// publisher.
import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import { type ObservedRouter, observeRouter } from "../../test/support/clients/observedRouter.js";
import { waitFor } from "../../test/support/waitFor.js";
import { monotonicUs } from "../support/clock.js";
import { Ledger } from "../support/ledger.js";
import { openStreams, readItemOf } from "./openStreams.js";
import { openWebSockets } from "./openWebSockets.js";
import { type ReceiverAnswer, type ReceiverRequest, type Source, sequenceOf } from "./receiverProtocol.js";

const OPEN_TIMEOUT_MS = 60_000;
/** The longest time to wait for the routers: one that waits for its next attempt may do so for 30 s. */
const RETURN_TIMEOUT_MS = 45_000;

let sockets: Socket[] = [];
let routers: ObservedRouter[] = [];
let webSockets: WebSocket[] = [];
let ledger = new Ledger(0, 0, () => 0);

// Resolves when every router is fresh.
async function openRouters(source: Source & { kind: "routers" }): Promise<void> {
  const { addresses, prefix, eventIds, receivers } = source;
  routers = Array.from({ length: receivers }, (_, receiver) => {
    const router = observeRouter(`${prefix}${receiver}`, addresses, eventIds);
    router.client.on("change", ({ action }) => {
      const sequence = sequenceOf(action);
      if (sequence !== undefined) ledger.note(receiver, sequence, monotonicUs());
    });
    return router;
  });
  await waitFor(areRoutersFresh, { timeoutMs: OPEN_TIMEOUT_MS, message: "all routers to be fresh" });
}

function areRoutersFresh(): boolean {
  return routers.every(({ client }) => client.isFresh);
}

// Adds the results of the routers, and closes them. A router that lost its stream at the last moment may reconnect
// first.
async function closeRouters(): Promise<void> {
  await waitFor(areRoutersFresh, { timeoutMs: RETURN_TIMEOUT_MS, message: "every router to come back" });
  const breaches = routers.flatMap((router) => router.breaches);
  if (breaches.length > 0) throw new Error(`routers received changes out of order: ${breaches.slice(0, 3).join(", ")}`);
  for (const [receiver, { absences, client }] of routers.entries()) {
    client.close();
    for (const { fromMs, toMs, snapshots } of absences) {
      if (toMs !== undefined)
        ledger.receipts.absences.push({ receiver, awayMs: toMs - fromMs, overAtMs: toMs, snapshots });
    }
  }
  routers = [];
}

async function open(source: Source, sequences: number): Promise<void> {
  if (source.kind === "routers") {
    ledger = new Ledger(source.receivers, sequences, () => 0);
    return openRouters(source);
  }
  if (source.kind === "webSockets") {
    ledger = new Ledger(1, sequences, () => 0);
    webSockets = await openWebSockets(source, ledger, fail);
    return;
  }
  ledger = new Ledger(source.receivers, sequences, readItemOf(source));
  sockets = await openStreams(source, ledger, fail);
}

async function answer(request: ReceiverRequest): Promise<ReceiverAnswer> {
  switch (request.type) {
    case "readClock":
      return { type: "clock", atUs: monotonicUs() };
    case "open":
      await open(request.source, request.sequences);
      return { type: "done" };
    case "await":
      await ledger.waitFor(request.messages, request.timeoutMs);
      return { type: "done" };
    case "collect":
      await closeRouters();
      for (const socket of sockets.splice(0)) socket.destroy();
      for (const socket of webSockets.splice(0)) socket.terminate();
      return { type: "collected", receipts: ledger.receipts };
  }
}

function send(message: ReceiverAnswer): void {
  process.send?.(message);
}

function fail(error: unknown): void {
  send({ type: "failed", message: error instanceof Error ? error.message : String(error) });
}

process.on("message", (request: ReceiverRequest) => {
  answer(request).then(send, fail);
});
process.on("disconnect", () => process.exit());
