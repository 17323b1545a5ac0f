// gRPC and Connect frame a message of a stream alike: one byte for the compression, four bytes for the length, the message.
// A frame is made once, where its message is encoded, so that all streams can send the same bytes.

export const FRAME_PREFIX_BYTES = 5;

/** Writes the prefix of a message of that length to the start of the buffer. Returns the offset of the message. */
export function writeFramePrefix(frame: Buffer, messageBytes: number): number {
  frame[0] = 0;
  frame.writeUInt32BE(messageBytes, 1);
  return FRAME_PREFIX_BYTES;
}

/** Returns the messages of consecutive frames. They share the memory of the frames. */
export function messagesOf(frames: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const begin = at + FRAME_PREFIX_BYTES;
    at = begin + frames.readUInt32BE(at + 1);
    messages.push(frames.subarray(begin, at));
  }
  return messages;
}
