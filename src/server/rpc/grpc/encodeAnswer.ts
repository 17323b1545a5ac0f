import { create, type DescField, type DescMessage, type DescMethod, toBinary } from "@bufbuild/protobuf";
import { PermissionService } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { encodeActiveSpeakers } from "../../feed/wire/encodeActiveSpeakers.js";
import type { SpeakerFields } from "../../feed/wire/messages.js";

const { getEventActiveSpeakers, pauseAllSpeakers } = PermissionService.method;

/** The answers that may have thousands of speakers, by the field that has them. */
const speakerFields = new Map<DescMessage, DescField>([
  [getEventActiveSpeakers.output, getEventActiveSpeakers.output.field.speakers],
  [pauseAllSpeakers.output, pauseAllSpeakers.output.field.paused],
]);

/** The answer of a method as it goes over gRPC: encoded where the library would take long, else as a message. */
export function encodeAnswer({ output }: DescMethod, answer: Record<string, unknown>): unknown {
  const field = speakerFields.get(output);
  if (field === undefined) return create(output, answer);
  const speakers = (answer[field.localName] ?? []) as SpeakerFields[];
  const rest = toBinary(output, create(output, { ...answer, [field.localName]: [] }));
  return Buffer.concat([encodeActiveSpeakers(field.number, speakers), rest]);
}
