import type { Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ChangeSchema,
  EventChangesSchema,
  PermissionService,
  SnapshotSchema,
  WatchPermissionsRequestSchema,
  WatchPermissionsResponseSchema,
} from "../../gen/squelch/v1/permission_service_pb.js";
import type { Ledger } from "../support/ledger.js";
import * as etcd from "./etcdMessages.js";
import { connectNats } from "./leanNats.js";
import { openLeanStreams } from "./leanStreams.js";
import { openLeanSubscriber } from "./leanSubscriber.js";
import { type StreamSource, sequencedUpdate, sequenceOf } from "./receiverProtocol.js";
import { scanFields } from "./scanFields.js";

const { typeName, method } = PermissionService;
const WATCH_PATH = `/${typeName}/${method.watchPermissions.name}`;
const { changes: CHANGES, checkpoint: CHECKPOINT, snapshot: SNAPSHOT } = WatchPermissionsResponseSchema.field;
const CHECKPOINT_TAG = (CHECKPOINT.number << 3) | 2;

type Shared = Extract<StreamSource, { connections: number }>;
type OnEnd = (error: Error) => void;

/** Opens all receivers of a source. Resolves when everything published from now on reaches each of them. */
export function openStreams(source: StreamSource, ledger: Ledger, onEnd: OnEnd): Promise<Socket[]> {
  switch (source.kind) {
    case "redis":
      return openSubscribers(source, ledger, onEnd);
    case "squelch":
    case "bare":
      return openWatchers(source, ledger, onEnd);
    case "etcd":
      return openEtcdWatchers(source, ledger, onEnd);
    case "nats":
    case "natsKv":
      return openNatsSubscribers(source, ledger, onEnd);
  }
}

/** Reads the number of a source's message and checks that the message has the published content. */
export function readItemOf({ kind, eventId }: StreamSource): (item: Buffer) => number {
  const readText = (text: string) => {
    const sequence = sequenceOf((JSON.parse(text) as { action: string }).action) ?? -1;
    if (text !== sequencedUpdate(eventId, sequence)) throw new Error(`this was not published: ${text}`);
    return sequence;
  };
  if (kind === "etcd") return (event) => readText(etcd.readValue(event));
  if (kind !== "squelch" && kind !== "bare") return (text) => readText(text.toString());
  return (bytes) => {
    const { value, case: name } = fromBinary(ChangeSchema, bytes).kind;
    if (name !== "membershipChanged") throw new Error(`unexpected message ${name}`);
    const { userId, channelIds, action } = value;
    return readText(JSON.stringify({ eventId, userId, channelIds, action }));
  };
}

async function openSubscribers(source: StreamSource, ledger: Ledger, onEnd: OnEnd): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const { host, port, eventId: channel, receivers } = source;
  for (let receiver = 0; receiver < receivers; receiver++) {
    const onMessage = (bytes: Buffer, start: number, end: number, atUs: number) =>
      ledger.noteItem(receiver, bytes, start, end, atUs);
    sockets.push(await openLeanSubscriber({ host, port, channel, onMessage, onEnd }));
  }
  return sockets;
}

// Resolves when every watcher has received its first checkpoint or an equivalent message.
async function openWatchers(source: Shared, ledger: Ledger, onEnd: OnEnd): Promise<Socket[]> {
  const { eventId, cursor } = source;
  const cursors = cursor === undefined ? [] : [{ ...cursor, eventId, revision: BigInt(cursor.revision) }];
  const request = create(WatchPermissionsRequestSchema, { eventIds: [eventId], cursors });
  const method = { path: WATCH_PATH, request: toBinary(WatchPermissionsRequestSchema, request) };
  return openSharedStreams(source, method, onEnd, (receiver, message, atUs) => {
    if (message[0] === CHECKPOINT_TAG) return true;
    scanFields(message, 0, message.length, CHANGES.number, (from, to) =>
      scanFields(message, from, to, EventChangesSchema.field.changes.number, (start, end) =>
        ledger.noteItem(receiver, message, start, end, atUs),
      ),
    );
    scanFields(message, 0, message.length, SNAPSHOT.number, (from, to) =>
      scanFields(message, from, to, SnapshotSchema.field.users.number, () => {
        ledger.receipts.snapshotUsers++;
      }),
    );
    return false;
  });
}

// Resolves when etcd has confirmed every watch.
async function openEtcdWatchers(source: Shared, ledger: Ledger, onEnd: OnEnd): Promise<Socket[]> {
  const method = { path: etcd.WATCH_PATH, request: etcd.watchPrefix(source.eventId), isBidirectional: true };
  return openSharedStreams(source, method, onEnd, (receiver, message, atUs) => {
    let events = 0;
    scanFields(message, 0, message.length, etcd.EVENTS_FIELD, (start, end) => {
      events++;
      ledger.noteItem(receiver, message, start, end, atUs);
    });
    return events === 0;
  });
}

/**
 * Opens the streams of a gRPC method, distributed evenly over the connections.
 *
 * @param onMessage returns true if the message shows that the stream is caught up
 */
async function openSharedStreams(
  { host, port, receivers, connections }: Shared,
  method: { path: string; request: Uint8Array; isBidirectional?: boolean },
  onEnd: OnEnd,
  onMessage: (receiver: number, message: Buffer, atUs: number) => boolean,
): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const behind = new Set(Array.from({ length: receivers }, (_, receiver) => receiver));
  let resolveCaughtUp: () => void = () => undefined;
  const caughtUp = new Promise<void>((resolve) => {
    resolveCaughtUp = resolve;
  });
  for (const [first, streams] of shares(receivers, connections)) {
    const socket = await openLeanStreams({
      ...{ host, port, streams, onEnd, ...method },
      onMessage: (stream, message, atUs) => {
        const isCaughtUp = onMessage(first + stream, message, atUs);
        if (isCaughtUp && behind.delete(first + stream) && behind.size === 0) resolveCaughtUp();
      },
    });
    sockets.push(socket);
  }
  await caughtUp;
  return sockets;
}

async function openNatsSubscribers(source: Shared, ledger: Ledger, onEnd: OnEnd): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const { kind, eventId, receivers, connections } = source;
  const answers = receivers;
  for (const [first, subscriptions] of shares(receivers, connections)) {
    let confirmed = 0;
    let resolveConfirmed: () => void = () => undefined;
    const allConfirmed = new Promise<void>((resolve) => {
      resolveConfirmed = resolve;
    });
    const nats = await connectNats(
      source,
      ({ subscription, bytes, start, end, atUs }) => {
        if (subscription !== answers) ledger.noteItem(subscription, bytes, start, end, atUs);
        else if (bytes.includes('"error"', start)) onEnd(new Error(bytes.toString("utf8", start, end)));
        else if (++confirmed === subscriptions) resolveConfirmed();
      },
      onEnd,
    );
    sockets.push(nats.socket);
    const inbox = `_INBOX.${eventId}`;
    if (kind === "natsKv") nats.subscribe(`${inbox}.answers.${first}`, answers);
    for (let receiver = first; receiver < first + subscriptions; receiver++) {
      if (kind === "nats") {
        nats.subscribe(eventId, receiver);
        continue;
      }
      // A KV watch in the form of NATS's own clients: an ordered consumer of the bucket's stream.
      const deliverSubject = `${inbox}.${receiver}`;
      nats.subscribe(deliverSubject, receiver);
      const stream = `KV_${eventId}`;
      const config = {
        ...{ deliver_subject: deliverSubject, deliver_policy: "last_per_subject", filter_subject: `$KV.${eventId}.>` },
        ...{ ack_policy: "none", max_deliver: 1, flow_control: true, idle_heartbeat: 5e9, mem_storage: true },
      };
      const request = JSON.stringify({ stream_name: stream, config });
      nats.publish(`$JS.API.CONSUMER.CREATE.${stream}`, request, `${inbox}.answers.${first}`);
    }
    await nats.flush();
    if (kind === "natsKv") await allConfirmed;
  }
  return sockets;
}

// For each connection, its first receiver and the number of its receivers.
function shares(receivers: number, connections: number): [first: number, count: number][] {
  return Array.from({ length: connections }, (_, connection) => {
    const first = Math.ceil((connection * receivers) / connections);
    return [first, Math.ceil(((connection + 1) * receivers) / connections) - first];
  });
}
