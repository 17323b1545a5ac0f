// A message in a stream as gRPC and Connect both write it: a byte that says whether it is compressed, and four of length.
// Frames are made once, where messages are encoded, so that all streams can be sent the same bytes.

export const FRAME_PREFIX_BYTES = 5;

/** Writes what stands before a message of that length, at the beginning. Returns where the message begins. */
export function writeFramePrefix(frame: Buffer, messageBytes: number): number {
  frame[0] = 0;
  frame.writeUInt32BE(messageBytes, 1);
  return FRAME_PREFIX_BYTES;
}

/** The messages in frames that follow each other; not copies. */
export function messagesOf(frames: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const begin = at + FRAME_PREFIX_BYTES;
    at = begin + frames.readUInt32BE(at + 1);
    messages.push(frames.subarray(begin, at));
  }
  return messages;
}
