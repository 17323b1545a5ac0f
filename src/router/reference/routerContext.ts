import type { Logger } from "../../lib/logger.js";
import type { ChannelClient } from "../client/channelClient.js";
import type { PermissionClient } from "../client/permissionClient.js";
import type { PermissionRelay } from "../relay/permissionRelay.js";
import type { ClientIdentity, TokenRules } from "./clientToken.js";
import type { LocalChannels } from "./localChannels.js";
import type { RouterCalls } from "./routerCalls.js";

/** Another connection of the same user. */
export interface OtherSession {
  isTransmitting(channelId: string): boolean;
  /**
   * Releases the floor if the client does not answer a ping. Resolves with true if the floor was released, with false if the
   * client has answered.
   */
  yieldFloor(channelId: string, patienceMs: number): Promise<boolean>;
}

/** What clients may do. */
export interface ClientLimits {
  readonly maxChannelsPerSocket: number;
  /** As `maxChannelsPerSocket`, for dispatchers. */
  readonly maxChannelsPerDispatcher: number;
  /** The most users that join one channel through this router. */
  readonly maxUsersPerChannel: number;
  /** A broadcast whose button was held for less is refused, ms. */
  readonly minHoldMs: number;
}

/** What the sessions of one reference router share. */
export interface RouterContext {
  readonly client: PermissionClient;
  /** Follows the speakers in the events of the clients. */
  readonly speakers: ChannelClient;
  readonly relay: PermissionRelay;
  readonly channels: LocalChannels;
  readonly calls: RouterCalls;
  readonly logger: Logger;
  readonly limits: ClientLimits;
  /** How the router verifies the tokens of its clients. */
  readonly tokenRules: TokenRules;
  /** Returns the connections of a user in the event. */
  sessionsOf(this: void, user: Pick<ClientIdentity, "eventId" | "userId">): OtherSession[];
  /** Returns how many changes that take floors away this router has received for the event. */
  floorLosses(this: void, eventId: string): number;
}
