import { MAX_ID_BYTES } from "../../domain/id.js";

// Control characters, lone surrogates, line and paragraph separators, and characters that change the direction of text.
const unprintable = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu;

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** How much of a claim is read, in UTF-16 units. */
const MAX_CLAIM_LENGTH = 4_096;

/**
 * Returns a name that the service accepts, from the claim of a token: printable, and at most 128 bytes of UTF-8. A longer
 * name is cut between two characters that people see. If the claim is not a text, or nothing is left of it, the name is
 * the user id.
 */
export function toUserName(claim: unknown, userId: string): string {
  if (typeof claim !== "string") return userId;
  const printable = claim.slice(0, MAX_CLAIM_LENGTH).replace(unprintable, " ").trim();
  return cut(printable, MAX_ID_BYTES).trim() || userId;
}

function cut(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  let bytes = 0;
  let end = 0;
  for (const { segment, index } of graphemes.segment(text)) {
    bytes += Buffer.byteLength(segment);
    if (bytes > maxBytes) break;
    end = index + segment.length;
  }
  return text.slice(0, end);
}
