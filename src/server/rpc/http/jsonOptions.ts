import { type DescMessage, type DescMethod, fromJson, fromJsonString, type JsonValue } from "@bufbuild/protobuf";
import { refusal } from "../../../domain/errors.js";
import { toConnectError } from "./connectError.js";

const STRICT = { ignoreUnknownFields: false };
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Returns how the JSON of a method is read and written. An answer has every field, also those with default values. A
 * request that is not JSON of its message, or not UTF-8, is refused as MALFORMED: ids that differ in a byte that is not
 * UTF-8 would otherwise become the same id.
 */
export function jsonOptionsOf({ input }: DescMethod) {
  // Connect calls this decoder where it reads a request. It is the only place in which the error can get its reason.
  const decode = (bytes: Uint8Array) => {
    let text = "";
    try {
      text = UTF8.decode(bytes);
      fromJsonString(input, text, STRICT);
      return text;
    } catch (error) {
      throw toConnectError(malformed(input, text, error));
    }
  };
  return { ...STRICT, alwaysEmitImplicit: true, textDecoder: { decode } };
}

function malformed(input: DescMessage, text: string, error: unknown) {
  const problem = error instanceof Error ? error.message : String(error);
  const field = findWrongField(input, text);
  return refusal("MALFORMED", problem, field === undefined ? {} : { field });
}

// Returns the first field that cannot be read even alone, by its name in the proto file.
function findWrongField(input: DescMessage, text: string): string | undefined {
  for (const [key, value] of entriesOf(text)) {
    try {
      fromJson(input, { [key]: value }, STRICT);
    } catch {
      return input.fields.find(({ jsonName }) => jsonName === key)?.name ?? key;
    }
  }
  return undefined;
}

function entriesOf(text: string): [string, JsonValue][] {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? Object.entries(value) : [];
  } catch {
    return [];
  }
}
