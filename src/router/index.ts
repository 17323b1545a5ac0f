export type { UserBan } from "../domain/ban.js";
export type { SquelchErrorCode } from "../domain/errorReasons.js";
export { SquelchError } from "../domain/errors.js";
export type {
  ActiveSpeaker,
  Broadcaster,
  FloorDenyCause,
  FloorPriority,
  FloorRevokeCause,
  SpeakerPause,
} from "../domain/floor.js";
export type { TokenSource } from "../lib/callToken.js";
export type { GrpcClient } from "../lib/grpcService.js";
export { createLogger, type Logger, type LogLevel } from "../lib/logger.js";
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
export type { ReferenceRouterOptions } from "./reference/options.js";
export { type ReferenceRouter, startReferenceRouter } from "./reference/referenceRouter.js";
export {
  type ChannelStateData,
  type ClientFrame,
  channelListFrame,
  channelState,
  cutCloseReason,
  emergencyFrame,
  emergencyRefusedFrame,
  errorFrame,
  FORCE_DISCONNECT_CODE,
  FrameError,
  type FrameId,
  forceDisconnectFrame,
  type PttDenial,
  parseClientFrame,
  permissionUpdateFrame,
  pongFrames,
  presenceFrame,
  pttDeniedFrame,
  pttDeniedReply,
  pttInterruptedFrame,
  pttQueuedReply,
  replyFrame,
  speakerChangedFrame,
  TOKEN_EXPIRED_CODE,
} from "./relay/frames.js";
export {
  type CutPolicy,
  PermissionRelay,
  type PermissionRelayOptions,
  type RelaySocket,
  type SocketOwner,
} from "./relay/permissionRelay.js";
