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
} from "./client/channelClient.js";
export { PermissionClient, type PermissionClientOptions, type UserPermissions } from "./client/permissionClient.js";
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
} from "./client/permissionEvents.js";
export {
  type ReferenceRouter,
  type ReferenceRouterOptions,
  startReferenceRouter,
} from "./reference/referenceRouter.js";
export * from "./relay/frames.js";
export {
  type CutPolicy,
  PermissionRelay,
  type PermissionRelayOptions,
  type RelaySocket,
  type SocketOwner,
} from "./relay/permissionRelay.js";
