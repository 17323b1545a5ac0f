import { createHash } from "node:crypto";
import type { PauseRequest } from "./floorStore.js";

/**
 * Returns a digest of the caller and the content of a request to pause. Two requests with one request id are the same
 * request only if they have the same digest.
 */
export function pauseDigest(request: PauseRequest): string {
  const { actor, reason, durationMs, exemptUserIds, broadcaster, replacePauseId } = request;
  const speaker = broadcaster === undefined ? null : [broadcaster.userId, broadcaster.userName];
  const content = [actor, reason, durationMs, [...exemptUserIds].sort(), speaker, replacePauseId ?? ""];
  return createHash("sha256").update(JSON.stringify(content)).digest("base64url");
}
