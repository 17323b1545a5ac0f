import { setTimeout as sleep } from "node:timers/promises";
import { credentials } from "@grpc/grpc-js";
import { Redis } from "ioredis";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { GrpcClient } from "../../../src/lib/grpcService.js";
import { parseGrpcTarget } from "../../../src/router/client/grpcTarget.js";

const CHANNELS = 5;
const CALL_DEADLINE_MS = 3_000;

export interface SteadyLoadOptions {
  redisUrl: string;
  /** The addresses of all replicas. */
  addresses: readonly string[];
  eventIds: readonly string[];
  /** The number of users of each event that PUBLISH assigns. RPC assigns as many others. */
  users: number;
  /** The highest rate of updates per second on either path. Each update waits for the one before. */
  updatesPerSecond: number;
}

/** A control plane that assigns users continuously, half by PUBLISH and half over RPC. */
export interface SteadyLoad {
  /** The latest channels of each user, by event and user. */
  readonly assigned: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;
  readonly updates: number;
  /** Stops the load. Resolves when every update is accepted; rejects if one was rejected. Idempotent. */
  stop(): Promise<void>;
}

/** Starts the load. A call that a replica could not answer is retried until one does, as a control plane would. */
export function startSteadyLoad(options: SteadyLoadOptions): SteadyLoad {
  const { redisUrl, addresses, eventIds, users, updatesPerSecond } = options;
  const redis = new Redis(redisUrl);
  const client = new GrpcClient(parseGrpcTarget(addresses.join(",")), credentials.createInsecure(), {
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 500,
  });
  const assigned = new Map(eventIds.map((eventId) => [eventId, new Map<string, string[]>()]));
  let updates = 0;

  // Each user is assigned other channels than before, so that every update is a change.
  const next = (path: string, turn: number) => {
    const eventId = eventIds[turn % eventIds.length] as string;
    const userTurn = Math.floor(turn / eventIds.length);
    const userId = `${path}-${userTurn % users}`;
    const first = Math.floor(userTurn / users);
    const channelIds = [first, first + 1].map((index) => `${eventId}-${index % CHANNELS}`).sort();
    assigned.get(eventId)?.set(userId, channelIds);
    updates++;
    return { eventId, userId, channelIds, action: "load" };
  };
  const publish = async (turn: number) => {
    await redis.publish("vp:membership_updates", JSON.stringify(next("publish", turn)));
  };
  const call = async (turn: number) => {
    const request = next("rpc", turn);
    for (;;) {
      try {
        const deadline = Date.now() + CALL_DEADLINE_MS;
        await client.unary(PermissionService.method.setUserChannels, request, { deadline });
        return;
      } catch (error) {
        if (!/UNAVAILABLE|DEADLINE_EXCEEDED|CANCELLED/.test(String(error))) throw error;
      }
    }
  };

  // One after another, so that two updates of one user never run at the same time.
  let isStopped = false;
  const repeat = async (update: (turn: number) => Promise<void>) => {
    for (let turn = 0; !isStopped; turn++) {
      await update(turn);
      await sleep(1_000 / updatesPerSecond);
    }
  };
  const work = Promise.allSettled([repeat(publish), repeat(call)]);
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    isStopped = true;
    const failures = (await work).filter((outcome) => outcome.status === "rejected");
    client.close();
    redis.disconnect();
    if (failures[0] !== undefined) throw failures[0].reason;
  };
  return {
    assigned,
    get updates() {
      return updates;
    },
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}
