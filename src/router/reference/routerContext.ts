import type { Logger } from "../../lib/logger.js";
import type { ChannelClient } from "../client/channelClient.js";
import type { PermissionClient } from "../client/permissionClient.js";
import type { PermissionRelay } from "../relay/permissionRelay.js";
import type { LocalChannels } from "./localChannels.js";
import type { RouterCalls } from "./routerCalls.js";

/** What the sessions of one reference router share. */
export interface RouterContext {
  readonly client: PermissionClient;
  /** Who speaks, in the events of the clients. */
  readonly speakers: ChannelClient;
  readonly relay: PermissionRelay;
  readonly channels: LocalChannels;
  readonly calls: RouterCalls;
  readonly logger: Logger;
  /** How often floors of the event were taken away, as far as this router has heard. */
  floorLosses(this: void, eventId: string): number;
}
