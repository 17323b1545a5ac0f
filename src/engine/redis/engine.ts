import { DEFAULT_AUDIT_LENGTH } from "../../domain/audit.js";
import { SquelchError } from "../../domain/errors.js";
import { DEFAULT_EVENT_LIMITS, type EventLimits } from "../../domain/eventLimits.js";
import type { Engine, FeedHealth } from "../../domain/ports/engine.js";
import type { Unsubscribe } from "../../domain/ports/unsubscribe.js";
import type { Logger } from "../../lib/logger.js";
import { createChannelIndex } from "./channels/channelIndex.js";
import { ChannelOwners } from "./channels/channelOwners.js";
import { createClusterMoves } from "./channels/clusterMoves.js";
import { createLegacyMoves } from "./channels/legacyMoves.js";
import { masters } from "./connection/openConnection.js";
import type { Subscriber } from "./connection/subscriber.js";
import { type ControlPlane, createControlPlane } from "./ingest/controlPlane.js";
import { type LayoutName, layouts, NEW_EVENTS, PAUSES } from "./keys.js";
import { RedisLink } from "./redisLink.js";
import { ConfirmedWrites } from "./scripts/confirmedWrites.js";
import type { NewEpochReason } from "./scripts/damage.js";
import { EventScripts } from "./scripts/eventScripts.js";
import type { ScriptObserver } from "./scripts/scripts.js";
import { createAppliedStore } from "./stores/appliedStore.js";
import { createAuditStore } from "./stores/auditStore.js";
import { createBanStore } from "./stores/banStore.js";
import { createFleetStore } from "./stores/fleetStore.js";
import { createFloorStore } from "./stores/floorStore.js";
import { createLogStore } from "./stores/logStore.js";
import { createMembershipStore } from "./stores/membershipStore.js";
import { createPlainLocks, type PlainLocks } from "./stores/plainLocks.js";

/** The interval at which `channel:events` is compared with the channel indexes of the events. */
const ADOPTION_INTERVAL_MS = 10_000;

export interface RedisEngineOptions {
  /** URL of the Redis that holds the state, in the format that `parseRedisUrl` accepts. */
  url: string;
  /**
   * URL of the Redis to which the control plane publishes: a single server or Sentinel. Default: `url`, unless it is a
   * Cluster.
   */
  ingestUrl?: string | undefined;
  /** The naming scheme of the keys. Default: legacy, which does not work with a Cluster. */
  layout?: LayoutName;
  logger: Logger;
  /** True if routers write the floor to Redis themselves, so that a pause must block their writes too. Default true. */
  legacyRouters?: boolean;
  /** The approximate number of entries that the audit trail keeps. Default 10,000. */
  auditLength?: number;
  /** The limits of each event. Default: {@link DEFAULT_EVENT_LIMITS}. */
  limits?: EventLimits;
  /** Receives the result of each script run. */
  observeScript?: ScriptObserver;
  /** Receives why a script of this process has begun a new epoch of an event. */
  observeNewEpoch?: (reason: NewEpochReason) => void;
}

/** The updates that the control plane sends through Redis. */
export interface IngestSource {
  readonly subscriber: Subscriber;
  readonly controlPlane: ControlPlane;
  /** True while the Redis of the control plane rejects this replica's writes, as far as it knows. */
  readonly isRefused: boolean;
  /** Calls back when the state may have lost writes although no update was missed: a reconcile then compares them. */
  onStateDoubtful(listener: () => void): Unsubscribe;
}

/** The write errors that this replica receives from one Redis. */
export interface WriteRefusals {
  redis: "state" | "ingest";
  isRefused: boolean;
  counts: ReadonlyMap<string, number>;
}

/** An engine on Redis, and the state of its connections. */
export type RedisEngine = Engine & {
  /** Delivers the control plane's updates. Undefined if this engine does not receive them. */
  readonly ingest: IngestSource | undefined;
  /** The floors of channels that no event owns. Undefined in the Cluster layout, where such a channel has no floor. */
  readonly locks: PlainLocks | undefined;
  /** The subscribers: one, or two if the ingest uses its own Redis. */
  readonly subscribers: readonly Subscriber[];
  /**
   * Whether each connection is ready, by its purpose. Names of connections to a separate ingest Redis begin with
   * `ingest-`.
   */
  connectionStates(): ReadonlyMap<string, boolean>;
  /** For each Redis, whether it rejects this replica's writes now, and how often that began, by error code. */
  refusals(): readonly WriteRefusals[];
};

/**
 * Creates an engine whose state, log and floor are in a Redis that many replicas share.
 *
 * @throws SquelchError `invalidArgument` for URLs that are not valid or cannot be combined
 */
export function createRedisEngine(options: RedisEngineOptions): RedisEngine {
  const {
    url,
    ingestUrl,
    layout = "legacy",
    logger,
    legacyRouters = true,
    observeScript: countScript = () => undefined,
    observeNewEpoch = () => undefined,
    auditLength = DEFAULT_AUDIT_LENGTH,
    limits = DEFAULT_EVENT_LIMITS,
  } = options;
  const observeScript: ScriptObserver = (name, seconds, hasFailed, error) => {
    countScript(name, seconds, hasFailed, error);
    if (hasFailed) state.probe.suspect(error);
  };
  const state: RedisLink = new RedisLink(url, observeScript, logger, true);
  const { subscriber } = state;
  const { commands, topology } = state.connections;
  if (topology === "cluster" && layout !== "cluster") {
    throw new SquelchError("invalidArgument", "redisLayout: must be cluster if redisUrl names a Cluster");
  }
  const isApart = ingestUrl !== undefined && ingestUrl !== url;
  const source = isApart
    ? new RedisLink(ingestUrl, countScript, logger.child({ redis: "ingest" }), false, "ingest-")
    : state;
  if (isApart && source.connections.topology === "cluster") {
    throw new SquelchError("invalidArgument", "ingestRedisUrl: must name a standalone Redis or Sentinel");
  }
  const isHeard = source.connections.topology !== "cluster";
  const links = isApart ? [state, source] : [state];

  const owners = layout === "cluster" ? new ChannelOwners(commands, state.run) : undefined;
  const scripts: EventScripts = new EventScripts(commands, {
    layout: layouts[layout],
    learn: owners && ((...channels) => createClusterMoves(scripts, owners).learn(...channels)),
    legacyRouters,
    limits,
    newestTicket: () => source.tickets.newest,
    observeScript,
    observeNewEpoch: (eventId, reason, deleted) => noteNewEpoch(eventId, reason, deleted),
  });
  const overCommands = new ConfirmedWrites(commands, scripts, logger);
  const confirmed = new ConfirmedWrites(state.connections.confirmed, scripts, logger, [overCommands]);
  const urgent = new ConfirmedWrites(state.connections.urgent, scripts, logger, [overCommands, confirmed]);
  const moves = owners === undefined ? createLegacyMoves(commands, scripts) : createClusterMoves(scripts, owners);
  const index = createChannelIndex(commands, scripts, moves);
  // Scripts take tickets themselves only if the counter is in the same Redis and no other process counts.
  const areTicketsApart = isHeard && (isApart || layout === "cluster");
  const takeTicket = areTicketsApart ? (atLeast: number) => source.tickets.take(atLeast) : undefined;
  const doubtListeners = new Set<() => void>();
  let adoption: NodeJS.Timeout | undefined;

  // A Redis that evicts keys would drop permissions and pauses silently.
  const checkEviction = async (link: RedisLink) => {
    try {
      for (const server of masters(link.connections.commands)) {
        const policy = /maxmemory_policy:(\S+)/.exec(await server.info("memory"))?.[1];
        if (policy === "noeviction") continue;
        logger.warn({ policy }, "redis may evict keys; set maxmemory-policy to noeviction");
      }
    } catch (error) {
      logger.warn({ err: error }, "maxmemory-policy could not be read from redis");
    }
  };

  const beginEpoch = (eventId: string) => {
    if (scripts.noteEpoch(eventId) && isApart) doubt();
    scripts
      .registerAgain(eventId)
      .catch((error: unknown) =>
        logger.warn({ err: error, eventId }, "event could not be added to the list of events"),
      );
  };

  // All but a fail-over or a restart, after which the updates are known to be missed, may have lost memberships alone.
  const noteNewEpoch = (eventId: string, reason: NewEpochReason, deleted: readonly string[]) => {
    observeNewEpoch(reason);
    if (reason === "redis_replaced") {
      logger.info({ eventId, reason }, "began a new epoch of an event");
      return;
    }
    const details = { eventId, reason, ...(deleted.length > 0 && { deleted }) };
    logger.warn(details, "began a new epoch of an event, its keys did not fit together");
    doubt();
  };

  const doubt = () => {
    for (const listener of doubtListeners) listener();
  };

  const adoptForeignChannels = () => {
    index
      .adoptForeignChannels()
      .catch((error: unknown) => logger.debug({ err: error }, "channels could not be compared with channel:events"));
  };

  return {
    ...createLogStore(commands, scripts, subscriber),
    ...createMembershipStore(scripts, confirmed, takeTicket),
    ...index,
    ...createFloorStore(commands, scripts, urgent, index, subscriber),
    ...createBanStore(scripts, confirmed, subscriber),
    ...createAppliedStore(state.run, subscriber),
    ...createFleetStore(state.run),
    ...createAuditStore(commands, auditLength),
    hasLegacyRouters: legacyRouters,
    locks: layout === "legacy" ? createPlainLocks(commands, state.run) : undefined,

    ingest: isHeard
      ? {
          subscriber: source.subscriber,
          get isRefused() {
            return source.probe.isRefused;
          },
          controlPlane: mendingControlPlane(createControlPlane(commands, source), scripts),
          onStateDoubtful(listener) {
            doubtListeners.add(listener);
            return () => doubtListeners.delete(listener);
          },
        }
      : undefined,
    subscribers: links.map((link) => link.subscriber),
    connectionStates: () => new Map(links.flatMap((link) => [...link.connections.states()])),
    refusals: () =>
      links.map(({ probe: { isRefused, counts } }, index) => ({
        redis: index === 0 ? "state" : "ingest",
        isRefused,
        counts,
      })),

    async start() {
      for (const link of links) {
        link.connections.commands.on("ready", () => void checkEviction(link));
        // After each Redis that has rejected writes, missing work is repeated.
        link.probe.onAccepted(doubt);
      }
      subscriber.subscribeWhenConnected(NEW_EVENTS, (eventId) => beginEpoch(eventId.toString()));
      subscriber.listen({
        interrupted: () => {
          if (isApart) doubt();
        },
        restored: () => {
          scripts.forgetRegistered();
          adoptForeignChannels();
        },
      });
      adoption = setInterval(adoptForeignChannels, ADOPTION_INTERVAL_MS);
      await Promise.all(links.map((link) => link.start()));
    },

    async close() {
      clearInterval(adoption);
      for (const link of links) link.close();
    },

    feedHealth: () => worst(links.map((link) => link.health())),
    onFeedRestored(listener) {
      const stops = [subscriber.listen({ restored: listener }), state.probe.onAccepted(listener)];
      return () => {
        for (const stop of stops) stop();
      };
    },
    onPause: (listener) => subscriber.subscribeWhenConnected(PAUSES, (eventId) => listener(eventId.toString())),
  };
}

function mendingControlPlane(controlPlane: ControlPlane, scripts: EventScripts): ControlPlane {
  return {
    ...controlPlane,
    readEntries: (eventId, userIds) => scripts.mending(eventId, () => controlPlane.readEntries(eventId, userIds)),
  };
}

function worst(healths: readonly FeedHealth[]): FeedHealth {
  const healthy = healths.every((health) => health.healthy);
  const ages = healths.flatMap(({ ageMs }) => ageMs ?? []);
  const problem = healths.find((health) => health.problem !== undefined)?.problem;
  const state = problem === undefined ? { healthy } : { healthy, problem };
  return ages.length < healths.length ? state : { ...state, ageMs: Math.max(...ages) };
}
