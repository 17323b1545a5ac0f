import { DEFAULT_PAUSE_MS } from "../../src/domain/floor.js";
import type { Engine } from "../../src/domain/ports/engine.js";
import { SpeakersStream } from "../clients/speakersStream.js";
import { percentile } from "../report/percentiles.js";
import { createEvent } from "../servers/busyChannels.js";
import { type Stack, withEngine, withStack } from "../servers/stack.js";
import { processCpuUs } from "../support/processCpu.js";
import type { Row, Scenario } from "../support/scenario.js";

const SPEAKER = "speaker";
const DISPATCHER = "dispatcher";
const NOBODY = "";
const TALK_TIME_MS = 60_000;

export interface ChannelsOptions {
  /** The channels of the event, each with a speaker. One measurement for each number, ascending. */
  speaking: readonly number[];
  /** The number of WatchChannels streams. */
  watchers: number;
  /** The number of changes of one more channel, and of pauses and resumes; one half each. */
  changes: number;
  pauses: number;
}

/** Measures how every router is notified of a change of speaker. */
export const channels: Scenario<ChannelsOptions> = {
  name: "channels",
  title:
    "Delivers each change of a speaker to every WatchChannels stream, for different numbers of channels with a speaker",
  columns: {
    changing: "what changes",
    speaking: "channels\nthat speak",
    watchers: "watchers",
    changes: "changes",
    p50Ms: "p50 ms",
    p99Ms: "p99 ms",
    replicaCpuUs: "replica CPU\nµs/change",
    times: "times that of\nthe fewest",
  },
  full: { speaking: [10, 100, 1_000], watchers: 4, changes: 1_000, pauses: 20 },
  smoke: { speaking: [2, 4], watchers: 2, changes: 6, pauses: 2 },
  plots: [{ title: "CPU of the replica for one change", value: "replicaCpuUs", unit: "µs", labels: ["speaking"] }],

  run: ({ speaking, ...options }) =>
    withStack((stack) =>
      withEngine(stack, async (engine) => {
        // The first round is not measured: it warms the programs up.
        await measureEvent(stack, engine, "warm-up", Math.min(...speaking), options);
        const ones: Row[] = [];
        const alls: Row[] = [];
        for (const count of speaking) {
          const { one, all } = await measureEvent(stack, engine, `channels-${count}`, count, options);
          ones.push(one);
          alls.push(all);
        }
        return [...compareWithFirst(ones), ...compareWithFirst(alls)];
      }),
    ),
};

function compareWithFirst(rows: readonly Row[]): Row[] {
  return rows.map((row) => ({ ...row, times: Number(row.replicaCpuUs) / Number(rows[0]?.replicaCpuUs) }));
}

// First one channel changes while all others have a speaker, then all others change at once.
async function measureEvent(
  stack: Stack,
  engine: Engine,
  eventId: string,
  speaking: number,
  { watchers, changes, pauses }: Omit<ChannelsOptions, "speaking">,
): Promise<{ one: Row; all: Row }> {
  const { channelIds } = await createEvent(engine, eventId, speaking);
  const changed = `${eventId}-changed`;
  const write = { action: "bench", actor: "bench", onlyIfUnknown: false };
  await engine.setUserChannels({ eventId, userId: SPEAKER, channelIds: [changed, ...channelIds], ...write });
  for (const channelId of channelIds) await press(engine, channelId);
  const streams = Array.from({ length: watchers }, () => new SpeakersStream(stack.grpcClient, eventId));
  const untilAll = (ids: readonly string[], holder: string) =>
    Promise.all(streams.map((stream) => stream.until(ids, holder)));
  try {
    await untilAll(channelIds, SPEAKER);
    let leaseId = 0;
    const one = await measure(stack, changes, 1, async (isEven) => {
      if (isEven) leaseId = await press(engine, changed);
      else await engine.stopPtt(changed, { leaseId });
      await untilAll([changed], isEven ? SPEAKER : NOBODY);
    });
    const request = { eventId, reason: "bench", actor: "bench", durationMs: DEFAULT_PAUSE_MS, exemptUserIds: [] };
    const broadcaster = { userId: DISPATCHER, userName: DISPATCHER };
    let pauseId = "";
    const all = await measure(stack, pauses, speaking, async (isEven) => {
      if (isEven) ({ pauseId } = (await engine.pauseAllSpeakers({ ...request, broadcaster, requestId: "" })).pause);
      else await engine.resumeSpeakers(eventId, pauseId, "bench");
      await untilAll(channelIds, isEven ? DISPATCHER : NOBODY);
    });
    return {
      one: { changing: "one channel", speaking, watchers, ...one },
      all: { changing: "all channels, by a pause or a resume", speaking, watchers, ...all },
    };
  } finally {
    for (const stream of streams) stream.close();
  }
}

async function press(engine: Engine, channelId: string): Promise<number> {
  const user = { userId: SPEAKER, userName: SPEAKER, sessionId: "" };
  const terms = { priority: "normal", talkTimeMs: TALK_TIME_MS, leaseTimeMs: TALK_TIME_MS, actor: "bench" } as const;
  const outcome = await engine.startPtt({ channelId, ...user, ...terms });
  if (!outcome.granted) throw new Error(`the floor of ${channelId} was not granted`);
  return outcome.leaseId;
}

async function measure(
  { replica }: Stack,
  turns: number,
  changesPerTurn: number,
  change: (isEven: boolean) => Promise<void>,
): Promise<Row> {
  const tookMs: number[] = [];
  const cpuBeforeUs = await processCpuUs(replica.pid);
  for (let turn = 0; turn < turns; turn++) {
    const startMs = performance.now();
    await change(turn % 2 === 0);
    tookMs.push(performance.now() - startMs);
  }
  const changes = turns * changesPerTurn;
  const replicaCpuUs = ((await processCpuUs(replica.pid)) - cpuBeforeUs) / changes;
  return { changes, p50Ms: percentile(tookMs, 50), p99Ms: percentile(tookMs, 99), replicaCpuUs };
}
