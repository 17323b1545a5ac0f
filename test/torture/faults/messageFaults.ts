import type { World } from "../load/world.js";
import type { FaultKind } from "./fault.js";

const PACE_MS = 20;

/** Malformed updates. They must have no effect on the users and events that they name. */
function malformedMessages(world: World): (string | Buffer)[] {
  const [eventId = "", other = ""] = world.eventIds;
  const [userId = ""] = world.usersOf(eventId);
  const channelIds = world.channelsOf(eventId).slice(0, 1);
  const update = { eventId, userId, channelIds, action: "malformed" };
  const { channelIds: _, ...withoutChannels } = update;
  const { userId: __, ...withoutUser } = update;
  const { eventId: ___, ...withoutEvent } = update;
  const all = [
    withoutChannels,
    withoutUser,
    withoutEvent,
    { ...update, channelIds: null },
    { ...update, channelIds: channelIds[0] },
    { ...update, channelIds: {} },
    { ...update, channelIds: [null] },
    { ...update, channelIds: [1.5] },
    { ...update, channelIds: [["x"]] },
    { ...update, channelIds: [`${eventId}.c{0}`] },
    { ...update, channelIds: [""] },
    { ...update, userId: {} },
    { ...update, userId: "" },
    { ...update, userId: "u{1}" },
    { ...update, userId: "u".repeat(129) },
    { ...update, eventId: true },
    { ...update, eventId: `{${other}}` },
    { ...update, eventId: "a\u0000b" },
    { ...update, action: {} },
    { ...update, padding: "x".repeat(1 << 20) },
    [update],
    null,
    1,
    "update",
  ].map((value) => JSON.stringify(value));
  return [...all, "", "{", JSON.stringify(update).slice(0, -1), Buffer.from([0xff, 0xfe, 0x00]), "x".repeat(2 << 20)];
}

/** Faults in which control planes publish malformed messages. */
export const MESSAGE_FAULTS: readonly FaultKind[] = [
  {
    name: "malformed and oversized messages are published",
    uses: "messages",
    create: ({ world, workload }, random) => {
      let timer: NodeJS.Timeout | undefined;
      return {
        parties: [],
        inject() {
          let waiting = random.shuffle(malformedMessages(world));
          timer = setInterval(() => {
            const message = waiting.shift();
            if (waiting.length === 0) waiting = malformedMessages(world);
            // While Redis is away they are not published.
            if (message !== undefined) workload.controlPlane.publish(message).catch(() => undefined);
          }, PACE_MS);
        },
        cease: () => clearInterval(timer),
      };
    },
  },
];
