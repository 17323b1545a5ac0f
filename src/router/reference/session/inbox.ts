import { type RawData, WebSocket } from "ws";

/** The router stops reading from a client that has this many unanswered frames. */
const MAX_WAITING_FRAMES = 64;

/**
 * The work of one client's connection, done one task after another: the client's frames, and tasks of the router that must
 * not run between them.
 *
 * While 64 frames wait, the socket is not read, so TCP slows the client down. Frames that were read together with the 64th
 * frame wait in memory; one read has at most 64 KiB.
 */
export class Inbox {
  readonly #socket: WebSocket;
  #waitingFrames = 0;
  #work: Promise<void> = Promise.resolve();

  /** @param answer answers the text of one frame; an empty text for a binary frame. It must not reject */
  constructor(socket: WebSocket, answer: (text: string) => Promise<void>) {
    this.#socket = socket;
    socket.on("message", (data, isBinary) => this.#receive(data, isBinary, answer));
  }

  /** Resolves when all tasks so far are done. */
  get done(): Promise<void> {
    return this.#work;
  }

  /** Runs a task after all tasks so far. The task must not reject. */
  run(task: () => Promise<void>): void {
    this.#work = this.#work.then(task);
  }

  /** Reads the socket again, whatever waits: the answer to a close frame may be behind frames that were not read. */
  close(): void {
    this.#socket.resume();
  }

  #receive(data: RawData, isBinary: boolean, answer: (text: string) => Promise<void>): void {
    // A closing socket is read to its end, but not answered.
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#waitingFrames += 1;
    if (this.#waitingFrames >= MAX_WAITING_FRAMES) this.#socket.pause();
    this.run(async () => {
      this.#waitingFrames -= 1;
      if (this.#socket.isPaused && this.#waitingFrames < MAX_WAITING_FRAMES / 2) this.#socket.resume();
      if (this.#socket.readyState === WebSocket.OPEN) await answer(isBinary ? "" : String(data));
    });
  }
}
