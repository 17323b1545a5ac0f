export type { UserBan } from "../domain/ban.js";
export type {
  ActiveSpeaker,
  Broadcaster,
  FloorDenyCause,
  FloorPriority,
  FloorRevokeCause,
  SpeakerPause,
} from "../domain/floor.js";
export type { TokenSource } from "../lib/callToken.js";
export {
  ChannelClient,
  type ChannelClientOptions,
  type ChannelEvents,
  type SpeakerChange,
} from "./channelClient.js";
export * from "./frames.js";
export { PermissionClient, type PermissionClientOptions, type UserPermissions } from "./permissionClient.js";
export type {
  BanNotice,
  DisconnectNotice,
  FloorGrant,
  FloorRequestDenial,
  FloorRevocation,
  PauseNotice,
  PermissionChange,
  PermissionEvents,
  ResumeNotice,
  ResyncNotice,
  UnbanNotice,
} from "./permissionEvents.js";
export {
  type CutPolicy,
  PermissionRelay,
  type PermissionRelayOptions,
  type RelaySocket,
  type SocketOwner,
} from "./permissionRelay.js";
export { type ReferenceRouter, type ReferenceRouterOptions, startReferenceRouter } from "./referenceRouter.js";
