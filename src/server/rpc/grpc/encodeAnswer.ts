import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import type { MethodName } from "../../contract.js";
import { encodeActiveSpeakers } from "../../feed/wire/encodeActiveSpeakers.js";
import type { SpeakerFields } from "../../feed/wire/messages.js";

/** The methods with thousands of speakers in their answer, and the field that contains them. */
const SPEAKER_FIELDS: { readonly [Name in MethodName]?: string } = {
  getEventActiveSpeakers: "speakers",
  pauseAllSpeakers: "paused",
};

/**
 * Turns the answer of a method into what grpc-js sends: a message, or its encoding where protobuf-es would take long to
 * encode it.
 */
export function encodeAnswer({ localName, output }: DescMethod, answer: Record<string, unknown>): unknown {
  const field = output.field[SPEAKER_FIELDS[localName as MethodName] ?? ""];
  if (field === undefined) return create(output, answer);
  const speakers = (answer[field.localName] ?? []) as SpeakerFields[];
  const rest = toBinary(output, create(output, { ...answer, [field.localName]: [] }));
  return Buffer.concat([encodeActiveSpeakers(field.number, speakers), rest]);
}
