import { setTimeout as sleep } from "node:timers/promises";
import { credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { Redis } from "ioredis";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { GrpcClient } from "../../../src/lib/grpcService.js";
import { parseGrpcTarget } from "../../../src/router/client/grpcTarget.js";
import { openSync } from "../../support/clients/syncClient.js";
import { type Answer, type Path, textOf, type Write } from "../record/history.js";
import { ownerOf } from "./world.js";

const { setUserChannels } = PermissionService.method;
const UPDATES = "vp:membership_updates";
/** How long a control plane waits for an answer, ms. */
export const ANSWER_TIMEOUT_MS = 2_500;
const REPEAT_MS = 100;

/** The assigned channels of each user of an event. */
export type Assignment = ReadonlyMap<string, readonly string[]>;

/** One attempt. `assignment` is called each time, because a retry must differ from the attempt that it repeats. */
export interface Order {
  path: Path;
  eventId: string;
  assign(attempt: number): Assignment;
}

/**
 * A simulated control plane. It recomputes a user's set and publishes it like the real one, or calls a replica. It
 * retries a failed write until the write succeeds.
 */
export class ControlPlane {
  readonly #redis: Redis;
  readonly #grpc: GrpcClient;
  readonly #note: (write: Omit<Write, "id">) => Write;
  readonly #isKeyless: (userId: string) => boolean;
  #isClosed = false;

  /**
   * @param redis where it publishes; closed with the control plane
   * @param address of all replicas
   * @param note returns the id of a write
   * @param isKeyless true if it keeps no set of a user's channels
   */
  constructor(
    redis: Redis,
    address: string,
    note: (write: Omit<Write, "id">) => Write,
    isKeyless: (userId: string) => boolean,
  ) {
    this.#note = note;
    this.#isKeyless = isKeyless;
    this.#redis = redis;
    this.#redis.on("error", () => undefined);
    this.#grpc = new GrpcClient(parseGrpcTarget(address), credentials.createInsecure(), {
      "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
      "grpc.initial_reconnect_backoff_ms": 200,
      "grpc.max_reconnect_backoff_ms": 1_000,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** Resolves when the write is done. */
  async fulfil({ path, eventId, assign }: Order): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const assignment = assign(attempt);
      // Channels of other events must be left out.
      const ownOf = (channelIds: readonly string[]) => textOf(channelIds.filter((id) => ownerOf(id) === eventId));
      const channelsOf = new Map([...assignment].map(([userId, channelIds]) => [userId, ownOf(channelIds)]));
      const write = this.#note({ path, eventId, channelsOf });
      write.answer = await this.#send(write, assignment);
      if (write.answer.ok || this.#isClosed) return;
      await sleep(REPEAT_MS);
    }
  }

  /** Publishes any text. */
  async publish(message: string | Buffer): Promise<void> {
    await this.#redis.publish(UPDATES, message);
  }

  /** Gives up all unfinished writes. */
  close(): void {
    this.#isClosed = true;
    this.#redis.disconnect();
    this.#grpc.close();
  }

  async #send(write: Write, assignment: Assignment): Promise<Answer> {
    const [first] = assignment;
    if (first === undefined) throw new Error("a write must name a user");
    try {
      const done =
        write.path === "sync"
          ? await this.#sync(write, assignment)
          : write.path === "rpc"
            ? await this.#call(write, ...first)
            : await this.#recompute(write, ...first);
      return { ok: true, at: performance.now(), ...done };
    } catch (error) {
      const { code, message } = error as Partial<ServiceError> & Error;
      return { ok: false, at: performance.now(), code: code === undefined ? message : (status[code] ?? `${code}`) };
    }
  }

  async #recompute({ id, eventId }: Write, userId: string, channelIds: readonly string[]) {
    if (!this.#isKeyless(userId)) {
      const key = `u.${userId}.g`;
      await this.#redis.del(key);
      if (channelIds.length > 0) await this.#redis.sadd(key, ...channelIds);
    }
    await this.#redis.publish(UPDATES, JSON.stringify({ eventId, userId, channelIds, action: id }));
    return { revision: 0, isChange: true };
  }

  async #call({ id, eventId }: Write, userId: string, channelIds: readonly string[]) {
    const request = { eventId, userId, channelIds: [...channelIds] };
    const options = { deadline: Date.now() + ANSWER_TIMEOUT_MS, metadata: actorOf(id) };
    const { revision, added, removed } = await this.#grpc.unary(setUserChannels, request, options);
    return { revision: Number(revision), isChange: added.length + removed.length > 0 };
  }

  async #sync({ id, eventId }: Write, assignment: Assignment) {
    const users = [...assignment].map(([userId, channelIds]) => ({ userId, channelIds: [...channelIds] }));
    const options = { deadline: Date.now() + ANSWER_TIMEOUT_MS, metadata: actorOf(id) };
    const stream = openSync(this.#grpc, options);
    stream.write({ eventId, users });
    stream.end();
    const { revision, changedUsers } = await stream.answer;
    return { revision: Number(revision), isChange: changedUsers > 0 };
  }
}

function actorOf(writeId: string): Metadata {
  const metadata = new Metadata();
  metadata.set("squelch-actor", writeId);
  return metadata;
}
