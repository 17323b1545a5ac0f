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
import { EventScripts } from "./scripts/eventScripts.js";
import type { ScriptObserver } from "./scripts/scripts.js";
import { createAppliedStore } from "./stores/appliedStore.js";
import { createAuditStore } from "./stores/auditStore.js";
import { createBanStore } from "./stores/banStore.js";
import { createFleetStore } from "./stores/fleetStore.js";
import { createFloorStore } from "./stores/floorStore.js";
import { createLogStore } from "./stores/logStore.js";
import { createMembershipStore } from "./stores/membershipStore.js";

/** How often `channel:events` is compared with the indexes of the events. */
const ADOPTION_INTERVAL_MS = 10_000;

export interface RedisEngineOptions {
  /** Of the Redis that holds the state, as `parseRedisUrl` takes it. */
  url: string;
  /** Of the one to which the control plane publishes, standalone or Sentinel. Default: `url`, unless it is a Cluster. */
  ingestUrl?: string | undefined;
  /** How keys are named. Default: legacy, which a Cluster cannot serve. */
  layout?: LayoutName;
  logger: Logger;
  /** Whether routers write the floor to Redis themselves, so that a pause must hold them back too. Default true. */
  legacyRouters?: boolean;
  /** About how many entries the audit trail keeps. Default 10,000. */
  auditLength?: number;
  /** Of each event. Default: {@link DEFAULT_EVENT_LIMITS}. */
  limits?: EventLimits;
  /** Receives each run of a script. */
  observeScript?: ScriptObserver;
}

/** What comes from the control plane through Redis. */
export interface IngestSource {
  readonly subscriber: Subscriber;
  readonly controlPlane: ControlPlane;
  /**
   * Calls back when the state may have lost writes, though no update was missed: where both are the same Redis, updates
   * are missed then as well.
   */
  onStateDoubtful(listener: () => void): Unsubscribe;
}

/** How one Redis treats the writes of this replica. */
export interface WriteRefusals {
  redis: "state" | "ingest";
  isRefused: boolean;
  counts: ReadonlyMap<string, number>;
}

/** An engine on Redis, with what is told of it. */
export type RedisEngine = Engine & {
  /** Where the control plane is heard; undefined where it is not. */
  readonly ingest: IngestSource | undefined;
  /** One, or two where the ingest is apart. */
  readonly subscribers: readonly Subscriber[];
  /** Whether each connection is ready, by what it is for; those of an ingest apart begin with `ingest-`. */
  connectionStates(): ReadonlyMap<string, boolean>;
  /** Whether each Redis refuses the writes of this replica now, and how often it began to, by code. */
  refusals(): readonly WriteRefusals[];
};

/**
 * State, log and floor in a Redis that many replicas share.
 *
 * @throws SquelchError `invalidArgument` for URLs that are none, or do not go together.
 */
export function createRedisEngine(options: RedisEngineOptions): RedisEngine {
  const {
    url,
    ingestUrl,
    layout = "legacy",
    logger,
    legacyRouters = true,
    observeScript: countScript = () => undefined,
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
    throw new SquelchError("invalidArgument", "redisLayout: must be cluster where redisUrl is that of a Cluster");
  }
  const isApart = ingestUrl !== undefined && ingestUrl !== url;
  const source = isApart
    ? new RedisLink(ingestUrl, countScript, logger.child({ redis: "ingest" }), false, "ingest-")
    : state;
  if (isApart && source.connections.topology === "cluster") {
    throw new SquelchError("invalidArgument", "ingestRedisUrl: must be of a standalone Redis or of Sentinel");
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
  });
  const overCommands = new ConfirmedWrites(commands, scripts, logger);
  const confirmed = new ConfirmedWrites(state.connections.confirmed, scripts, logger, [overCommands]);
  const urgent = new ConfirmedWrites(state.connections.urgent, scripts, logger, [overCommands, confirmed]);
  const moves = owners === undefined ? createLegacyMoves(commands, scripts) : createClusterMoves(scripts, owners);
  const index = createChannelIndex(commands, scripts, moves);
  // Scripts take tickets themselves where the counter is in reach of them, and where nobody else counts.
  const areTicketsApart = isHeard && (isApart || layout === "cluster");
  const takeTicket = areTicketsApart ? (atLeast: number) => source.tickets.take(atLeast) : undefined;
  const doubtListeners = new Set<() => void>();
  let adoption: NodeJS.Timeout | undefined;

  // A Redis that evicts would forget rights and pauses without a word.
  const checkEviction = async (link: RedisLink) => {
    try {
      for (const server of masters(link.connections.commands)) {
        const policy = /maxmemory_policy:(\S+)/.exec(await server.info("memory"))?.[1];
        if (policy === "noeviction") continue;
        logger.warn({ policy }, "redis may evict keys; set maxmemory-policy to noeviction");
      }
    } catch (error) {
      logger.warn({ err: error }, "redis could not be asked for its maxmemory-policy");
    }
  };

  const beginEpoch = (eventId: string) => {
    if (scripts.noteEpoch(eventId) && isApart) doubt();
    scripts.registerAgain(eventId).catch((error: unknown) => logger.warn({ err: error, eventId }, "event not listed"));
  };

  const doubt = () => {
    for (const listener of doubtListeners) listener();
  };

  const adoptForeignChannels = () => {
    index.adoptForeignChannels().catch((error: unknown) => logger.debug({ err: error }, "channels not compared"));
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

    ingest: isHeard
      ? {
          subscriber: source.subscriber,
          controlPlane: createControlPlane(commands, source),
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
        // What was refused meanwhile is made up for, by whichever path it came.
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

function worst(healths: readonly FeedHealth[]): FeedHealth {
  const healthy = healths.every((health) => health.healthy);
  const ages = healths.flatMap(({ ageMs }) => ageMs ?? []);
  const problem = healths.find((health) => health.problem !== undefined)?.problem;
  const state = problem === undefined ? { healthy } : { healthy, problem };
  return ages.length < healths.length ? state : { ...state, ageMs: Math.max(...ages) };
}
