import type { ActiveSpeaker, FloorDenyCause, SpeakerPause } from "../../domain/floor.js";
import { idProblem } from "../../domain/id.js";
import type { PermissionChange } from "../client/permissionEvents.js";

/** The WebSocket close code of a user who was disconnected by force. */
export const FORCE_DISCONNECT_CODE = 4003;

/** The longest reason that a WebSocket close frame can carry, in bytes of UTF-8 (RFC 6455, 5.5). */
const MAX_CLOSE_REASON_BYTES = 123;

/** What tells a request's reply from other frames; given by the client. */
export type FrameId = string | number;

/** What a client asks for. */
export type ClientFrame = { id?: FrameId } & (
  | { type: "join-channel" | "leave-channel" | "ptt-stop" | "priority-ptt-stop"; channelId: string }
  | {
      type: "ptt-start" | "priority-ptt-start";
      channelId: string;
      /** The client waits where somebody else speaks. */
      queue?: boolean;
    }
  | {
      type: "emergency-broadcast-start";
      /** How long the button was held. */
      holdDurationMs?: number;
      /** The pause of somebody else to take the place of, as the refusal names it. */
      replacePauseId?: string;
    }
  | { type: "force-disconnect"; targetUserId: string /** Empty if not given. */; reason: string }
  | { type: "emergency-broadcast-stop" | "ping" }
);

/** A frame that cannot be understood. */
export class FrameError extends Error {
  override readonly name = "FrameError";

  constructor(
    message: string,
    /** The frame's id, where it could be read. */
    readonly id?: FrameId,
  ) {
    super(message);
  }
}

/** Who speaks on a channel, as clients are told. */
export interface ChannelStateData {
  channelId: string;
  currentSpeaker: string | null;
  speakerName: string | null;
  isBusy: boolean;
  /** When the floor was taken, in ms since 1970, by the store's clock. */
  lockTimestamp: number | null;
}

/** The state of a channel from its holder. */
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
 * Reads a frame of a client.
 *
 * @throws FrameError that says what is wrong
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
    case "emergency-broadcast-stop":
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

// Ids may be numbers.
function parseId(name: string, value: unknown, id: FrameId | undefined): string {
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

// JSON.stringify leaves out what is undefined.
function encode(frame: ServerFrame): string {
  return JSON.stringify(frame);
}

/** `channel-list`, the first frame of every connection. */
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

/** A channel's state with who has joined or left it. */
export function presenceFrame(
  state: ChannelStateData,
  action: "user-joined" | "user-left" | "user-disconnected",
  user: { userId: string; userName: string },
): string {
  const { userId, userName } = user;
  return encode({ type: "channel-state", data: { ...state, action, userId, userName } });
}

/** `speaker-changed`: somebody has taken or given back the floor. */
export function speakerChangedFrame(state: ChannelStateData): string {
  return encode({ type: "speaker-changed", data: state });
}

/** Why the floor was not to be had. */
export interface PttDenial {
  channelId: string;
  cause: FloorDenyCause | "other";
  holder: Pick<ActiveSpeaker, "userId" | "userName"> | undefined;
  /** For people. */
  message: string;
}

/** The reply to a `ptt-start` that was denied. */
export function pttDeniedReply(id: FrameId | undefined, { holder, message }: PttDenial): string {
  const data = { success: false, denied: true, ...speakerFields(holder) };
  return encode({ type: "channel-state", id, data, error: message });
}

/** `ptt-denied`, beside the reply, for clients that listen to it alone. */
export function pttDeniedFrame({ channelId, cause, holder, message }: PttDenial): string {
  return encode({ type: "ptt-denied", data: { channelId, cause, ...speakerFields(holder), message } });
}

/**
 * The reply to a `ptt-start` with `queue` that has to wait; sent again when its position has changed. Another reply
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

/** `ptt-interrupted`: the floor was taken from this client. */
export function pttInterruptedFrame(channelId: string, interruptedBy: string, message: string): string {
  return encode({ type: "ptt-interrupted", data: { channelId, interruptedBy, message } });
}

/**
 * `emergency-broadcast-start` or `-stop`. Who broadcasts is the one who paused where the pause has no broadcaster.
 *
 * @param channelId a channel that the client has joined; null if it has joined none
 */
export function emergencyFrame(
  edge: "start" | "stop",
  pause: SpeakerPause | undefined,
  channelId: string | null,
): string {
  return encode({ type: `emergency-broadcast-${edge}`, data: { ...dispatcherFields(pause), channelId } });
}

/** The answer to an `emergency-broadcast-start` that was refused because of another pause: who has it, until when. */
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

/** `force-disconnect`, before the socket is closed with {@link FORCE_DISCONNECT_CODE}. */
export function forceDisconnectFrame(reason: string): string {
  return encode({ type: "force-disconnect", data: { reason } });
}

/** The answer to `ping`. */
export function pongFrame(id: FrameId | undefined): string {
  return encode({ type: "pong", id });
}

/** `error`: a request failed, or could not be understood. */
export function errorFrame(id: FrameId | undefined, message: string): string {
  return encode({ type: "error", id, error: message });
}

/** As much of `reason` as a WebSocket close frame can carry: at most 123 bytes, cut between characters. */
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
