import type { FloorPriority } from "../../../domain/floor.js";
import type { FrameId } from "../../relay/frames.js";

/** How often a waiting request is repeated, ms. A place in the queue lasts longer than this. */
const REPEAT_INTERVAL_MS = 2_000;

/** A press of the talk button that waits in the queue of a channel. */
export interface WaitingPress {
  /** The id of the client's frame. */
  readonly id: FrameId | undefined;
  readonly priority: FloorPriority;
  readonly queueId: bigint;
  /** The position that the client last received. */
  readonly position: number;
}

/** The waiting presses of one client. Each request is repeated every 2 s. */
export class WaitingPresses {
  readonly #waiting = new Map<string, { press: WaitingPress; timer: NodeJS.Timeout }>();
  readonly #ask: (channelId: string) => void;

  /** @param ask repeats the request. It calls `note` if the press still waits, else `forget` */
  constructor(ask: (channelId: string) => void) {
    this.#ask = ask;
  }

  get(channelId: string): WaitingPress | undefined {
    return this.#waiting.get(channelId)?.press;
  }

  /** Returns the channels with a waiting press. */
  channelIds(): string[] {
    return [...this.#waiting.keys()];
  }

  /** Records that a press waits, after the store has answered so. */
  note(channelId: string, press: WaitingPress): void {
    this.forget(channelId);
    const timer = setTimeout(() => this.#ask(channelId), REPEAT_INTERVAL_MS).unref();
    this.#waiting.set(channelId, { press, timer });
  }

  /** Removes a press. Returns it, or undefined if the channel has none. */
  forget(channelId: string): WaitingPress | undefined {
    const known = this.#waiting.get(channelId);
    clearTimeout(known?.timer);
    this.#waiting.delete(channelId);
    return known?.press;
  }
}
