import { PassThrough } from "node:stream";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import picocolors from "picocolors";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { WatchPermissionsResponseSchema } from "../../../gen/squelch/v1/permission_service_pb.js";
import { LivePicture } from "../../../src/cli/output/livePicture.js";
import { Screen } from "../../../src/cli/output/screen.js";

const NOW = Date.parse("2026-01-31T12:00:00Z");
const plain = picocolors.createColors(false);

function pictureOf(...responses: JsonValue[]): LivePicture {
  const picture = new LivePicture("127.0.0.1:50051");
  for (const json of responses) picture.take(fromJson(WatchPermissionsResponseSchema, json), NOW);
  return picture;
}

const frame = { columns: 80, rows: 24, colors: plain, nowMs: NOW };
const snapshot = (eventId: string, users: JsonValue[] = []) => ({
  snapshot: { eventId, cursor: { eventId, epoch: "e", revision: "7" }, users, complete: true },
});
const speaker = (channelId: string, userName: string) => ({ channelId, userId: userName.toLowerCase(), userName });
const change = (revision: number, kind: object) => ({
  changes: {
    eventId: "festival",
    epoch: "e",
    changes: [{ revision: `${revision}`, time: "2026-01-31T11:59:58Z", ...kind }],
  },
});
const pause = {
  pauseId: "p1",
  reason: "Storm",
  startedAt: "2026-01-31T11:59:30Z",
  expiresAt: "2026-01-31T12:01:05Z",
  broadcaster: { userId: "dora" },
};

it("shows the present state of each event, and the newest changes below", () => {
  const picture = pictureOf(
    snapshot("festival", [{ userId: "anna", channelIds: ["stage"] }, { userId: "gone" }]),
    snapshot("match"),
    { speakers: { eventId: "match", snapshot: { speakers: [speaker("pitch", "Ben")] } } },
    { checkpoint: { feedHealthy: true } },
    change(8, { membershipChanged: { userId: "ben", channelIds: ["gate"], added: ["gate"] } }),
    change(9, { speakersPaused: { pause } }),
  );
  expect(picture.lines({ ...frame, nowMs: NOW + 5_000 })).toEqual([
    "127.0.0.1:50051  feed healthy  checkpoint 5 s ago  2 events",
    "",
    "EVENT     REVISION  USERS  SPEAKING    PAUSE",
    "festival  9         2      -           1:00 left dora speaks (Storm)",
    "match     7         0      pitch: Ben  -",
    "",
    "11:59:58 festival #8 ben now has gate (+gate)",
    expect.stringMatching(/^11:59:58 festival #9 paused until 2026-01-31T12:01:05Z/),
  ]);
});

it("forgets who has stopped speaking, who has lost all channels, and a pause that is over", () => {
  const picture = pictureOf(
    snapshot("festival", [{ userId: "anna", channelIds: ["stage"] }]),
    { speakers: { eventId: "festival", changed: { channelId: "stage", holder: speaker("stage", "Anna") } } },
    { speakers: { eventId: "festival", changed: { channelId: "stage" } } },
    change(8, { speakersPaused: { pause } }),
    change(9, { speakersResumed: { pauseId: "p1" } }),
    change(10, { membershipChanged: { userId: "anna", removed: ["stage"] } }),
  );
  expect(picture.lines(frame)[3]).toBe("festival  10        0      -         -");
});

it("never shows an unhealthy feed as healthy, nor any feed before its first checkpoint", () => {
  expect(pictureOf().lines(frame)[0]).toBe("127.0.0.1:50051  catching up  0 events");
  expect(pictureOf({ checkpoint: {} }).lines(frame)[0]).toContain("feed not healthy: changes may be missing");
});

it("never exceeds the size of the terminal, not counting colours", () => {
  const many = Array.from({ length: 50 }, (_, index) =>
    snapshot(`event-${String(index).padStart(2, "0")}-${"x".repeat(60)}`),
  );
  const picture = pictureOf(
    ...many,
    ...Array.from({ length: 300 }, (_, index) => change(index + 8, { speakersResumed: {} })),
  );
  const lines = picture.lines({ ...frame, rows: 20, columns: 40, colors: picocolors.createColors(true) });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this removes the escapes of colours.
  const bare = lines.map((line) => line.replace(/\u001b\[\d+m/g, ""));
  expect(bare).toHaveLength(20);
  for (const line of bare) expect(line.length).toBeLessThanOrEqual(40);
  expect(bare).toContain("… and 45 more");
  expect(bare.at(-1)).toContain("#307");
});

it("shows names that could control the terminal as escapes", () => {
  const picture = pictureOf({ speakers: { eventId: "e", snapshot: { speakers: [speaker("a", "\u001b[2Jx")] } } });
  expect(picture.lines(frame).join("\n")).not.toContain("\u001b");
});

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("draws on a separate screen, at most ten times a second, and restores the terminal", () => {
  const terminal = Object.assign(new PassThrough(), { columns: 20, rows: 5 });
  let drawn = 0;
  const screen = new Screen(terminal, ({ columns, rows }) => [`${columns}x${rows}`, `${++drawn}`]);
  expect(String(terminal.read())).toBe("\u001b[?1049h\u001b[?25l\u001b[H20x5\u001b[K\r\n1\u001b[K\u001b[J");
  for (let count = 0; count < 100; count++) screen.changed();
  vi.advanceTimersByTime(100);
  expect(drawn).toBe(2);
  vi.advanceTimersByTime(900);
  expect(drawn).toBe(3);
  terminal.read();
  screen.close();
  vi.advanceTimersByTime(5_000);
  expect(drawn).toBe(3);
  expect(String(terminal.read())).toBe("\u001b[?25h\u001b[?1049l");
});
