import type { SyncEventMembersRequest } from "../../../../gen/squelch/v1/permission_service_pb.js";
import { invalidField } from "../../../domain/errors.js";
import { parseId } from "../../../domain/id.js";
import { MemberList } from "../../../domain/memberSync.js";
import type { MemberSync } from "../../../domain/ports/membershipStore.js";

/**
 * Reads the stream of a SyncEventMembers call to its end. Error messages number the users over the whole stream.
 *
 * @throws SquelchError `invalidArgument`, `resourceExhausted`, and the error that broke the stream
 */
export async function readMemberSync(
  requests: AsyncIterable<SyncEventMembersRequest>,
): Promise<Omit<MemberSync, "actor">> {
  const members = new MemberList();
  let eventId = "";
  let count = 0;
  for await (const request of requests) {
    if (eventId === "") eventId = parseId("event_id", request.eventId);
    if (request.eventId !== "" && request.eventId !== eventId) {
      throw invalidField("event_id", `must be "${eventId}" or empty after the first message`);
    }
    for (const user of request.users) members.add(`users[${count++}].`, user);
  }
  return { eventId: parseId("event_id", eventId), users: members.users };
}
