import { WireType } from "@bufbuild/protobuf/wire";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";

// Writes protobuf by hand, for the messages that a replica encodes thousands of times a second. Sizes are counted first, so
// that each message is written once, into a buffer of the right size.

/** Text up to this many characters is written in a loop, which is faster than a call to Node.js. */
const MAX_LOOPED_CHARACTERS = 32;

const SECONDS_TAG = (TimestampSchema.field.seconds.number << 3) | WireType.Varint;
const NANOS_TAG = (TimestampSchema.field.nanos.number << 3) | WireType.Varint;

/** The fields of a `Timestamp`. The messages of the protobuf library have the seconds as a bigint. */
export interface TimeFields<Seconds extends bigint | number = bigint | number> {
  seconds: Seconds;
  nanos: number;
}

/** Returns the fields of a time in whole ms since 1970. */
export function timeFields(ms: number): TimeFields<number> {
  const seconds = Math.floor(ms / 1_000);
  return { seconds, nanos: (ms - seconds * 1_000) * 1e6 };
}

/** Returns the tag of a length-delimited field. The field number is at most 15, so that the tag takes one byte. */
export function lengthDelimited(fieldNumber: number): number {
  return (fieldNumber << 3) | WireType.LengthDelimited;
}

/** Returns the tag of a varint field. The field number is at most 15, so that the tag takes one byte. */
export function varintTag(fieldNumber: number): number {
  return (fieldNumber << 3) | WireType.Varint;
}

/** Returns how many bytes the varint of a non-negative safe integer takes. */
function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** Returns how many bytes a length-delimited field takes, its tag and length included. */
export function fieldLength(contentLength: number): number {
  return 1 + varintLength(contentLength) + contentLength;
}

export function textFieldLength(text: string): number {
  return fieldLength(Buffer.byteLength(text));
}

/** Returns how many bytes a text field takes: none for an empty text, which proto3 leaves out outside of lists. */
export function textLengthIfAny(text: string): number {
  return text === "" ? 0 : textFieldLength(text);
}

/** Returns how many bytes a varint field takes: none for 0, which proto3 leaves out. */
export function numberLengthIfAny(value: number): number {
  return value === 0 ? 0 : 1 + varintLength(value);
}

function timeLength({ seconds, nanos }: TimeFields): number {
  return numberLengthIfAny(Number(seconds)) + numberLengthIfAny(nanos);
}

/** Returns how many bytes a `Timestamp` field takes: none for undefined. */
export function timeFieldLength(time: TimeFields | undefined): number {
  return time === undefined ? 0 : fieldLength(timeLength(time));
}

// Each of the following functions writes at an offset and returns the offset after what it wrote.

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let next = at;
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes[next++] = (rest % 0x80) | 0x80;
  bytes[next++] = rest;
  return next;
}

/** Writes the tag and the length of a field. */
export function writeHeader(bytes: Buffer, at: number, tag: number, contentLength: number): number {
  bytes[at] = tag;
  return writeVarint(bytes, at + 1, contentLength);
}

export function writeText(bytes: Buffer, at: number, tag: number, text: string): number {
  if (text.length <= MAX_LOOPED_CHARACTERS) {
    const next = writeAscii(bytes, at, tag, text);
    if (next !== undefined) return next;
  }
  const begin = writeHeader(bytes, at, tag, Buffer.byteLength(text));
  return begin + bytes.write(text, begin);
}

export function writeTextIfAny(bytes: Buffer, at: number, tag: number, text: string): number {
  return text === "" ? at : writeText(bytes, at, tag, text);
}

export function writeNumberIfAny(bytes: Buffer, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  bytes[at] = tag;
  return writeVarint(bytes, at + 1, value);
}

export function writeTime(bytes: Buffer, at: number, tag: number, time: TimeFields | undefined): number {
  if (time === undefined) return at;
  const begin = writeHeader(bytes, at, tag, timeLength(time));
  const afterSeconds = writeNumberIfAny(bytes, begin, SECONDS_TAG, Number(time.seconds));
  return writeNumberIfAny(bytes, afterSeconds, NANOS_TAG, time.nanos);
}

export function writeBytes(bytes: Buffer, at: number, content: Uint8Array): number {
  bytes.set(content, at);
  return at + content.length;
}

// Returns undefined if a character takes more than one byte.
function writeAscii(bytes: Buffer, at: number, tag: number, text: string): number | undefined {
  let next = at;
  bytes[next++] = tag;
  bytes[next++] = text.length;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return undefined;
    bytes[next++] = code;
  }
  return next;
}
