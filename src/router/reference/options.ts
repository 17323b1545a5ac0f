import { SquelchError } from "../../domain/errors.js";
import {
  DURATION_MS,
  DURATION_MS_OR_0,
  type OptionRule,
  type OptionRules,
  oneOf,
  required,
  TEXT,
  TEXTS,
} from "../../domain/options.js";
import { PERMISSION_CLIENT_RULES, type PermissionClientOptions } from "../client/permissionClient.js";
import type { CutPolicy } from "../relay/permissionRelay.js";

/** The options of a reference router: those of {@link PermissionClient}, and those for its own clients. */
export interface ReferenceRouterOptions extends Omit<PermissionClientOptions, "routerId"> {
  /** The `host:port` on which it listens for clients. Port 0 picks a free port. */
  listen: string;
  /** The secret that verifies the tokens of clients (HS256). With several, each verifies, so that secrets can be rotated. */
  jwtSecret: string | readonly string[];
  /** How far ahead the end of a client's token may lie, ms. Default: 86,400,000 (24 h). */
  tokenHorizonMs?: number;
  /** The id of this router in the logs and metrics of the replicas. Default: a random id. */
  routerId?: string;
  /** When a speaking user who lost the channel is removed from it. Default: `afterTransmission`. */
  cut?: CutPolicy;
  /** With `afterTransmission`: how long a user who lost the channel may go on speaking, ms. Default: 5,000. */
  cutAfterMs?: number;
  /** The most TCP connections of clients, admitted or not. Default: 10,000. */
  maxSockets?: number;
  /** The most connections of one user in one event. Default: 20. */
  maxSocketsPerUser?: number;
  /** The most TCP connections from one IP address. Default: as `maxSockets`. */
  maxSocketsPerAddress?: number;
  /** The most channels that one connection may join. Default: no limit. */
  maxChannelsPerSocket?: number;
  /** The most channels that the connection of a dispatcher may join. Default: no limit. */
  maxChannelsPerDispatcher?: number;
  /** The most users that may join one channel through this router. Default: no limit. */
  maxUsersPerChannel?: number;
  /** An emergency broadcast whose button was held for less is refused as an accident, ms. Default: 2,000. */
  minHoldMs?: number;
}

const TEXT_OR_TEXTS: OptionRule = {
  expected: "a string or an array of strings",
  isValid: (value) => TEXT.isValid(value) || TEXTS.isValid(value),
};

const COUNT: OptionRule = {
  expected: "a whole number above 0",
  isValid: (value) => Number.isSafeInteger(value) && (value as number) > 0,
};

/** What the value of each option must be. */
export const REFERENCE_ROUTER_RULES: OptionRules<ReferenceRouterOptions> = {
  ...PERMISSION_CLIENT_RULES,
  routerId: TEXT,
  listen: required({ ...TEXT, expected: "host:port" }),
  jwtSecret: required(TEXT_OR_TEXTS),
  tokenHorizonMs: DURATION_MS,
  cut: oneOf("atOnce", "afterTransmission"),
  cutAfterMs: DURATION_MS,
  maxSockets: COUNT,
  maxSocketsPerUser: COUNT,
  maxSocketsPerAddress: COUNT,
  maxChannelsPerSocket: COUNT,
  maxChannelsPerDispatcher: COUNT,
  maxUsersPerChannel: COUNT,
  minHoldMs: DURATION_MS_OR_0,
};

/** The options with defaults that {@link PermissionClient} does not take. */
export type OwnOptions = Omit<ReferenceRouterOptions, keyof PermissionClientOptions | "listen" | "jwtSecret">;

/** Returns the options of the {@link PermissionClient} alone, because it refuses all others. */
export function clientOptionsOf(options: ReferenceRouterOptions): Omit<PermissionClientOptions, "routerId"> {
  const isOfClient = ([name]: [string, unknown]) => Object.hasOwn(PERMISSION_CLIENT_RULES, name);
  return Object.fromEntries(Object.entries(options).filter(isOfClient)) as Omit<PermissionClientOptions, "routerId">;
}

/** Returns the values of the options with defaults. */
export function withDefaults(options: OwnOptions): Required<OwnOptions> {
  const { maxSockets = 10_000 } = options;
  return {
    tokenHorizonMs: options.tokenHorizonMs ?? 24 * 60 * 60 * 1_000,
    cut: options.cut ?? "afterTransmission",
    cutAfterMs: options.cutAfterMs ?? 5_000,
    maxSockets,
    maxSocketsPerUser: options.maxSocketsPerUser ?? 20,
    maxSocketsPerAddress: options.maxSocketsPerAddress ?? maxSockets,
    maxChannelsPerSocket: options.maxChannelsPerSocket ?? Number.POSITIVE_INFINITY,
    maxChannelsPerDispatcher: options.maxChannelsPerDispatcher ?? Number.POSITIVE_INFINITY,
    maxUsersPerChannel: options.maxUsersPerChannel ?? Number.POSITIVE_INFINITY,
    minHoldMs: options.minHoldMs ?? 2_000,
  };
}

/**
 * Encodes the secrets that verify tokens of clients.
 *
 * @throws SquelchError `invalidArgument` if there is none, or one is empty
 */
export function parseSecrets(jwtSecret: string | readonly string[]): Uint8Array[] {
  const secrets = [jwtSecret].flat();
  if (secrets.length === 0 || secrets.includes("")) {
    throw new SquelchError("invalidArgument", "jwtSecret: must not be empty");
  }
  return secrets.map((secret) => new TextEncoder().encode(secret));
}
