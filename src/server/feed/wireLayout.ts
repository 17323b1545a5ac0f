import { WireType } from "@bufbuild/protobuf/wire";

// Protobuf laid out by hand, for parts of messages of which there are thousands.

/** The tag of a field with bytes, text or a message. */
export const lengthDelimited = (fieldNumber: number): number => (fieldNumber << 3) | WireType.LengthDelimited;
/** The tag of a field with a number. */
export const varintTag = (fieldNumber: number): number => (fieldNumber << 3) | WireType.Varint;

/** The length of a field with its tag, which takes one byte, and its length prefix. */
export function fieldLength(contentLength: number): number {
  let length = 2 + contentLength;
  for (let rest = contentLength >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}

/** The same of a field with text. */
export function textFieldLength(text: string): number {
  return fieldLength(Buffer.byteLength(text));
}

/** Writes the tag and the length of a field. Returns where its content goes. */
export function writeHeader(bytes: Buffer, at: number, tag: number, contentLength: number): number {
  let next = at;
  bytes[next++] = tag;
  let rest = contentLength;
  for (; rest > 0x7f; rest >>>= 7) bytes[next++] = (rest & 0x7f) | 0x80;
  bytes[next++] = rest;
  return next;
}

/** Writes a field with text. Returns where the next one goes. */
export function writeText(bytes: Buffer, at: number, tag: number, text: string): number {
  const begin = writeHeader(bytes, at, tag, Buffer.byteLength(text));
  return begin + bytes.write(text, begin);
}

/** How many bytes a whole number takes as a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** Writes a whole number as a varint. Returns where the next byte goes. */
export function writeVarint(bytes: Buffer, at: number, value: number): number {
  let next = at;
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes[next++] = (rest % 128) | 0x80;
  bytes[next++] = rest;
  return next;
}
