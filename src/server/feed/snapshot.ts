import { SnapshotReason } from "../../../gen/squelch/v1/permission_service_pb.js";
import type { LogPosition } from "../../domain/cursor.js";
import type { SpeakerPause } from "../../domain/floor.js";
import type { Membership } from "../../domain/membership.js";
import { encodeSnapshotChunk, encodeSnapshotPart, withReason } from "./wire/encode.js";
import { encodeSnapshotUser } from "./wire/encodeUser.js";
import { toCursorMessage, toSpeakerPauseMessage } from "./wire/messages.js";

/** The most users in a chunk. */
const MAX_CHUNK_USERS = 1_000;
/** The most bytes in a message. A single change that is larger is sent as a message of its own. */
export const MAX_MESSAGE_BYTES = 1 << 20;
// Bytes of a chunk that are reserved for all fields but its users.
const CHUNK_OVERHEAD_BYTES = 64 << 10;

/** The state of an event at one position, encoded once and sent to any number of watchers. */
export class Snapshot {
  readonly position: LogPosition;
  /** How many watchers are reading it. */
  readers = 0;
  #chunks: Buffer[];
  // Copies of chunks with a reason other than INITIAL, made when they are first asked for.
  readonly #variants = new Map<SnapshotReason, (Buffer | undefined)[]>();

  constructor(eventId: string, position: LogPosition, members: Iterable<Membership>, pause: SpeakerPause | undefined) {
    this.position = position;
    this.#chunks = encodeChunks(eventId, position, members, pause);
  }

  get chunkCount(): number {
    return this.#chunks.length;
  }

  /** False after `discard`. A watcher that is still reading it then starts over with a newer snapshot. */
  get isAlive(): boolean {
    return this.#chunks.length > 0;
  }

  /** Returns the frame of a chunk. All watchers with the same reason share it. */
  chunk(index: number, reason: SnapshotReason): Buffer {
    const initial = this.#chunks[index] as Buffer;
    if (reason === SnapshotReason.INITIAL) return initial;
    const variants = this.#variants.get(reason) ?? [];
    this.#variants.set(reason, variants);
    const variant = variants[index] ?? withReason(initial, reason);
    variants[index] = variant;
    return variant;
  }

  discard(): void {
    this.#chunks = [];
    this.#variants.clear();
  }
}

function encodeChunks(
  eventId: string,
  position: LogPosition,
  members: Iterable<Membership>,
  pause: SpeakerPause | undefined,
): Buffer[] {
  const common = encodeSnapshotPart({
    eventId,
    cursor: toCursorMessage(eventId, position),
    ...(pause && { pause: toSpeakerPauseMessage(pause) }),
  });
  const chunks: Buffer[] = [];
  let users: Uint8Array[] = [];
  let bytes = 0;
  const finishChunk = (complete: boolean) => {
    const own = encodeSnapshotPart({ complete, chunkIndex: chunks.length });
    chunks.push(encodeSnapshotChunk([common, ...users, own], common.length + bytes + own.length));
    users = [];
    bytes = 0;
  };
  for (const member of members) {
    const user = encodeSnapshotUser(member);
    const isFull = users.length === MAX_CHUNK_USERS || bytes + user.length > MAX_MESSAGE_BYTES - CHUNK_OVERHEAD_BYTES;
    if (isFull) finishChunk(false);
    users.push(user);
    bytes += user.length;
  }
  finishChunk(true);
  return chunks;
}
