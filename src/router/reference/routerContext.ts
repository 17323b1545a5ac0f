import type { Logger } from "../../lib/logger.js";
import type { ChannelClient } from "../client/channelClient.js";
import type { PermissionClient } from "../client/permissionClient.js";
import type { PermissionRelay } from "../relay/permissionRelay.js";
import type { TokenRules } from "./clientToken.js";
import type { LocalChannels } from "./localChannels.js";
import type { RouterCalls } from "./routerCalls.js";

/** What the sessions of one reference router share. */
export interface RouterContext {
  readonly client: PermissionClient;
  /** Follows the speakers in the events of the clients. */
  readonly speakers: ChannelClient;
  readonly relay: PermissionRelay;
  readonly channels: LocalChannels;
  readonly calls: RouterCalls;
  readonly logger: Logger;
  /** How the router verifies the tokens of its clients. */
  readonly tokenRules: TokenRules;
  /** Returns how many changes that take floors away this router has received for the event. */
  floorLosses(this: void, eventId: string): number;
}
