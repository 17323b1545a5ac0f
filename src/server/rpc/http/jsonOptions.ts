import { type DescMethod, fromJsonString } from "@bufbuild/protobuf";
import { refusal } from "../../../domain/errors.js";
import { toConnectError } from "./connectError.js";

const STRICT = { ignoreUnknownFields: false };
const UTF8 = new TextDecoder("utf-8", { fatal: true });
/** How the protobuf library names the field of a value that does not fit. */
const FIELD_IN_MESSAGE = /cannot decode field [\w.]+\.(\w+) from JSON|key "([^"]+)" is unknown/;

/**
 * Returns how the JSON of a method is read and written. An answer has every field, also those with default values. A
 * request that is not JSON of its message, or not UTF-8, is refused as MALFORMED: ids that differ in a byte that is not
 * UTF-8 would otherwise become the same id.
 */
export function jsonOptionsOf({ input }: DescMethod) {
  // Connect calls this decoder where it reads a request. It is the only place in which the error can get its reason.
  const decode = (bytes: Uint8Array) => {
    try {
      const text = UTF8.decode(bytes);
      fromJsonString(input, text, STRICT);
      return text;
    } catch (error) {
      throw toConnectError(malformed(error));
    }
  };
  return { ...STRICT, alwaysEmitImplicit: true, textDecoder: { decode } };
}

function malformed(error: unknown) {
  const problem = error instanceof Error ? error.message : String(error);
  const [, wrong, unknown] = FIELD_IN_MESSAGE.exec(problem) ?? [];
  const field = wrong ?? unknown;
  return refusal("MALFORMED", problem, field === undefined ? {} : { field });
}
