import type { FloorPriority } from "../../domain/floor.js";
import type { FrameId } from "../relay/frames.js";

/** How often it is asked whether it is a waiting client's turn, ms. Its place is kept for longer than that. */
const REPEAT_INTERVAL_MS = 2_000;

/** A press of the talk button whose answer is still to come. */
export interface WaitingPress {
  /** Of the client's frame. */
  readonly id: FrameId | undefined;
  readonly priority: FloorPriority;
  readonly queueId: bigint;
  /** As the client was told. */
  readonly position: number;
}

/** The presses of one client that wait for a floor, each asked for anew every 2 s. */
export class WaitingPresses {
  readonly #waiting = new Map<string, { press: WaitingPress; timer: NodeJS.Timeout }>();
  readonly #ask: (channelId: string) => void;

  /** @param ask asks the store anew; its answer is to be noted, or the press forgotten */
  constructor(ask: (channelId: string) => void) {
    this.#ask = ask;
  }

  get(channelId: string): WaitingPress | undefined {
    return this.#waiting.get(channelId)?.press;
  }

  /** The channels that are waited for. */
  channelIds(): string[] {
    return [...this.#waiting.keys()];
  }

  /** The press waits, as the store has just answered. */
  note(channelId: string, press: WaitingPress): void {
    this.forget(channelId);
    const timer = setTimeout(() => this.#ask(channelId), REPEAT_INTERVAL_MS).unref();
    this.#waiting.set(channelId, { press, timer });
  }

  /** The press waits no longer. Returns it, or undefined if it did not wait. */
  forget(channelId: string): WaitingPress | undefined {
    const known = this.#waiting.get(channelId);
    clearTimeout(known?.timer);
    this.#waiting.delete(channelId);
    return known?.press;
  }
}
