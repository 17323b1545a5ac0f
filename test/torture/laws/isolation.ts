import { channelsIn, ownerOf } from "../load/world.js";
import type { History } from "../record/history.js";
import type { Violation } from "./violation.js";

/**
 * G7: everything delivered or stored for an event concerns its own users and channels, and comes from a write to it.
 */
export function checkIsolation({ writes, witnessed, routers, rests }: History): Violation[] {
  const violations: Violation[] = [];
  const look = (at: number, place: string, eventId: string, userId: string, channels: string, writeId?: string) => {
    const complain = (what: string) => violations.push({ law: "G7", at, text: `${place}: ${what} in ${eventId}` });
    if ((ownerOf(userId) ?? eventId) !== eventId) complain(userId);
    for (const channelId of channelsIn(channels)) if (ownerOf(channelId) !== eventId) complain(channelId);
    const origin = writeId === undefined ? eventId : writes.get(writeId)?.eventId;
    if (origin !== eventId) complain(`a change by ${writeId}, a write to ${origin ?? "no event"},`);
  };
  for (const record of witnessed) {
    if (record.kind !== "entry") continue;
    const { eventId, userId, channels, writeId } = record.entry;
    look(record.at, "the log", eventId, userId, channels, writeId);
  }
  for (const [router, records] of routers) {
    for (const record of records) {
      if (record.kind === "snapshot") {
        for (const [userId, channels] of record.users) look(record.at, router, record.eventId, userId, channels);
      } else if (record.kind === "changes") {
        for (const { userId, channels, writeId } of record.entries) {
          look(record.at, router, record.eventId, userId, channels, writeId);
        }
      }
    }
  }
  for (const { at, store } of rests) {
    for (const [eventId, { members }] of store) {
      for (const [userId, { channels }] of members) look(at, "the store", eventId, userId, channels);
    }
  }
  return violations;
}
