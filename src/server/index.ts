/** The library for a router that talks to Redis itself. */
export type { Position } from "../domain/cursor.js";
export type { SquelchErrorCode } from "../domain/errorReasons.js";
export { SquelchError } from "../domain/errors.js";
export { createLogger, type Logger, type LogLevel } from "../lib/logger.js";
export {
  type ChannelState,
  type ChannelStateCallback,
  ChannelStateManager,
  type ChannelStateOptions,
  type StartPttResult,
} from "./state/channelState.js";
export {
  type PermissionChangeHandler,
  PermissionSyncManager,
  type PermissionSyncOptions,
} from "./state/permissionSync.js";
