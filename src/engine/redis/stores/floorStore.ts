import { randomUUID } from "node:crypto";
import { bannedBroadcaster } from "../../../domain/ban.js";
import type { LogEntry, SpeakersPaused } from "../../../domain/change.js";
import {
  alreadyPaused,
  type FloorDenyCause,
  MAX_PAUSE_MS,
  notTheHolder,
  pauseNotStanding,
  requestIdReused,
  type SpeakerPause,
  staleLease,
  type WaitingSpeaker,
} from "../../../domain/floor.js";
import { unknownChannel } from "../../../domain/membership.js";
import type {
  DueLook,
  FloorChange,
  FloorNews,
  FloorStore,
  PauseOutcome,
  QueuePlace,
  StartPttOutcome,
} from "../../../domain/ports/floorStore.js";
import { pauseDigest } from "../../../domain/ports/pauseDigest.js";
import type { Unsubscribe } from "../../../domain/ports/unsubscribe.js";
import type { RedisChannelIndex } from "../channels/channelIndex.js";
import { OwnerHints } from "../channels/ownerHints.js";
import { attempt } from "../connection/connections.js";
import type { CommandConnection } from "../connection/openConnection.js";
import type { Subscriber } from "../connection/subscriber.js";
import { EVENTS, eventKeys, stateChannel } from "../keys.js";
import type { ConfirmedWrites } from "../scripts/confirmedWrites.js";
import { contended, MAX_ATTEMPTS } from "../scripts/contention.js";
import type { EventScripts } from "../scripts/eventScripts.js";
import { parseJson } from "../scripts/scripts.js";
import { parseLogEntry } from "./logEntry.js";
import { parseSpeakers } from "./speakerValue.js";

/**
 * How long the answer to a PauseAllSpeakers is kept for a retry with the same request id: as long as the longest pause.
 */
const PAUSE_ANSWER_TTL_MS = MAX_PAUSE_MS;

/** After one replica has checked the channels of a paused event, no replica checks them again for this long, ms. */
const UPHOLD_GAP_MS = 110;

/** A channel's state in the format that routers publish. */
interface PublishedState {
  currentSpeaker: string | null;
  speakerName: string | null;
  lockTimestamp: number | null;
}

/** The stored fields of a request that waits for the floor. */
interface QueuedRequest extends Pick<WaitingSpeaker, "userId" | "userName" | "priority"> {
  endsAt: number;
}

// A list of channel id and JSON of its requests, in turn. It may contain requests that have expired but not been
// reported yet.
function parseQueues(queues: readonly string[], timeMs: number): WaitingSpeaker[] {
  return Array.from({ length: queues.length / 2 }, (_, index) => {
    const channelId = queues[2 * index] as string;
    const requests: QueuedRequest[] = JSON.parse(queues[2 * index + 1] as string);
    return requests
      .filter(({ endsAt }) => endsAt > timeMs)
      .map(({ userId, userName, priority, endsAt }, place) => {
        return { channelId, userId, userName, position: place + 1, priority, expiresAtMs: endsAt };
      });
  })
    .sort(([a], [b]) => ((a?.channelId ?? "") < (b?.channelId ?? "") ? -1 : 1))
    .flat();
}

/** The answer of the script read-speakers; the fields are described there. */
type SpeakersAnswer = [
  pause: string | null,
  epoch: string,
  version: number,
  timeMs: number,
  queues: string[],
  speakers: string,
];

/**
 * A floor change in the format that scripts publish. A change that gives many channels the same holder, or removes
 * their holders, is published once.
 */
type StoredFloorChange = FloorChange | (Omit<FloorChange, "channelId"> & { channelIds: string[] });
type StoredFloorNews = Omit<FloorNews, "changes"> & { changes: StoredFloorChange[] };

function toFloorChanges(change: StoredFloorChange): FloorChange | FloorChange[] {
  if ("channelId" in change) return change;
  const { channelIds, holder, ...rest } = change;
  // Scripts leave the sorting to the receivers.
  return channelIds
    .sort()
    .map((channelId) => ({ ...rest, channelId, ...(holder && { holder: { ...holder, channelId } }) }));
}

/** Parses a published message about the floor. */
export function parseFloorNews(message: string): FloorNews {
  const { changes, ...news } = JSON.parse(message) as StoredFloorNews;
  return { ...news, changes: changes.flatMap(toFloorChanges) };
}

type Denial = [cause: FloorDenyCause, holder: string | null, pause: string | null, ban?: string];

/** {@link FloorStore} on Redis. `urgent` runs only pauses. */
export function createFloorStore(
  commands: CommandConnection,
  scripts: EventScripts,
  urgent: ConfirmedWrites,
  index: RedisChannelIndex,
  subscriber: Subscriber,
): FloorStore {
  const hints = new OwnerHints();
  let newest: { message: Buffer; news: FloorNews } | undefined;

  // Parses each message once for all listeners of an event: after a pause a message has thousands of channels.
  function readNews(message: Buffer): FloorNews {
    if (newest?.message !== message) newest = { message, news: parseFloorNews(message.toString()) };
    return newest.news;
  }

  async function eventOf(channelId: string): Promise<string> {
    const eventId = await index.getChannelEvent(channelId);
    if (eventId !== undefined) return eventId;
    throw unknownChannel(channelId);
  }

  // Runs a script of the channel's event. Runs it again if the channel has moved meanwhile, or if the event's
  // scripts do not know the owner.
  async function runForChannel(channelId: string, name: "start-ptt" | "renew-ptt" | "stop-ptt", request: object) {
    const args = [JSON.stringify(request)];
    for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
      const hint = hints.of(channelId);
      const eventId = hint ?? (await eventOf(channelId));
      const script = { channelIds: [channelId], args };
      const result = (await scripts.runForChannels(eventId, name, script)) as unknown[];
      if (result[0] !== "moved") {
        // If the script itself reads the deciding hash, it detects an outdated hint.
        if (hint === undefined && !scripts.ownersApart) hints.note(channelId, eventId);
        return { eventId, result };
      }
      hints.forget(channelId);
      if (hint === undefined) await index.settle(eventId, channelId);
    }
    throw contended(`channel "${channelId}"`);
  }

  async function readSpeakers(eventId: string, channelIds: readonly string[] = [], isForced = false) {
    const args = [JSON.stringify(channelIds), isForced ? 1 : 0];
    return scripts.mending(eventId, async () => {
      const answer = (await scripts.runFor(eventId, "read-speakers", [], args)) as SpeakersAnswer;
      const [pause, epoch, version, timeMs, queues, speakers] = answer;
      return {
        picture: { epoch, version, timeMs },
        speakers: parseSpeakers(JSON.parse(speakers), timeMs),
        waiting: parseQueues(queues, timeMs),
        pause: parseJson(pause) as SpeakerPause | undefined,
      };
    });
  }

  return {
    async startPtt(request): Promise<StartPttOutcome> {
      const outcome = await runForChannel(request.channelId, "start-ptt", request);
      const [status, ...result] = outcome.result;
      if (status === "granted") {
        const [leaseId, speaker, talkUntilMs] = result as [number, string, number];
        return { granted: true, eventId: outcome.eventId, leaseId, speaker: JSON.parse(speaker), talkUntilMs };
      }
      if (status === "queued") {
        const [holder, queueId, position, waiting, expiresAtMs] = result as [string, ...number[]];
        const place = { queueId, position, waiting, expiresAtMs } as QueuePlace;
        return { granted: false, eventId: outcome.eventId, place, holder: JSON.parse(holder) };
      }
      const [cause, holder, pause, ban = null] = result as Denial;
      return { granted: false, cause, holder: parseJson(holder), pause: parseJson(pause), ban: parseJson(ban) };
    },

    async renewPtt(channelId, leaseId, ignoresMembership = false) {
      const { result } = await runForChannel(channelId, "renew-ptt", { channelId, leaseId, ignoresMembership });
      if (result[0] === "renewed") return result[1] as number;
      throw staleLease(channelId);
    },

    async stopPtt(channelId, holder) {
      const { result } = await runForChannel(channelId, "stop-ptt", { channelId, ...holder });
      if (result[0] === "released") return;
      throw "leaseId" in holder ? staleLease(channelId) : notTheHolder(channelId);
    },

    async getChannelState(channelId) {
      const eventId = await eventOf(channelId);
      const { speakers } = await readSpeakers(eventId, [channelId], true);
      return { eventId, holder: speakers[0] };
    },

    async getActiveSpeakers(eventId) {
      const { speakers, waiting, pause } = await readSpeakers(eventId);
      return { speakers, ...(waiting.length > 0 && { waiting }), pause };
    },

    async readFloors(eventId, channelIds) {
      const { picture, speakers } = await readSpeakers(eventId, channelIds);
      return { ...picture, speakers };
    },

    async pauseAllSpeakers(request): Promise<PauseOutcome> {
      const { eventId, durationMs, requestId, replacePauseId = "", ...rest } = request;
      await scripts.register(eventId);
      const pause = JSON.stringify({
        pauseId: randomUUID(),
        reason: rest.reason,
        actor: rest.actor,
        exemptUserIds: rest.exemptUserIds,
        broadcaster: rest.broadcaster,
      });
      const keys = [eventKeys(eventId).pauseAnswer(requestId)];
      const hasId = requestId === "" ? 0 : 1;
      const digest = pauseDigest(request);
      const args = [pause.slice(1), durationMs, hasId, PAUSE_ANSWER_TTL_MS, replacePauseId, digest];
      const writes = urgent.standing(eventId);
      const pauseAll = async (hasAllChannels: boolean) => {
        const allArgs = [...args, hasAllChannels ? 1 : 0];
        return (await writes.scripts.runFor(eventId, "pause-all-speakers", keys, allArgs)) as unknown[];
      };
      // In the Cluster layout channel ownership lives in another slot, so the script cannot check it.
      let answer = scripts.ownersApart ? ["behind"] : await pauseAll(false);
      if (answer[0] === "behind") {
        await index.adoptForeignChannels(eventId);
        answer = await pauseAll(true);
      }
      const [status, ...result] = answer;
      if (status === "reused") throw requestIdReused(requestId);
      if (status === "banned") throw bannedBroadcaster(JSON.parse(result[0] as string));
      if (status === "standing") throw alreadyPaused(eventId, JSON.parse(result[0] as string));
      const [replicas, entry] = result as [number, string];
      const {
        pause: paused,
        cut,
        replacedPauseId,
        revision,
        epoch,
      } = parseLogEntry(entry) as SpeakersPaused & LogEntry;
      const position = { revision, epoch, replicated: await writes.awaitReplication(eventId, replicas) };
      return { pause: paused, cut, ...(replacedPauseId !== undefined && { replacedPauseId }), ...position };
    },

    async resumeSpeakers(eventId, pauseId, actor) {
      const writes = urgent.standing(eventId);
      const [status, ...result] = (await writes.scripts.runFor(
        eventId,
        "resume-speakers",
        [],
        [pauseId, actor],
      )) as unknown[];
      if (status === "resumed") {
        const [epoch, revision, replicas] = result as [string, number, number];
        return { revision, epoch, replicated: await writes.awaitReplication(eventId, replicas) };
      }
      const standing: SpeakerPause | undefined = parseJson(result[0] as string | null);
      throw pauseNotStanding(eventId, pauseId, standing);
    },

    async upholdPause(eventId) {
      // Routers may add a channel and take its floor without a message.
      const upheld = scripts.runFor(eventId, "uphold-pause", [], [UPHOLD_GAP_MS]);
      const [stands] = await Promise.all([upheld, index.adoptNewForeignChannels(eventId)]);
      return stands === 1;
    },

    async listPausedEvents() {
      const eventIds = await attempt(commands.smembers(EVENTS));
      const pauses = await Promise.all(
        eventIds.map((eventId) =>
          scripts.mending(eventId, () => attempt(commands.hmget(eventKeys(eventId).meta, "pause", "ended"))),
        ),
      );
      return eventIds.filter((_, index) => pauses[index]?.some((field) => field !== null));
    },

    async endLeases(eventId, channelIds = []): Promise<DueLook[]> {
      const looks = (await scripts.runFor(eventId, "end-leases", [], [JSON.stringify(channelIds)])) as (
        | string
        | number
      )[];
      return Array.from({ length: looks.length / 2 }, (_, index) => ({
        channelId: looks[2 * index] as string,
        remainingMs: looks[2 * index + 1] as number,
      }));
    },

    followFloor(eventId, listener): Promise<Unsubscribe> {
      return subscriber.subscribe(eventKeys(eventId).floor, (message) => {
        listener(readNews(message));
      });
    },

    followChannel(channelId, listener): Promise<Unsubscribe> {
      return subscriber.subscribe(stateChannel(channelId), (message) => {
        const state: PublishedState = JSON.parse(message.toString());
        const { currentSpeaker, speakerName, lockTimestamp } = state;
        if (currentSpeaker === null) listener(undefined);
        else {
          const userId = String(currentSpeaker);
          listener({ userId, userName: speakerName ?? userId, startedAtMs: lockTimestamp ?? 0 });
        }
      });
    },
  };
}
