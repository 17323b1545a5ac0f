import type { BlockList } from "node:net";
import { LOG_LEVELS, type LogLevel } from "../lib/logger.js";

export const REDIS_LAYOUTS = ["legacy", "cluster"] as const;

/** The options of a replica, parsed and checked. */
export interface ServerConfig {
  /** Undefined: the memory engine. */
  redisUrl: string | undefined;
  /** Undefined: the same as `redisUrl`, unless that is a Cluster. */
  ingestRedisUrl: string | undefined;
  redisLayout: (typeof REDIS_LAYOUTS)[number];
  grpcAddress: string;
  httpAddress: string;
  corsOrigins: readonly string[];
  logLevel: LogLevel;
  tokenSecret: string | undefined;
  tokenSecretFile: string | undefined;
  tokenJwks: string | undefined;
  tokenAudience: string;
  /** Undefined: tokens of any issuer are accepted if their key is valid. */
  tokenIssuer: string | undefined;
  revokedTokens: string | undefined;
  tlsCert: string | undefined;
  tlsKey: string | undefined;
  tlsClientCa: string | undefined;
  tlsClientCrl: string | undefined;
  insecure: boolean;
  legacyRouters: boolean;
  membershipCheck: boolean;
  maxTalkTimeMs: number;
  /** The most requests that may wait for the floor of a channel; 0 turns waiting off. */
  floorQueueLimit: number;
  drainTimeoutMs: number;
  maxStreams: number;
  maxCallsPerS: number;
  maxConnections: number;
  maxConnectionsPerAddress: number;
  /** The addresses to which that limit does not apply: loopback and the named proxies. */
  proxies: BlockList;
  maxUsersPerEvent: number;
  maxChannelsPerUser: number;
  logLength: number;
  auditFloor: boolean;
  auditLength: number;
  /** Undefined: calls are not traced. */
  otlpEndpoint: string | undefined;
}

/** One option. If the flag and the variable are both given, the flag is used. */
export interface ConfigOption {
  name: keyof ServerConfig;
  flag: string;
  env: string;
  description: string;
  defaultText: string;
}

/** Every option of `squelch serve`: its flag, its variable and its default. */
export const CONFIG_OPTIONS: readonly ConfigOption[] = [
  {
    name: "redisUrl",
    flag: "--redis-url",
    env: "SQUELCH_REDIS_URL",
    description: "URL of the Redis, Sentinel group or Cluster that all replicas share",
    defaultText: "none: all data is kept in the memory of this one process",
  },
  {
    name: "ingestRedisUrl",
    flag: "--ingest-redis-url",
    env: "SQUELCH_INGEST_REDIS_URL",
    description: "URL of the Redis or Sentinel group to which the control plane publishes",
    defaultText: "same as --redis-url; with a Cluster none: channels are assigned by RPC only",
  },
  {
    name: "redisLayout",
    flag: "--redis-layout",
    env: "SQUELCH_REDIS_LAYOUT",
    description: "names of the keys: legacy are the names that routers share; a Cluster needs cluster",
    defaultText: "legacy",
  },
  {
    name: "grpcAddress",
    flag: "--grpc-address",
    env: "SQUELCH_GRPC_ADDRESS",
    description: "host:port for routers and tools; port 0 picks a free one",
    defaultText: "127.0.0.1:50051",
  },
  {
    name: "httpAddress",
    flag: "--http-address",
    env: "SQUELCH_HTTP_ADDRESS",
    description: "host:port for Connect, gRPC-Web, the web console, health and metrics; port 0 picks a free one",
    defaultText: "127.0.0.1:8080",
  },
  {
    name: "corsOrigins",
    flag: "--cors-origins",
    env: "SQUELCH_CORS_ORIGINS",
    description: "origins of other web pages that may call over HTTP, separated by commas; * allows all",
    defaultText: "none",
  },
  {
    name: "logLevel",
    flag: "--log-level",
    env: "SQUELCH_LOG_LEVEL",
    description: `one of ${LOG_LEVELS.join(", ")}`,
    defaultText: "info",
  },
  {
    name: "tokenSecret",
    flag: "--token-secret",
    env: "SQUELCH_TOKEN_SECRET",
    description: "the secret that signs the tokens of callers (HS256), at least 32 bytes",
    defaultText: "none",
  },
  {
    name: "tokenSecretFile",
    flag: "--token-secret-file",
    env: "SQUELCH_TOKEN_SECRET_FILE",
    description: "file with secrets, one a line; a token may be signed with any of them; read again when it changes",
    defaultText: "none",
  },
  {
    name: "tokenJwks",
    flag: "--token-jwks",
    env: "SQUELCH_TOKEN_JWKS",
    description:
      "file or URL of the JWK set with the public keys that verify callers' tokens; a file is read again when it changes, a URL every 30 s",
    defaultText: "none",
  },
  {
    name: "tokenAudience",
    flag: "--token-audience",
    env: "SQUELCH_TOKEN_AUDIENCE",
    description: "the audience (aud) that each token must name",
    defaultText: "squelch",
  },
  {
    name: "tokenIssuer",
    flag: "--token-issuer",
    env: "SQUELCH_TOKEN_ISSUER",
    description: "the issuer (iss) that each token must name",
    defaultText: "none: any issuer with a valid key",
  },
  {
    name: "revokedTokens",
    flag: "--revoked-tokens",
    env: "SQUELCH_REVOKED_TOKENS",
    description:
      "file with revoked tokens, one a line: jti and the id of a token, or sub and the name of a caller; read again when it changes",
    defaultText: "none",
  },
  {
    name: "tlsCert",
    flag: "--tls-cert",
    env: "SQUELCH_TLS_CERT",
    description: "file with the certificate chain (PEM) for both addresses; read again when it changes",
    defaultText: "none: no TLS",
  },
  {
    name: "tlsKey",
    flag: "--tls-key",
    env: "SQUELCH_TLS_KEY",
    description: "file with the private key (PEM) of the certificate",
    defaultText: "none: no TLS",
  },
  {
    name: "tlsClientCa",
    flag: "--tls-client-ca",
    env: "SQUELCH_TLS_CLIENT_CA",
    description: "file with CAs (PEM); a client certificate from one of them identifies the caller",
    defaultText: "none",
  },
  {
    name: "tlsClientCrl",
    flag: "--tls-client-crl",
    env: "SQUELCH_TLS_CLIENT_CRL",
    description: "file with the revocation lists (PEM) of all those CAs; read again when it changes",
    defaultText: "none",
  },
  {
    name: "insecure",
    flag: "--insecure",
    env: "SQUELCH_INSECURE",
    description: "on: serve addresses other than loopback without authentication",
    defaultText: "off",
  },
  {
    name: "legacyRouters",
    flag: "--legacy-routers",
    env: "SQUELCH_LEGACY_ROUTERS",
    description: "off: no router writes the floor to Redis itself, so a pause leaves the speaker keys alone",
    defaultText: "on",
  },
  {
    name: "membershipCheck",
    flag: "--membership-check",
    env: "SQUELCH_MEMBERSHIP_CHECK",
    description: "off: StartPtt does not check that the channel is among the user's channels",
    defaultText: "on",
  },
  {
    name: "maxTalkTimeMs",
    flag: "--max-talk-time",
    env: "SQUELCH_MAX_TALK_TIME",
    description: "the longest talk time that a caller may request, in ms, 1000 to 3600000",
    defaultText: "300000",
  },
  {
    name: "floorQueueLimit",
    flag: "--floor-queue-limit",
    env: "SQUELCH_FLOOR_QUEUE_LIMIT",
    description: "how many requests may wait for the floor of a channel, 0 to 100; 0 turns waiting off",
    defaultText: "10",
  },
  {
    name: "maxStreams",
    flag: "--max-streams",
    env: "SQUELCH_MAX_STREAMS",
    description: "how many streams a caller with a token or certificate may open at this replica, 1 to 100000",
    defaultText: "100",
  },
  {
    name: "maxCallsPerS",
    flag: "--max-calls",
    env: "SQUELCH_MAX_CALLS",
    description: "how many calls a second a caller with a token or certificate may make at this replica, 1 to 1000000",
    defaultText: "1000",
  },
  {
    name: "maxConnections",
    flag: "--max-connections",
    env: "SQUELCH_MAX_CONNECTIONS",
    description: "how many connections a listener takes, 1 to 100000; it closes further ones at once",
    defaultText: "5000",
  },
  {
    name: "maxConnectionsPerAddress",
    flag: "--max-connections-per-address",
    env: "SQUELCH_MAX_CONNECTIONS_PER_ADDRESS",
    description:
      "how many connections a listener takes from one IP address, 1 to 100000; loopback and --proxies have no such limit",
    defaultText: "half of --max-connections",
  },
  {
    name: "proxies",
    flag: "--proxies",
    env: "SQUELCH_PROXIES",
    description:
      "IP addresses or networks (10.0.0.0/8) of proxies, which connect for many clients, separated by commas",
    defaultText: "none",
  },
  {
    name: "maxUsersPerEvent",
    flag: "--max-users-per-event",
    env: "SQUELCH_MAX_USERS_PER_EVENT",
    description: "how many users an event may have, including users who have lost all channels, 1 to 1000000",
    defaultText: "100000",
  },
  {
    name: "maxChannelsPerUser",
    flag: "--max-channels-per-user",
    env: "SQUELCH_MAX_CHANNELS_PER_USER",
    description: "how many channels a user may have in an event, 1 to 2000",
    defaultText: "2000",
  },
  {
    name: "logLength",
    flag: "--log-length",
    env: "SQUELCH_LOG_LENGTH",
    description: "approximately how many changes the log of an event keeps for watchers that resume, 100 to 1000000",
    defaultText: "10000",
  },
  {
    name: "drainTimeoutMs",
    flag: "--drain-timeout",
    env: "SQUELCH_DRAIN_TIMEOUT",
    description: "how long streams and calls may take to end at shutdown, in ms, 0 to 300000",
    defaultText: "10000",
  },
  {
    name: "auditFloor",
    flag: "--audit-floor",
    env: "SQUELCH_AUDIT_FLOOR",
    description: "on: the audit trail also records every StartPtt, RenewPtt and StopPtt",
    defaultText: "off",
  },
  {
    name: "auditLength",
    flag: "--audit-length",
    env: "SQUELCH_AUDIT_LENGTH",
    description: "approximately how many entries the audit trail keeps, 100 to 1000000",
    defaultText: "10000",
  },
  {
    name: "otlpEndpoint",
    flag: "--otlp-endpoint",
    env: "SQUELCH_OTLP_ENDPOINT",
    description: "URL of an OpenTelemetry collector (OTLP over HTTP) that receives a span for each call",
    defaultText: "none: calls are not traced",
  },
];
