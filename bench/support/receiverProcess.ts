// The receivers of a scenario, in a process of their own: neither the servers nor the publisher wait for them.
import type { Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  PermissionService,
  WatchPermissionsRequestSchema,
  WatchPermissionsResponseSchema,
} from "../../gen/squelch/v1/permission_service_pb.js";
import { type ObservedRouter, observeRouter } from "../../test/support/observedRouter.js";
import { waitFor } from "../../test/support/waitFor.js";
import { monotonicUs } from "./clock.js";
import { openLeanStreams } from "./leanStreams.js";
import { openLeanSubscriber } from "./leanSubscriber.js";
import {
  type Receipts,
  type ReceiverAnswer,
  type ReceiverRequest,
  type Source,
  sequenceOf,
} from "./receiverProtocol.js";

/** What a message says. */
interface Content {
  sequences: number[];
  isCheckpoint: boolean;
}

const { typeName, method } = PermissionService;
const OPEN_TIMEOUT_MS = 60_000;
const WATCH_PATH = `/${typeName}/${method.watchPermissions.name}`;

let sockets: Socket[] = [];
let routers: ObservedRouter[] = [];
let receipts: Receipts = { receivedAtUs: new Float64Array(), repeated: 0, absences: [] };
let receivers = 0;
let arrived = 0;
let awaited: { messages: number; resolve: () => void } | undefined;

function note(receiver: number, sequence: number, atUs: number): void {
  const index = sequence * receivers + receiver;
  if (receipts.receivedAtUs[index] !== 0) {
    receipts.repeated++;
    return;
  }
  receipts.receivedAtUs[index] = atUs;
  arrived++;
  if (awaited !== undefined && arrived >= awaited.messages) awaited.resolve();
}

// All receivers are sent the same bytes one after another: only the first of them is decoded.
function createDecoder(decode: (message: Buffer) => Content): (message: Buffer) => Content {
  let last: { message: Buffer; content: Content } | undefined;
  return (message) => {
    if (last === undefined || !last.message.equals(message)) {
      last = { message: Buffer.from(message), content: decode(message) };
    }
    return last.content;
  };
}

const decodeUpdate = createDecoder((message) => {
  const sequence = sequenceOf((JSON.parse(message.toString()) as { action: string }).action);
  return { sequences: sequence === undefined ? [] : [sequence], isCheckpoint: false };
});

const decodeResponse = createDecoder((message) => {
  const { payload } = fromBinary(WatchPermissionsResponseSchema, message);
  const changes = payload.case === "changes" ? payload.value.changes : [];
  const sequences = changes.flatMap(({ kind }) => {
    const sequence = kind.case === "membershipChanged" ? sequenceOf(kind.value.action) : undefined;
    return sequence === undefined ? [] : [sequence];
  });
  return { sequences, isCheckpoint: payload.case === "checkpoint" };
});

async function openSubscribers({ host, port, channel }: Source & { kind: "redis" }): Promise<void> {
  for (let receiver = 0; receiver < receivers; receiver++) {
    const socket = await openLeanSubscriber({
      host,
      port,
      channel,
      onMessage: (message, atUs) => {
        for (const sequence of decodeUpdate(message).sequences) note(receiver, sequence, atUs);
      },
      onEnd: fail,
    });
    sockets.push(socket);
  }
}

// Resolves when every watcher has had its first checkpoint.
async function openWatchers({ host, port, eventId, connections }: Source & { kind: "squelch" }): Promise<void> {
  const request = toBinary(
    WatchPermissionsRequestSchema,
    create(WatchPermissionsRequestSchema, { eventIds: [eventId] }),
  );
  const behind = new Set(Array.from({ length: receivers }, (_, receiver) => receiver));
  let resolveCaughtUp: () => void = () => undefined;
  const caughtUp = new Promise<void>((resolve) => {
    resolveCaughtUp = resolve;
  });
  for (let connection = 0; connection < connections; connection++) {
    const first = Math.ceil((connection * receivers) / connections);
    const next = Math.ceil(((connection + 1) * receivers) / connections);
    const socket = await openLeanStreams({
      host,
      port,
      path: WATCH_PATH,
      request,
      streams: next - first,
      onMessage: (stream, message, atUs) => {
        const { sequences, isCheckpoint } = decodeResponse(message);
        for (const sequence of sequences) note(first + stream, sequence, atUs);
        if (isCheckpoint && behind.delete(first + stream) && behind.size === 0) resolveCaughtUp();
      },
      onEnd: fail,
    });
    sockets.push(socket);
  }
  await caughtUp;
}

// Resolves when every router is fresh.
async function openRouters({ addresses, prefix, eventIds }: Source & { kind: "routers" }): Promise<void> {
  routers = Array.from({ length: receivers }, (_, receiver) => {
    const router = observeRouter(`${prefix}${receiver}`, addresses, eventIds);
    router.client.on("change", ({ action }) => {
      const sequence = sequenceOf(action);
      if (sequence !== undefined) note(receiver, sequence, monotonicUs());
    });
    return router;
  });
  await waitFor(areRoutersFresh, { timeoutMs: OPEN_TIMEOUT_MS, message: "all routers to be fresh" });
}

function areRoutersFresh(): boolean {
  return routers.every(({ client }) => client.isFresh);
}

// Adds how the routers fared, and ends them.
function closeRouters(): void {
  const breaches = routers.flatMap((router) => router.breaches);
  if (breaches.length > 0) throw new Error(`routers were told out of order: ${breaches.slice(0, 3).join(", ")}`);
  for (const [receiver, { absences, client }] of routers.entries()) {
    client.close();
    for (const { fromMs, toMs, snapshots } of absences) {
      if (toMs === undefined) throw new Error("a router never came back");
      receipts.absences.push({ receiver, awayMs: toMs - fromMs, overAtMs: toMs, snapshots });
    }
  }
  routers = [];
}

async function open(source: Source, sequences: number): Promise<void> {
  receivers = source.receivers;
  receipts = { receivedAtUs: new Float64Array(sequences * receivers), repeated: 0, absences: [] };
  arrived = 0;
  switch (source.kind) {
    case "redis":
      return openSubscribers(source);
    case "squelch":
      return openWatchers(source);
    case "routers":
      return openRouters(source);
  }
}

async function waitForMessages(messages: number, timeoutMs: number): Promise<void> {
  if (arrived >= messages) return;
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    awaited = { messages, resolve };
    timer = setTimeout(resolve, timeoutMs);
  });
  clearTimeout(timer);
  awaited = undefined;
}

async function answer(request: ReceiverRequest): Promise<ReceiverAnswer> {
  switch (request.type) {
    case "readClock":
      return { type: "clock", atUs: monotonicUs() };
    case "open":
      await open(request.source, request.sequences);
      return { type: "done" };
    case "await":
      await waitForMessages(request.messages, request.timeoutMs);
      return { type: "done" };
    case "collect":
      closeRouters();
      for (const socket of sockets) socket.destroy();
      sockets = [];
      return { type: "collected", receipts };
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
