import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { FLOOR_PRIORITIES } from "../../../src/domain/floor.js";
import { createRedisEngine } from "../../../src/engine/redis/engine.js";
import { parseFloorNews } from "../../../src/engine/redis/stores/floorStore.js";
import { parsePublishedEntries } from "../../../src/engine/redis/stores/logEntry.js";
import { createLogger } from "../../../src/lib/logger.js";
import { Hub } from "../../../src/server/feed/hub.js";
import { assign, makeEvent, pause, readWholeLog, untilRunOut } from "../../contract/fixtures.js";
import { waitFor } from "../../support/waitFor.js";
import type { FloorHistory, Grant } from "./floorLaws.js";
import { noteGrant, orStale } from "./floorNotes.js";
import { noteServed, playWaiter } from "./floorWaiters.js";

const logger = createLogger("test", "silent");
const USERS = ["u0", "u1", "u2"];
const SESSIONS_PER_USER = 2;
const LEGACY_ROUTERS = 2;
const DISPATCHERS = ["dora", "carl"];
/** The number of sessions that request the floor and wait at the same time. */
const WAITERS = 4;
/** Names the replicas' subscriptions, so that a fault can hit them. */
const SUBSCRIPTIONS = "squelch-subscriptions";

export interface FloorGame {
  random: () => number;
  durationMs: number;
  /** If false, no replica keeps leases, so the next script that finds an expired lease has to publish its end. */
  isWatched: boolean;
}

/**
 * Lets sessions on two replicas, some of which wait, dispatchers and legacy routers at the floors of one event for a while, breaks the
 * replicas' subscriptions now and then, and returns the record when all leases have ended. The scripts are read
 * before it returns.
 */
export async function playFloors(url: string, { random, durationMs, isWatched }: FloorGame): Promise<FloorHistory> {
  const history: FloorHistory = {
    ...{ grants: [], renewals: [], waits: [], locks: [], pauses: [], deletions: [], published: [] },
  };
  const engines = [0, 1].map(() => createRedisEngine({ url, logger }));
  const hubs = engines.map((engine) => new Hub(engine, logger));
  const raw = new Redis(url);
  const listener = raw.duplicate();
  try {
    for (const engine of engines) await engine.start();
    const [engine] = engines as [(typeof engines)[0]];
    await waitFor(() => engines.every((one) => one.feedHealth().healthy));
    const { eventId, channelIds } = await makeEvent(engine, USERS, 2);
    listener.on("message", (name: string, message) => {
      history.published.push(...(name.endsWith(":floor") ? [parseFloorNews(message)] : parsePublishedEntries(message)));
    });
    await listener.subscribe(`squelch:{${eventId}}:changes`, `squelch:{${eventId}}:floor`);
    if (isWatched) for (const hub of hubs) await hub.keepWhileBusy(eventId);

    const endsAt = performance.now() + durationMs;
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
    const repeat = async (maxPauseMs: number, act: () => Promise<void>) => {
      while (performance.now() < endsAt) {
        await act();
        await sleep(random() * maxPauseMs);
      }
    };

    const sessions = USERS.flatMap((userId) =>
      Array.from({ length: SESSIONS_PER_USER }, (_, index) => ({ userId, sessionId: `${userId}-${index}` })),
    ).map(({ userId, sessionId }) => {
      let held: Grant | undefined;
      return repeat(40, async () => {
        const replica = pick(engines);
        if (held === undefined) {
          const channelId = pick(channelIds);
          const request = { channelId, userId, userName: sessionId, sessionId, actor: sessionId };
          const terms = { talkTimeMs: 100 + random() * 500, leaseTimeMs: 60 + random() * 150 };
          const [talkTimeMs, leaseTimeMs] = [Math.round(terms.talkTimeMs), Math.round(terms.leaseTimeMs)];
          const priority = random() < 0.7 ? "normal" : pick(FLOOR_PRIORITIES);
          const outcome = await replica.startPtt({ ...request, priority, talkTimeMs, leaseTimeMs });
          if (outcome.granted) held = noteGrant(history, channelId, outcome);
          return;
        }
        const next = pick(["renews", "renews", "stops", "stops", "goes without a word"] as const);
        if (next === "renews") {
          const isRevoked = random() < 0.2;
          if (isRevoked) {
            await assign(pick(engines), eventId, userId, []);
            // Times are compared by the millisecond.
            await sleep(2);
          }
          const askedAtMs = Date.now();
          const expiresAtMs = await orStale(replica.renewPtt(held.channelId, held.leaseId));
          const answeredAtMs = Date.now();
          if (isRevoked) await assign(pick(engines), eventId, userId, channelIds);
          if (expiresAtMs === undefined) {
            held = undefined;
          } else {
            held.expiresAtMs = Math.max(held.expiresAtMs, expiresAtMs);
            history.renewals.push({ grant: held, askedAtMs, answeredAtMs });
            if (held.releases > 0) held.lateRenewals += 1;
          }
        } else if (next === "stops") {
          const by = random() < 0.5 ? { leaseId: held.leaseId } : { userId, sessionId };
          const grant = held;
          const isReleased = await orStale(replica.stopPtt(grant.channelId, by).then(() => true));
          if (isReleased) grant.releases += 1;
          // Some sessions retry with the old lease.
          if (random() < 0.7) held = undefined;
        } else {
          held = undefined;
        }
      });
    });

    const waiters = Array.from({ length: WAITERS }, (_, index) => {
      let count = 0;
      return repeat(30, () => {
        const [userId, sessionId] = [pick(USERS), `waiter-${index}-${count++}`];
        const channelId = pick(channelIds);
        return playWaiter({ history, channelId, userId, sessionId, random, pickReplica: () => pick(engines) });
      });
    });

    const legacy = Array.from({ length: LEGACY_ROUTERS }, (_, index) =>
      repeat(60, async () => {
        const [channelId, userId] = [pick(channelIds), `legacy-${index}`];
        const key = `channel:${channelId}:speaker`;
        const ttlMs = 50 + Math.round(random() * 100);
        const value = JSON.stringify({ userId, userName: userId, timestamp: Date.now() });
        const taken = await raw.multi().set(key, value, "PX", ttlMs, "NX").time().exec();
        if (taken?.[0]?.[1] !== "OK") return;
        const takenAtMs = toMs(taken[1]?.[1]);
        // The end was calculated after the lock was set.
        const lock = { channelId, userId, takenAtMs, goneAtMs: takenAtMs + ttlMs - 2 };
        history.locks.push(lock);
        await sleep(random() * 120);
        if ((await raw.get(key))?.includes(`"${userId}"`) !== true) return;
        const deleted = await raw.multi().time().del(key).exec();
        const atMs = toMs(deleted?.[0]?.[1]);
        history.deletions.push({ channelId, atMs });
        lock.goneAtMs = Math.min(lock.goneAtMs, atMs);
      }),
    );

    // Each dispatcher may know the other's pause and replace it.
    let newestPauseId: string | undefined;
    const dispatchers = DISPATCHERS.map((userId) =>
      repeat(400, async () => {
        const broadcaster = random() < 0.7 ? { userId, userName: userId } : undefined;
        const replacePauseId = random() < 0.5 ? newestPauseId : undefined;
        const exemptUserIds = ["u0", ...(random() < 0.5 ? ["u1"] : [])];
        const request = { durationMs: 200, exemptUserIds, broadcaster, replacePauseId };
        const paused = await orStale(pause(pick(engines), eventId, request));
        if (paused === undefined) return;
        const { pauseId } = paused.pause;
        newestPauseId = pauseId;
        history.pauses.push({ pauseId, replacePauseId });
        await sleep(random() * 150);
        if (random() < 0.5) await orStale(pick(engines).resumeSpeakers(eventId, pauseId, userId));
        else await untilRunOut(engine, eventId);
      }),
    );

    const faults = repeat(1_500, async () => {
      const clients = String(await raw.call("CLIENT", "LIST"));
      const lines = clients.split("\n").filter((line) => line.includes(`name=${SUBSCRIPTIONS}`));
      const id = /\bid=(\d+)/.exec(lines.length === 0 ? "" : pick(lines))?.[1];
      if (id !== undefined) await raw.call("CLIENT", "KILL", "ID", id);
    });

    await Promise.all([...sessions, ...waiters, ...legacy, ...dispatchers, faults]);
    await untilRunOut(engine, eventId);
    await waitFor(async () => (await engine.endLeases(eventId)).length === 0, { message: "all leases to end" });
    const last = (await readWholeLog(engine, eventId)).at(-1);
    await engine.setChannelEvent(`${eventId}-${randomUUID()}`, eventId, "test", false);
    await waitFor(() => history.published.some((one) => "revision" in one && one.revision === last?.revision));
    noteServed(history);
    return history;
  } finally {
    for (const hub of hubs) hub.close();
    for (const engine of engines) await engine.close();
    listener.disconnect();
    raw.disconnect();
  }
}

function toMs(time: unknown): number {
  const [seconds, microseconds] = time as [string, string];
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
}
