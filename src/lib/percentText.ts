// Metadata of gRPC and headers of HTTP carry ASCII only. A text is percent-encoded there, as `grpc-message` is: each byte of
// its UTF-8 that is not printable ASCII, and `%` itself, is `%` and two hexadecimal digits.

/** Encodes a text for a metadata value. Spaces at its ends are encoded too, because headers lose them. */
export function encodePercent(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]+|^ | $/gu, (part) =>
    Array.from(new TextEncoder().encode(part), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(
      "",
    ),
  );
}

/**
 * Decodes a metadata value. A `%` without two hexadecimal digits stands for itself, as in the rules of gRPC.
 *
 * @throws TypeError if the decoded bytes are not UTF-8
 */
export function decodePercent(value: string): string {
  if (!value.includes("%")) return value;
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at++) {
    const digits = /^%[0-9A-Fa-f]{2}/.test(value.slice(at, at + 3)) ? value.slice(at + 1, at + 3) : undefined;
    bytes.push(digits === undefined ? value.charCodeAt(at) : Number.parseInt(digits, 16));
    if (digits !== undefined) at += 2;
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
}
