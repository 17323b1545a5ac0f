import { SquelchError } from "../../domain/errors.js";
import type { FloorRevokeCause, SpeakerPause } from "../../domain/floor.js";
import { checkOptions, LOGGER, type OptionRules, oneOf } from "../../domain/options.js";
import { createLogger, type Logger } from "../../lib/logger.js";
import type { PermissionClient } from "../client/permissionClient.js";
import type {
  DisconnectNotice,
  FloorRevocation,
  PauseNotice,
  PermissionChange,
  ResumeNotice,
} from "../client/permissionEvents.js";
import {
  cutCloseReason,
  emergencyFrame,
  FORCE_DISCONNECT_CODE,
  forceDisconnectFrame,
  permissionUpdateFrame,
  pttInterruptedFrame,
} from "./frames.js";

/** A client's connection, as the relay needs it. None of the methods may wait. */
export interface RelaySocket {
  /** Sends a text frame. */
  send(frame: string): void;
  /** Closes the connection with a code and a reason of at most 123 bytes. */
  close(code: number, reason: string): void;
  /** The channels that the socket has joined. */
  joinedChannels(): Iterable<string>;
  /**
   * True while the socket speaks on the channel.
   *
   * @param startedAtMs where given, only if it is the floor taken at that time by the store's clock
   */
  isTransmitting(channelId: string, startedAtMs?: number): boolean;
  /** The floor is lost: forward the socket's audio on this channel no more. The store need not be told. */
  stopTransmission(channelId: string): void;
  /** The channel was revoked: the socket must neither hear nor speak on it. A channel not joined is no error. */
  leaveChannel(channelId: string): void;
}

/** Whose socket it is. */
export interface SocketOwner {
  eventId: string;
  userId: string;
  /** In ms since 1970. Default: now. */
  connectedAtMs?: number;
}

/** When a revoked user who speaks is put off the channel: at once, or when the current transmission has ended. */
export type CutPolicy = "atOnce" | "afterTransmission";

/** How a {@link PermissionRelay} is set up. */
export interface PermissionRelayOptions {
  /** Default `afterTransmission`. */
  cut?: CutPolicy;
  /** Default: warnings and errors, to stdout. */
  logger?: Logger;
}

const OPTION_RULES: OptionRules<PermissionRelayOptions> = {
  cut: oneOf("atOnce", "afterTransmission"),
  logger: LOGGER,
};

interface Registration extends Required<SocketOwner> {
  /** Revoked channels that the socket leaves when it has finished speaking, and what to call then. */
  pendingRemovals: Map<string, () => void>;
}

const revokeMessages: Record<FloorRevokeCause, string> = {
  talkedTooLong: "You have talked for too long",
  noPermission: "You may no longer speak on this channel",
  preEmpted: "Somebody with priority has taken the floor",
  other: "The floor was taken away",
};

/**
 * Brings what a {@link PermissionClient} learns to the sockets concerned: finds them by event and user in one step,
 * sends the frames, each encoded once, puts revoked users off their channels, tells those whose floor was taken, and
 * closes the sockets of users who were disconnected.
 *
 * @example
 * const relay = new PermissionRelay(client);
 * relay.register(socket, { eventId, userId });
 * ws.on("close", () => relay.unregister(socket));
 */
export class PermissionRelay {
  readonly #client: PermissionClient;
  readonly #cut: CutPolicy;
  readonly #logger: Logger;
  readonly #registrations = new Map<RelaySocket, Registration>();
  readonly #events = new Map<string, Map<string, Set<RelaySocket>>>();

  /** @throws SquelchError `invalidArgument` if `client` or an option is missing, unknown or not valid */
  constructor(client: PermissionClient, options: PermissionRelayOptions = {}) {
    if (typeof client?.trackUser !== "function") {
      throw new SquelchError("invalidArgument", "client: PermissionRelay needs a PermissionClient");
    }
    checkOptions("PermissionRelay", options, OPTION_RULES);
    this.#client = client;
    this.#cut = options.cut ?? "afterTransmission";
    this.#logger = options.logger ?? createLogger("squelch-router", "warn");
    client.on("change", (change) => this.#change(change));
    client.on("paused", (notice) => this.#pause(notice));
    client.on("resumed", (notice) => this.#resume(notice));
    client.on("floorRevoked", (revocation) => this.#revokeFloor(revocation));
    client.on("disconnect", (notice) => this.#disconnect(notice));
  }

  /**
   * The socket gets its user's frames from now on; the first at once if its event is paused. Send it the channel list
   * before. A socket that is registered already is registered anew.
   */
  register(socket: RelaySocket, owner: SocketOwner): void {
    this.unregister(socket);
    const { eventId, userId, connectedAtMs = Date.now() } = owner;
    this.#registrations.set(socket, { eventId, userId, connectedAtMs, pendingRemovals: new Map() });
    const users = this.#events.get(eventId) ?? new Map<string, Set<RelaySocket>>();
    this.#events.set(eventId, users);
    const sockets = users.get(userId) ?? new Set();
    users.set(userId, sockets.add(socket));
    this.#client.trackUser(eventId, userId);
    const pause = this.#client.pauseOf(eventId);
    if (pause) this.#try(socket, () => sendEmergency(socket, "start", pause));
  }

  /** The socket is gone. Other sockets of the user are not touched. Idempotent. */
  unregister(socket: RelaySocket): void {
    const registration = this.#registrations.get(socket);
    if (registration === undefined) return;
    const { eventId, userId, pendingRemovals } = registration;
    this.#registrations.delete(socket);
    for (const done of pendingRemovals.values()) done();
    const users = this.#events.get(eventId);
    const sockets = users?.get(userId);
    sockets?.delete(socket);
    if (sockets?.size !== 0) return;
    users?.delete(userId);
    if (users?.size === 0) this.#events.delete(eventId);
    this.#client.untrackUser(eventId, userId);
  }

  /** To be called when a socket has finished speaking: it now leaves the channel if that was revoked meanwhile. */
  transmissionEnded(socket: RelaySocket, channelId: string): void {
    const pendingRemovals = this.#registrations.get(socket)?.pendingRemovals;
    const done = pendingRemovals?.get(channelId);
    if (done === undefined) return;
    pendingRemovals?.delete(channelId);
    this.#try(socket, () => socket.leaveChannel(channelId));
    done();
  }

  #change(change: PermissionChange): void {
    const sockets = this.#socketsOf(change);
    if (sockets.length === 0) return;
    const frame = permissionUpdateFrame(change);
    for (const socket of sockets) {
      this.#try(socket, () => socket.send(frame));
      this.#enforce(socket, change);
    }
  }

  #enforce(socket: RelaySocket, { eventId, channelIds, removed }: PermissionChange): void {
    const pendingRemovals = this.#registrations.get(socket)?.pendingRemovals;
    for (const channelId of channelIds) {
      pendingRemovals?.get(channelId)?.();
      pendingRemovals?.delete(channelId);
    }
    for (const channelId of removed) {
      this.#try(socket, () => {
        const mustWait = this.#cut === "afterTransmission" && socket.isTransmitting(channelId);
        if (!mustWait) socket.leaveChannel(channelId);
        else if (!pendingRemovals?.has(channelId)) {
          // Until then the revocation is not in force.
          pendingRemovals?.set(channelId, this.#client.deferApplied(eventId));
        }
      });
    }
  }

  #pause({ eventId, pause, cut }: PauseNotice): void {
    const by = pause.broadcaster?.userName || pause.broadcaster?.userId || pause.actor;
    const message = pause.reason || "All speakers of the event were cut";
    for (const { channelId, userId, startedAtMs } of cut) {
      for (const socket of this.#socketsOf({ eventId, userId })) {
        this.#try(socket, () => this.#interrupt(socket, channelId, by, message, startedAtMs));
      }
    }
    // A cut without a latch, or a pause that is over by now, is not announced.
    if (this.#client.pauseOf(eventId)?.pauseId !== pause.pauseId) return;
    this.#announce(eventId, "start", pause);
  }

  #resume({ eventId, pause }: ResumeNotice): void {
    this.#announce(eventId, "stop", pause);
  }

  #announce(eventId: string, edge: "start" | "stop", pause: SpeakerPause | undefined): void {
    const frames = new Map<string | null, string>();
    for (const sockets of this.#events.get(eventId)?.values() ?? []) {
      for (const socket of [...sockets]) this.#try(socket, () => sendEmergency(socket, edge, pause, frames));
    }
  }

  #revokeFloor({ eventId, channelId, userId, startedAtMs, cause, byUserId }: FloorRevocation): void {
    for (const socket of this.#socketsOf({ eventId, userId })) {
      this.#try(socket, () =>
        this.#interrupt(socket, channelId, byUserId, revokeMessages[cause], startedAtMs || undefined),
      );
    }
  }

  #interrupt(socket: RelaySocket, channelId: string, by: string, message: string, startedAtMs?: number): void {
    if (!socket.isTransmitting(channelId, startedAtMs)) return;
    socket.stopTransmission(channelId);
    socket.send(pttInterruptedFrame(channelId, by, message));
    this.transmissionEnded(socket, channelId);
  }

  #disconnect({ eventId, userId, reason, connectedBeforeMs }: DisconnectNotice): void {
    const frame = forceDisconnectFrame(reason);
    for (const socket of this.#socketsOf({ eventId, userId })) {
      const connectedAtMs = this.#registrations.get(socket)?.connectedAtMs ?? 0;
      if (connectedAtMs >= connectedBeforeMs) continue;
      this.#try(socket, () => socket.send(frame));
      this.#try(socket, () => socket.close(FORCE_DISCONNECT_CODE, cutCloseReason(reason)));
    }
  }

  #socketsOf({ eventId, userId }: { eventId: string; userId: string }): RelaySocket[] {
    return [...(this.#events.get(eventId)?.get(userId) ?? [])];
  }

  // One broken socket must not keep the others from their frames.
  #try(socket: RelaySocket, act: () => void): void {
    try {
      act();
    } catch (error) {
      const { eventId, userId } = this.#registrations.get(socket) ?? {};
      this.#logger.error({ err: error, eventId, userId }, "socket failed");
    }
  }
}

// One frame for each joined channel, as clients expect; one without channel for a client that has joined none.
function sendEmergency(
  socket: RelaySocket,
  edge: "start" | "stop",
  pause: SpeakerPause | undefined,
  frames = new Map<string | null, string>(),
): void {
  const joined: (string | null)[] = [...socket.joinedChannels()];
  for (const channelId of joined.length === 0 ? [null] : joined) {
    const frame = frames.get(channelId) ?? emergencyFrame(edge, pause, channelId);
    frames.set(channelId, frame);
    socket.send(frame);
  }
}
