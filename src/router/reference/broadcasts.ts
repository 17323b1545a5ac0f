import { randomUUID } from "node:crypto";
import type { SpeakerPause } from "../../domain/floor.js";
import { emergencyRefusedFrame, FrameError, type FrameId, replyFrame } from "../relay/frames.js";
import { type ClientIdentity, isDispatcher } from "./clientToken.js";
import { isRefusal } from "./routerCalls.js";
import type { RouterContext } from "./routerContext.js";

/** The client that broadcasts. */
interface Dispatcher {
  readonly identity: ClientIdentity;
  send(frame: string): void;
}

/** The emergency broadcasts of one session. A session ends its own broadcast only, or the pause that the client names. */
export class Broadcasts {
  readonly #dispatcher: Dispatcher;
  readonly #context: RouterContext;
  /** The pause that this session started last. */
  #ownPauseId: string | undefined;

  constructor(dispatcher: Dispatcher, context: RouterContext) {
    this.#dispatcher = dispatcher;
    this.#context = context;
  }

  /** Answers `emergency-broadcast-start`. */
  async start(id: FrameId | undefined, replacePauseId?: string): Promise<void> {
    this.#checkRole(id);
    const { calls } = this.#context;
    const { identity } = this.#dispatcher;
    try {
      const { pauseId, expiresAtMs } = await calls.startBroadcast(identity, randomUUID(), replacePauseId);
      this.#ownPauseId = pauseId;
      this.#dispatcher.send(replyFrame(id, { success: true, pauseId, expiresAt: expiresAtMs }));
    } catch (error) {
      const standing = isRefusal(error) ? await calls.getPause(identity.eventId) : undefined;
      if (standing === undefined) throw error;
      this.#dispatcher.send(emergencyRefusedFrame(id, standing));
    }
  }

  /**
   * Answers `emergency-broadcast-stop`. Without a pause in the event there is nothing to stop, so the request succeeds. A
   * pause that the session did not start, and that the frame does not name, stays.
   *
   * @param pauseId the pause to end; default: the pause that this session started
   */
  async stop(id: FrameId | undefined, pauseId = this.#ownPauseId): Promise<void> {
    this.#checkRole(id);
    const standing = await this.#end(pauseId);
    if (standing === undefined) this.#dispatcher.send(replyFrame(id, { success: true, ...(pauseId && { pauseId }) }));
    else this.#dispatcher.send(emergencyRefusedFrame(id, standing));
  }

  // Returns the pause that stays; undefined if the event is not paused any more.
  async #end(pauseId: string | undefined): Promise<SpeakerPause | undefined> {
    const { calls } = this.#context;
    const { identity } = this.#dispatcher;
    const standing = await calls.getPause(identity.eventId);
    if (standing === undefined || standing.pauseId !== pauseId) return standing;
    try {
      await calls.stopBroadcast(identity, pauseId);
      return undefined;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // The pause may have ended or may have been replaced in the meantime.
      const left = await calls.getPause(identity.eventId);
      if (left?.pauseId === pauseId) throw error;
      return left;
    }
  }

  #checkRole(id: FrameId | undefined): void {
    if (isDispatcher(this.#dispatcher.identity)) return;
    throw new FrameError("Permission denied: only dispatchers may broadcast", id);
  }
}
