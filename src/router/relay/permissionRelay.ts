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

/** The connection of a client, implemented by the router. No method may block. */
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
   * @param startedAtMs if given, only for the floor that was taken at this time by the clock of Redis
   */
  isTransmitting(channelId: string, startedAtMs?: number): boolean;
  /** Called when the floor is lost. Stop forwarding the socket's audio on this channel. Do not call StopPtt. */
  stopTransmission(channelId: string): void;
  /** Called when the channel was revoked, also if the socket has not joined it. The socket must not hear or speak on it. */
  leaveChannel(channelId: string): void;
}

/** The user of a socket. */
export interface SocketOwner {
  eventId: string;
  userId: string;
  /** The time of the connection, in ms since 1970. Default: now. */
  connectedAtMs?: number;
}

/** When a speaking user who lost the channel is removed from it: at once, or at the end of the transmission. */
export type CutPolicy = "atOnce" | "afterTransmission";

/** The options of a {@link PermissionRelay}. */
export interface PermissionRelayOptions {
  /** Default: `afterTransmission`. */
  cut?: CutPolicy;
  /** Default: a logger that writes warnings and errors to stdout. */
  logger?: Logger;
}

const OPTION_RULES: OptionRules<PermissionRelayOptions> = {
  cut: oneOf("atOnce", "afterTransmission"),
  logger: LOGGER,
};

interface Registration extends Required<SocketOwner> {
  /** Revoked channels that the socket leaves at the end of its transmission, and the function to call then. */
  pendingRemovals: Map<string, () => void>;
}

const revokeMessages: Record<FloorRevokeCause, string> = {
  talkedTooLong: "You have talked for too long",
  noPermission: "You may no longer speak on this channel",
  preEmpted: "A user with higher priority has taken the floor",
  other: "The floor was taken away",
};

/**
 * Applies the changes that a {@link PermissionClient} receives to the sockets of the affected users: it sends frames,
 * removes users from revoked channels, stops users who lost the floor, and closes the sockets of disconnected users.
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
   * Registers a socket: it now receives the frames of its user. If the event is paused, the first frame is sent at once, so
   * send the channel list before. A socket that is already registered gets the new owner.
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

  /** Removes a socket that has closed. Other sockets of the user stay registered. Idempotent. */
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

  /** Call this when a socket has finished speaking. If the channel was revoked in the meantime, the socket leaves it now. */
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
      this.#apply(socket, change);
    }
  }

  #apply(socket: RelaySocket, { eventId, channelIds, removed }: PermissionChange): void {
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
          // The revocation counts as applied when the transmission has ended.
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
    // A pause of duration 0, or one that has already ended, is not announced.
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

  // An error of one socket must not stop the frames to the others.
  #try(socket: RelaySocket, act: () => void): void {
    try {
      act();
    } catch (error) {
      const { eventId, userId } = this.#registrations.get(socket) ?? {};
      this.#logger.error({ err: error, eventId, userId }, "socket failed");
    }
  }
}

// Clients expect one frame for each joined channel. A client that has joined none gets one frame without channel.
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
