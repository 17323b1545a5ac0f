import { create, type DescMethod, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceError,
  type status,
} from "@grpc/grpc-js";
import {
  ChannelService,
  type WatchChannelsRequest,
  WatchChannelsResponseSchema,
} from "../../../gen/squelch/v1/channel_service_pb.js";
import { FleetService } from "../../../gen/squelch/v1/fleet_service_pb.js";
import type { ActiveSpeakerSchema, SpeakerPauseSchema, UserBanSchema } from "../../../gen/squelch/v1/model_pb.js";
import { FloorDenyCause } from "../../../gen/squelch/v1/model_pb.js";
import {
  type ChangeSchema,
  PermissionService,
  SnapshotReason,
  type WatchPermissionsRequest,
  WatchPermissionsResponseSchema,
} from "../../../gen/squelch/v1/permission_service_pb.js";
import { ERROR_REASONS, type ErrorReason } from "../../../src/domain/errorReasons.js";
import { SquelchError } from "../../../src/domain/errors.js";
import { grpcServiceDefinition } from "../../../src/lib/grpcService.js";
import { services } from "../../../src/server/contract.js";
import { toStatus } from "../../../src/server/rpc/status.js";

type WatchMessage = MessageInitShape<typeof WatchPermissionsResponseSchema>;
type ChangeInit = MessageInitShape<typeof ChangeSchema>;
type ChangeKind = NonNullable<ChangeInit["kind"]>;
type BanInit = MessageInitShape<typeof UserBanSchema>;
type SpeakerInit = MessageInitShape<typeof ActiveSpeakerSchema>;
type PauseInit = MessageInitShape<typeof SpeakerPauseSchema>;

/** One event of the fake store. */
export interface FakeEvent {
  epoch: string;
  revision: number;
  users: Map<string, { channelIds: string[]; disconnectedAtMs?: number }>;
  log: ChangeInit[];
  pause: PauseInit | undefined;
}

interface FakeLease {
  leaseId: bigint;
  userId: string;
  userName: string;
  sessionId: string;
  startedAtMs: number;
  /** True for the lease of a broadcaster of a pause, which is valid on every device. */
  isBroadcast?: boolean;
}

/** A WatchChannels stream that a client has opened. */
interface FakeChannelWatch {
  eventIds: readonly string[];
  call: ServerWritableStream<unknown, unknown>;
}

/** A WatchPermissions stream that a client has opened. */
export class FakeWatch {
  isOpen = true;

  constructor(
    readonly request: WatchPermissionsRequest,
    readonly call: ServerWritableStream<unknown, unknown>,
  ) {
    call.on("cancelled", () => {
      this.isOpen = false;
    });
  }

  send(payload: WatchMessage["payload"]): void {
    if (payload === undefined || !this.isOpen) return;
    this.call.write(
      Buffer.from(toBinary(WatchPermissionsResponseSchema, create(WatchPermissionsResponseSchema, { payload }))),
    );
  }

  checkpoint(cursors: { eventId: string; epoch: string; revision: number }[], feedHealthy = true): void {
    const value = { cursors: cursors.map((cursor) => ({ ...cursor, revision: BigInt(cursor.revision) })), feedHealthy };
    this.send({ case: "checkpoint", value });
  }

  /** Ends the stream with a status. */
  fail(code: status, trailers: Record<string, string> = {}): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.call.emit("error", { code, details: "ended by the test", metadata: Metadata.fromHttp2Headers(trailers) });
  }
}

/**
 * Serves the services of a replica on a small store in memory. Tests can make them fail, give wrong answers or stop answering.
 * All leases use `leaseMs` and `talkMs` (which is not enforced). A channel belongs to an event once it is named.
 * Changes of speakers are sent to their watchers, except those that a test writes into `channels` itself.
 */
export class FakePermissionServer {
  readonly events = new Map<string, FakeEvent>();
  readonly channels = new Map<string, { eventId: string; lease?: FakeLease | undefined }>();
  /** Channels by user, in all events. */
  readonly bans = new Map<string, BanInit>();
  readonly watches: FakeWatch[] = [];
  /** The WatchChannels streams that are open. */
  readonly channelWatches = new Set<FakeChannelWatch>();
  /** Each unary call as `[method, request]`. */
  readonly calls: [string, Record<string, unknown>][] = [];
  /** Methods that fail with a status, by local name. */
  readonly failing = new Map<string, status>();
  /** The answer of a method is delayed until this has resolved, by local name. */
  readonly gates = new Map<string, Promise<unknown>>();
  /** Defines what a new stream receives. */
  serve: (watch: FakeWatch) => void = (watch) => this.serveStore(watch);
  checkpointEveryMs = 50;
  feedHealthy = true;
  leaseMs = 30_000;
  talkMs = 30_000;
  port = 0;
  #server: Server | undefined;
  #nextLease = 1n;
  #nextPause = 1;
  #timer: NodeJS.Timeout | undefined;
  readonly #isServed = new WeakSet<FakeWatch>();
  /** By lease. */
  readonly #expiries = new Map<bigint, NodeJS.Timeout>();

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Listens, on the previous port if there was one. */
  async start(): Promise<this> {
    const server = new Server();
    server.addService(grpcServiceDefinition(PermissionService), {
      watchPermissions: (call: ServerWritableStream<WatchPermissionsRequest, unknown>) => {
        const watch = new FakeWatch(call.request, call);
        this.watches.push(watch);
        this.serve(watch);
      },
      ...this.#unary("getUserPermissions", ({ eventId, userId }) => {
        const event = this.event(eventId);
        const user = event.users.get(userId);
        const cursor = { eventId, epoch: event.epoch, revision: BigInt(event.revision) };
        const ban = this.bans.get(userId);
        return { channelIds: user?.channelIds ?? [], cursor, known: user !== undefined, pause: event.pause, ban };
      }),
      ...this.#unary("disconnectUser", ({ eventId, userId, reason }) => {
        this.append(eventId, { case: "userDisconnected", value: { userId, reason } });
        return { revision: BigInt(this.event(eventId).revision) };
      }),
      ...this.#unary("setUserChannels", ({ eventId, userId, channelIds, onlyIfUnknown, action }) => {
        if (onlyIfUnknown && this.event(eventId).users.has(userId)) return { superseded: true };
        this.setUserChannels(eventId, userId, channelIds, action);
        return { revision: BigInt(this.event(eventId).revision), added: channelIds };
      }),
      ...this.#unary("getEventActiveSpeakers", ({ eventId }) => ({ pause: this.event(eventId).pause })),
      ...this.#unary("pauseAllSpeakers", ({ eventId, reason, broadcaster, duration, replacePauseId }) => {
        const standing = this.event(eventId).pause;
        const isOwn = replacePauseId
          ? replacePauseId === standing?.pauseId
          : broadcaster?.userId === standing?.broadcaster?.userId;
        if (standing && !isOwn) throw failure("PAUSE_STANDS", "another pause stands");
        return {
          pause: this.pause(eventId, { reason, broadcaster }, duration ? Number(duration.seconds) * 1000 : 60_000),
        };
      }),
      ...this.#unary("resumeSpeakers", ({ eventId, pauseId }) => {
        if (this.event(eventId).pause?.pauseId !== pauseId) throw failure("PAUSE_NOT_STANDING", "no such pause");
        this.resume(eventId);
        return {};
      }),
    });
    server.addService(
      grpcServiceDefinition(FleetService),
      this.#unary("reportApplied", () => ({})),
    );
    server.addService(grpcServiceDefinition(ChannelService), {
      watchChannels: (call: ServerWritableStream<WatchChannelsRequest, unknown>) => this.#watchChannels(call),
      ...this.#unary("setChannelEvent", ({ channelId, eventId, onlyIfUnassigned }) => {
        const owner = this.channels.get(channelId)?.eventId;
        if (onlyIfUnassigned && owner !== undefined && owner !== eventId) {
          throw failure("CHANNEL_OF_ANOTHER_EVENT", `the channel belongs to event "${owner}"`);
        }
        this.#addChannel(channelId, eventId);
        return { previousEventId: owner ?? "" };
      }),
      ...this.#unary("getChannelState", ({ channelId }) => ({
        eventId: this.#channel(channelId).eventId,
        holder: this.holder(channelId),
      })),
      ...this.#unary("startPtt", ({ channelId, userId, userName, sessionId }) => {
        const channel = this.#channel(channelId);
        const event = this.event(channel.eventId);
        const deny = (cause: FloorDenyCause) => ({
          outcome: { case: "denied", value: { cause, holder: this.holder(channelId), pause: event.pause } },
        });
        const ban = this.bans.get(userId);
        if (ban) return { outcome: { case: "denied", value: { cause: FloorDenyCause.RECEIVE_ONLY, ban } } };
        if (event.pause && event.pause.broadcaster?.userId !== userId) return deny(FloorDenyCause.RETRY_AFTER);
        if (!event.users.get(userId)?.channelIds.includes(channelId)) return deny(FloorDenyCause.RECEIVE_ONLY);
        const { lease } = channel;
        const isOwnSession = lease?.isBroadcast || lease?.sessionId === sessionId;
        if (lease && (lease.userId !== userId || !isOwnSession)) return deny(FloorDenyCause.ANOTHER_HAS_PERMISSION);
        const granted = lease ?? { leaseId: this.#nextLease++, userId, userName, sessionId, startedAtMs: Date.now() };
        if (lease === undefined) this.setLease(channelId, granted);
        this.#expireLater(channelId, granted.leaseId);
        const { leaseId, startedAtMs } = granted;
        const [startedAt, expiresAt] = [timestampFromMs(startedAtMs), timestampFromMs(startedAtMs + this.leaseMs)];
        const talkUntil = timestampFromMs(startedAtMs + this.talkMs);
        return { outcome: { case: "granted", value: { leaseId, startedAt, expiresAt, talkUntil } } };
      }),
      ...this.#unary("renewPtt", ({ channelId, leaseId }) => {
        const { lease } = this.#channel(channelId);
        if (lease?.leaseId !== leaseId) throw failure("STALE_LEASE", "the floor is not held under it");
        this.#expireLater(channelId, leaseId);
        return { expiresAt: timestampFromMs(Date.now() + this.leaseMs) };
      }),
      ...this.#unary("stopPtt", ({ channelId, leaseId, userId, sessionId }) => {
        const channel = this.#channel(channelId);
        const { lease } = channel;
        const isOwn = leaseId ? lease?.leaseId === leaseId : lease?.userId === userId && lease?.sessionId === sessionId;
        if (!isOwn) {
          throw failure(
            leaseId ? "STALE_LEASE" : "NOT_HOLDER",
            "the floor is not held under this lease, or by this session",
          );
        }
        this.setLease(channelId, undefined);
        return {};
      }),
    });
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    this.#server = server;
    this.#timer = setInterval(() => {
      for (const watch of this.watches) {
        if (this.#isServed.has(watch)) this.checkpoint(watch);
      }
    }, this.checkpointEveryMs);
    return this;
  }

  /** Cuts all connections. `start` listens again. Idempotent. */
  stop(): void {
    clearInterval(this.#timer);
    for (const watch of this.watches) watch.isOpen = false;
    for (const expiry of this.#expiries.values()) clearTimeout(expiry);
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  event(eventId: string): FakeEvent {
    let event = this.events.get(eventId);
    if (event === undefined) {
      event = { epoch: "epoch-1", revision: 0, users: new Map(), log: [], pause: undefined };
      this.events.set(eventId, event);
      for (const watch of this.openWatches) {
        if (!this.#isServed.has(watch) || watch.request.eventIds.length > 0) continue;
        this.sendSnapshot(watch, eventId, SnapshotReason.INITIAL);
      }
    }
    return event;
  }

  cursor(eventId: string) {
    const { epoch, revision } = this.event(eventId);
    return { eventId, epoch, revision };
  }

  /** The open streams. */
  get openWatches(): FakeWatch[] {
    return this.watches.filter((watch) => watch.isOpen);
  }

  callsOf(method: string): Record<string, unknown>[] {
    return this.calls.filter(([name]) => name === method).map(([, request]) => request);
  }

  /** Acts like a replica: sends a resume or a snapshot for each event, a checkpoint, then changes and checkpoints. */
  serveStore(watch: FakeWatch): void {
    for (const eventId of this.#watched(watch)) {
      const { epoch, revision, log } = this.event(eventId);
      const cursor = watch.request.cursors.find((known) => known.eventId === eventId);
      const isKnown = cursor?.epoch === epoch && Number(cursor.revision) <= revision;
      if (!isKnown) this.sendSnapshot(watch, eventId, cursor ? SnapshotReason.STORE_RESET : SnapshotReason.INITIAL);
      else if (Number(cursor.revision) < revision) {
        const changes = log.filter((change) => Number(change.revision) > Number(cursor.revision));
        watch.send({ case: "changes", value: { eventId, epoch, changes } });
      }
    }
    this.checkpoint(watch);
    this.#isServed.add(watch);
  }

  sendSnapshot(watch: FakeWatch, eventId: string, reason: SnapshotReason): void {
    const { epoch, revision, users, pause } = this.event(eventId);
    const all = [...users].map(([userId, { channelIds, disconnectedAtMs }]) => ({
      userId,
      channelIds,
      ...(disconnectedAtMs && { disconnectedAt: timestampFromMs(disconnectedAtMs) }),
    }));
    const cursor = { eventId, epoch, revision: BigInt(revision) };
    const value = { eventId, cursor, users: all, reason, complete: true, ...(pause && { pause }) };
    watch.send({ case: "snapshot", value });
  }

  checkpoint(watch: FakeWatch): void {
    const cursors = this.#watched(watch).map((eventId) => this.cursor(eventId));
    watch.checkpoint(cursors, this.feedHealthy);
  }

  setUserChannels(eventId: string, userId: string, channelIds: string[], action = "set_user_channels"): void {
    const event = this.event(eventId);
    const before = event.users.get(userId)?.channelIds ?? [];
    event.users.set(userId, { ...event.users.get(userId), channelIds });
    for (const channelId of channelIds) {
      if (!this.channels.has(channelId)) this.#addChannel(channelId, eventId);
    }
    const added = channelIds.filter((id) => !before.includes(id));
    const removed = before.filter((id) => !channelIds.includes(id));
    this.append(eventId, { case: "membershipChanged", value: { userId, channelIds, added, removed, action } });
  }

  /** Gives the floor of a channel to a user, or frees it, and notifies the watchers. */
  setLease(channelId: string, lease: FakeLease | undefined): void {
    const channel = this.#channel(channelId);
    channel.lease = lease;
    const { eventId } = channel;
    for (const { eventIds, call } of this.channelWatches) {
      const holder = this.holder(channelId);
      if (eventIds.includes(eventId))
        call.write(
          encodeSpeakers({ eventId, payload: { case: "changed", value: { channelId, ...(holder && { holder }) } } }),
        );
    }
  }

  /** Ends the WatchChannels streams. */
  failChannelWatches(code: status): void {
    for (const { call } of this.channelWatches) call.emit("error", { code, details: "ended by the test" });
    this.channelWatches.clear();
  }

  /**
   * Cuts every lease of the event, and gives them to the broadcaster. Without `durationMs` there is no pause
   * afterwards.
   */
  pause(eventId: string, init: PauseInit, durationMs = 0): PauseInit {
    const now = Date.now();
    const [startedAt, expiresAt] = [timestampFromMs(now), timestampFromMs(now + durationMs)];
    const pause = { actor: "tester", ...init, pauseId: `pause-${this.#nextPause++}`, startedAt, expiresAt };
    const cut: SpeakerInit[] = [];
    for (const [channelId, channel] of this.channels) {
      const holder = channel.eventId === eventId ? this.holder(channelId) : undefined;
      if (holder && holder.userId !== pause.broadcaster?.userId) cut.push(holder);
    }
    const replaced = this.event(eventId).pause?.pauseId ?? "";
    if (durationMs > 0) this.event(eventId).pause = pause;
    this.append(eventId, { case: "speakersPaused", value: { pause, cut, replacedPauseId: replaced } });
    for (const [channelId, channel] of this.channels) {
      const isHeld = channel.lease !== undefined || (durationMs > 0 && pause.broadcaster);
      if (channel.eventId === eventId && isHeld) this.setLease(channelId, this.#broadcastLease(eventId));
    }
    return pause;
  }

  resume(eventId: string, expired = false): void {
    const pauseId = this.event(eventId).pause?.pauseId ?? "";
    this.event(eventId).pause = undefined;
    this.append(eventId, { case: "speakersResumed", value: { pauseId, expired } });
    for (const [channelId, { eventId: owner, lease }] of this.channels) {
      if (owner === eventId && lease?.isBroadcast) this.setLease(channelId, undefined);
    }
  }

  /** Adds a change to the log, and sends it to the watchers. */
  append(eventId: string, kind: ChangeKind): void {
    const event = this.event(eventId);
    event.revision += 1;
    const change = { revision: BigInt(event.revision), time: timestampFromMs(Date.now()), actor: "tester", kind };
    event.log.push(change);
    for (const watch of this.openWatches) {
      if (!this.#isServed.has(watch) || !this.#watched(watch).includes(eventId)) continue;
      watch.send({ case: "changes", value: { eventId, epoch: event.epoch, changes: [change] } });
    }
  }

  /** Empties the store: a new epoch, without users unless given. */
  reset(eventId: string, epoch: string, users: Record<string, string[]> = {}): void {
    const entries = Object.entries(users).map(([userId, channelIds]) => [userId, { channelIds }] as const);
    this.events.set(eventId, { epoch, revision: 0, users: new Map(entries), log: [], pause: undefined });
  }

  holder(channelId: string): SpeakerInit | undefined {
    const lease = this.channels.get(channelId)?.lease;
    if (lease === undefined) return undefined;
    const { userId, userName, startedAtMs } = lease;
    const [startedAt, expiresAt] = [timestampFromMs(startedAtMs), timestampFromMs(startedAtMs + this.leaseMs)];
    return { channelId, userId, userName, startedAt, expiresAt };
  }

  #addChannel(channelId: string, eventId: string): void {
    this.channels.set(channelId, { eventId, lease: this.#broadcastLease(eventId) });
  }

  #broadcastLease(eventId: string): FakeLease | undefined {
    const pause = this.event(eventId).pause;
    if (pause?.broadcaster === undefined) return undefined;
    const { userId = "", userName = "" } = pause.broadcaster;
    const startedAtMs = timestampMs(create(TimestampSchema, pause.startedAt));
    const session = { sessionId: "", startedAtMs, isBroadcast: true };
    return { leaseId: this.#nextLease++, userId, userName: userName || userId, ...session };
  }

  #expireLater(channelId: string, leaseId: bigint): void {
    clearTimeout(this.#expiries.get(leaseId));
    const expire = () => {
      const lease = this.channels.get(channelId)?.lease;
      if (lease?.leaseId === leaseId && !lease.isBroadcast) this.setLease(channelId, undefined);
    };
    this.#expiries.set(leaseId, setTimeout(expire, this.leaseMs).unref());
  }

  #watchChannels(call: ServerWritableStream<WatchChannelsRequest, unknown>): void {
    const { eventIds } = call.request;
    const code = this.failing.get("watchChannels");
    if (code !== undefined) {
      call.emit("error", { code, details: "made to fail" });
      return;
    }
    const watch = { eventIds, call };
    this.channelWatches.add(watch);
    for (const ending of ["cancelled", "close"]) call.on(ending, () => this.channelWatches.delete(watch));
    for (const eventId of eventIds) {
      const own = [...this.channels].filter(([, channel]) => channel.eventId === eventId);
      const speakers = own.flatMap(([channelId]) => this.holder(channelId) ?? []);
      call.write(encodeSpeakers({ eventId, payload: { case: "snapshot", value: { speakers } } }));
    }
  }

  #watched(watch: FakeWatch): string[] {
    return watch.request.eventIds.length > 0 ? watch.request.eventIds : [...this.events.keys()];
  }

  #channel(channelId: string) {
    const channel = this.channels.get(channelId);
    if (channel === undefined) throw failure("UNKNOWN_CHANNEL", "the channel belongs to no event");
    return channel;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the methods differ; a wrong field shows in the test at once
  #unary(method: string, answer: (request: any) => unknown): Record<string, handleUnaryCall<any, unknown>> {
    const descriptor = services.flatMap((service): DescMethod[] => service.methods).find((m) => m.localName === method);
    if (descriptor === undefined) throw new Error(`there is no method ${method}`);
    const { output } = descriptor;
    return {
      [method]: (call, callback) => {
        this.calls.push([method, call.request]);
        const code = this.failing.get(method);
        let respond: () => void;
        try {
          if (code !== undefined) throw Object.assign(new Error("made to fail"), { code, details: "made to fail" });
          const response = create(output, answer(call.request) as Record<string, unknown>);
          respond = () => callback(null, response);
        } catch (error) {
          respond = () => callback(error as ServiceError);
        }
        void (this.gates.get(method) ?? Promise.resolve()).then(respond);
      },
    };
  }
}

function encodeSpeakers(message: MessageInitShape<typeof WatchChannelsResponseSchema>): Buffer {
  return Buffer.from(toBinary(WatchChannelsResponseSchema, create(WatchChannelsResponseSchema, message)));
}

function failure(reason: ErrorReason, details: string): Partial<ServiceError> & Error {
  const error = new SquelchError(ERROR_REASONS[reason].code, details, { reason });
  return Object.assign(new Error(details), toStatus(error));
}
