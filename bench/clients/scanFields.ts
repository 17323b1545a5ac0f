// Just enough of protobuf's wire format to find the parts of a message without decoding them.

const LENGTH_DELIMITED = 2;
const VARINT = 0;

/** Calls back with the range of each length-delimited field of that number in a message. Throws on other wire types. */
export function scanFields(
  bytes: Buffer,
  start: number,
  end: number,
  fieldNumber: number,
  onField: (start: number, end: number) => void,
): void {
  let at = start;
  const readVarint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < end) {
    const tag = readVarint();
    const wireType = tag & 7;
    if (wireType === VARINT) {
      readVarint();
    } else if (wireType === LENGTH_DELIMITED) {
      const length = readVarint();
      if (tag >>> 3 === fieldNumber) onField(at, at + length);
      at += length;
    } else {
      throw new Error(`wire type ${wireType} is not supported`);
    }
  }
}

/** Counts the length-delimited fields of that number in a message. */
export function countFields(message: Buffer, { number }: { number: number }): number {
  let count = 0;
  scanFields(message, 0, message.length, number, () => count++);
  return count;
}

/** Encodes a message that consists of length-delimited fields. */
export function layOutFields(fields: readonly [fieldNumber: number, value: string | Uint8Array][]): Buffer {
  return Buffer.concat(
    fields.flatMap(([fieldNumber, value]) => {
      const bytes = Buffer.from(value);
      const header = [(fieldNumber << 3) | LENGTH_DELIMITED];
      let rest = bytes.length;
      for (; rest > 0x7f; rest >>>= 7) header.push((rest & 0x7f) | 0x80);
      return [Buffer.from([...header, rest]), bytes];
    }),
  );
}
