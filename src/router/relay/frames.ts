import type { ActiveSpeaker, FloorDenyCause, SpeakerPause } from "../../domain/floor.js";
import { idProblem } from "../../domain/id.js";
import type { PermissionChange } from "../client/permissionEvents.js";

/** The WebSocket close code for a user who was disconnected by an administrator or a dispatcher. */
export const FORCE_DISCONNECT_CODE = 4003;

/** The WebSocket close code of a connection that ends because the token of its client has expired. */
export const TOKEN_EXPIRED_CODE = 4001;

/** The longest reason that a WebSocket close frame can carry, in bytes of UTF-8 (RFC 6455, 5.5). */
const MAX_CLOSE_REASON_BYTES = 123;

/** The id that a client gives to a request. The reply has the same id. */
export type FrameId = string | number;

/** A frame that a client sends. */
export type ClientFrame = { id?: FrameId } & (
  | { type: "join-channel" | "leave-channel" | "ptt-stop" | "priority-ptt-stop"; channelId: string }
  | {
      type: "ptt-start" | "priority-ptt-start";
      channelId: string;
      /** True if the client waits in the queue while another user speaks. */
      queue?: boolean;
    }
  | {
      type: "emergency-broadcast-start";
      /** How long the user held the button, ms. */
      holdDurationMs?: number;
      /** The id of the existing pause to replace, from an earlier refusal. */
      replacePauseId?: string;
    }
  | { type: "force-disconnect"; targetUserId: string /** Empty if not given. */; reason: string }
  | {
      type: "emergency-broadcast-stop";
      /** The id of the pause to end. If not given, the pause that this connection started. */
      pauseId?: string;
    }
  | { type: "renew-token" /** A new token for the same user and event. */; token: string }
  | { type: "ping" }
);

/** A frame of a client is not valid, or its request is not possible. The client sees the message. */
export class FrameError extends Error {
  override readonly name = "FrameError";

  constructor(
    message: string,
    /** The id of the frame; undefined if it could not be read. */
    readonly id?: FrameId,
  ) {
    super(message);
  }
}

/** The state of a channel in the frames to clients. */
export interface ChannelStateData {
  channelId: string;
  currentSpeaker: string | null;
  speakerName: string | null;
  isBusy: boolean;
  /** The time at which the floor was taken, in ms since 1970 by the clock of Redis. */
  lockTimestamp: number | null;
}

/** Returns the state of a channel for the frames to clients. */
export function channelState(
  channelId: string,
  holder: Pick<ActiveSpeaker, "userId" | "userName" | "startedAtMs"> | undefined,
): ChannelStateData {
  return {
    channelId,
    currentSpeaker: holder?.userId ?? null,
    speakerName: holder?.userName ?? null,
    isBusy: holder !== undefined,
    lockTimestamp: holder?.startedAtMs ?? null,
  };
}

/**
 * Parses a frame of a client.
 *
 * @throws FrameError that names the field and the problem
 */
export function parseClientFrame(text: string): ClientFrame {
  const frame = parseObject(text);
  const id = typeof frame.id === "string" || typeof frame.id === "number" ? frame.id : undefined;
  const head = id === undefined ? {} : { id };
  const data = isObject(frame.data) ? frame.data : {};
  const { type } = frame;
  switch (type) {
    case "join-channel":
    case "leave-channel":
    case "ptt-stop":
    case "priority-ptt-stop":
      return { ...head, type, channelId: parseId("channelId", data.channelId, id) };
    case "ptt-start":
    case "priority-ptt-start": {
      const { queue = false } = data;
      if (typeof queue !== "boolean") throw new FrameError("queue must be true or false", id);
      return { ...head, type, channelId: parseId("channelId", data.channelId, id), ...(queue && { queue }) };
    }
    case "emergency-broadcast-start": {
      const holdDurationMs = parseHoldDuration(data.holdDuration, id);
      const replacePauseId = parseOptionalId("replacePauseId", data.replacePauseId, id);
      return {
        ...{ ...head, type },
        ...(holdDurationMs !== undefined && { holdDurationMs }),
        ...(replacePauseId !== undefined && { replacePauseId }),
      };
    }
    case "force-disconnect": {
      const { reason = "" } = data;
      if (typeof reason !== "string") throw new FrameError("reason must be a text", id);
      return { ...head, type, targetUserId: parseId("targetUserId", data.targetUserId, id), reason };
    }
    case "emergency-broadcast-stop": {
      const pauseId = parseOptionalId("pauseId", data.pauseId, id);
      return { ...head, type, ...(pauseId !== undefined && { pauseId }) };
    }
    case "renew-token": {
      const { token } = data;
      if (typeof token !== "string") throw new FrameError("token is required", id);
      return { ...head, type, token };
    }
    case "ping":
      return { ...head, type };
    default:
      throw new FrameError("Invalid message type", id);
  }
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FrameError("A frame must be a JSON object");
  }
  if (!isObject(value)) throw new FrameError("A frame must be a JSON object");
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Clients may send numbers as ids. JSON rounds a number beyond 2^53 to another id, so it is refused.
function parseId(name: string, value: unknown, id: FrameId | undefined): string {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new FrameError(`${name} must be a whole number up to 2^53, or a string`, id);
  }
  const text = typeof value === "number" ? String(value) : value;
  if (typeof text !== "string") throw new FrameError(`${name} is required`, id);
  const problem = idProblem(text);
  if (problem !== undefined) throw new FrameError(`${name} ${problem}`, id);
  return text;
}

function parseHoldDuration(value: unknown, id: FrameId | undefined): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new FrameError("holdDuration must be a whole number of milliseconds", id);
}

function parseOptionalId(name: string, value: unknown, id: FrameId | undefined): string | undefined {
  return value === undefined || value === null ? undefined : parseId(name, value, id);
}

interface ServerFrame {
  type: string;
  id?: FrameId | undefined;
  data?: object;
  error?: string;
}

// JSON.stringify leaves out undefined fields.
function encode(frame: ServerFrame): string {
  return JSON.stringify(frame);
}

/** Returns a `channel-list` frame, the first frame of every connection. */
export function channelListFrame(channels: readonly string[], role: string, globalRole: string): string {
  return encode({ type: "channel-list", data: { channels, role, globalRole } });
}

/** `permission-update`, with each of the fields that one client or another reads. */
export function permissionUpdateFrame(change: PermissionChange): string {
  const { eventId, channelIds, added, removed, action, revision } = change;
  const data = { eventId, channelIds, channels: channelIds, added, removed, action, revision };
  return encode({ type: "permission-update", data });
}

/** The reply to a request that succeeded. */
export function replyFrame(id: FrameId | undefined, data: object): string {
  return encode({ type: "channel-state", id, data });
}

/** Returns a `channel-state` frame for a user who joined or left the channel. */
export function presenceFrame(
  state: ChannelStateData,
  action: "user-joined" | "user-left" | "user-disconnected",
  user: { userId: string; userName: string },
): string {
  const { userId, userName } = user;
  return encode({ type: "channel-state", data: { ...state, action, userId, userName } });
}

/** Returns a `speaker-changed` frame: the channel has a new speaker or no speaker. */
export function speakerChangedFrame(state: ChannelStateData): string {
  return encode({ type: "speaker-changed", data: state });
}

/** A request for the floor that was denied. */
export interface PttDenial {
  channelId: string;
  cause: FloorDenyCause | "other";
  holder: Pick<ActiveSpeaker, "userId" | "userName"> | undefined;
  /** Text for people. */
  message: string;
}

/** Returns the reply to a `ptt-start` that was denied. */
export function pttDeniedReply(id: FrameId | undefined, { holder, message }: PttDenial): string {
  const data = { success: false, denied: true, ...speakerFields(holder) };
  return encode({ type: "channel-state", id, data, error: message });
}

/** Returns a `ptt-denied` frame. It follows the reply, for clients that do not evaluate the reply. */
export function pttDeniedFrame({ channelId, cause, holder, message }: PttDenial): string {
  return encode({ type: "ptt-denied", data: { channelId, cause, ...speakerFields(holder), message } });
}

/**
 * Returns the reply to a `ptt-start` that waits in the queue. It is sent again when the position changes. Another reply
 * follows when the floor is granted or denied.
 */
export function pttQueuedReply(
  id: FrameId | undefined,
  { position, waiting, holder }: { position: number; waiting: number; holder: PttDenial["holder"] },
): string {
  const place = { queuePosition: position, queueLength: waiting };
  const data = { success: false, queued: true, ...place, ...speakerFields(holder) };
  return encode({ type: "channel-state", id, data });
}

function speakerFields(holder: PttDenial["holder"]) {
  return { currentSpeaker: holder?.userId ?? null, currentSpeakerName: holder?.userName ?? null };
}

/** Returns a `ptt-interrupted` frame: the client lost the floor. */
export function pttInterruptedFrame(channelId: string, interruptedBy: string, message: string): string {
  return encode({ type: "ptt-interrupted", data: { channelId, interruptedBy, message } });
}

/**
 * Returns an `emergency-broadcast-start` or `emergency-broadcast-stop` frame. If the pause has no broadcaster, the frame
 * names its actor.
 *
 * @param channelId a channel that the client has joined; null for a client that has joined none
 */
export function emergencyFrame(
  edge: "start" | "stop",
  pause: SpeakerPause | undefined,
  channelId: string | null,
): string {
  return encode({ type: `emergency-broadcast-${edge}`, data: { ...dispatcherFields(pause), channelId } });
}

/**
 * Returns the reply to an `emergency-broadcast-start` or `emergency-broadcast-stop` that was refused because another pause
 * stands. Its data names the pause, so that the client can replace or end that pause by its id.
 */
export function emergencyRefusedFrame(id: FrameId | undefined, standing: SpeakerPause): string {
  const { pauseId, reason, expiresAtMs } = standing;
  const dispatcher = dispatcherFields(standing);
  const until = new Date(expiresAtMs).toISOString();
  const error = `${dispatcher.dispatchUserName} has paused the event until ${until}`;
  return encode({ type: "error", id, error, data: { ...dispatcher, pauseId, reason, expiresAt: expiresAtMs } });
}

function dispatcherFields(pause: SpeakerPause | undefined) {
  const dispatchUserId = pause?.broadcaster?.userId ?? pause?.actor ?? "";
  return { dispatchUserId, dispatchUserName: pause?.broadcaster?.userName || dispatchUserId };
}

/** Returns a `force-disconnect` frame. Close the socket with {@link FORCE_DISCONNECT_CODE} afterwards. */
export function forceDisconnectFrame(reason: string): string {
  return encode({ type: "force-disconnect", data: { reason } });
}

/** Returns the reply to `ping`. */
export function pongFrame(id: FrameId | undefined): string {
  return encode({ type: "pong", id });
}

/** Returns an `error` frame: a request failed or was not valid. */
export function errorFrame(id: FrameId | undefined, message: string): string {
  return encode({ type: "error", id, error: message });
}

/** Cuts `reason` to the 123 bytes that a WebSocket close frame can have, between two characters. */
export function cutCloseReason(reason: string): string {
  // Encoding replaces lone surrogates.
  const wellFormed = Buffer.from(reason).toString();
  if (Buffer.byteLength(wellFormed) <= MAX_CLOSE_REASON_BYTES) return wellFormed;
  let bytes = 0;
  let cut = "";
  for (const character of wellFormed) {
    bytes += Buffer.byteLength(character);
    if (bytes > MAX_CLOSE_REASON_BYTES) break;
    cut += character;
  }
  return cut;
}
