import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { hostname } from "node:os";
import { isMainThread } from "node:worker_threads";

/** How much may wait until stdout is read, bytes (of ASCII; a line with other characters takes more). */
const MAX_WAITING_BYTES = 1 << 20;

/**
 * Lines on their way to stdout. They are written beside the work: several at a time when they come fast, and none while
 * nobody reads stdout. Up to 1 MiB of lines waits for the reader. Further lines are dropped and counted, and a line in
 * their place says how many. Neither a full pipe, nor a reader that has gone, nor a full disk blocks or ends the process.
 */
class LogOutput {
  #waiting: string[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #isScheduled = false;
  #isWriting = false;
  #isClosed = false;
  #isOpen = false;
  #onWritten: () => void = () => undefined;

  /** True once a line was written: stdout then carries a log, and the process outlives the reader. */
  get isInUse(): boolean {
    return this.#isOpen;
  }

  /** Takes a line with its end; never blocks. */
  write(line: string): void {
    this.#open();
    if (this.#isClosed) return;
    if (this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    if (this.#isScheduled || this.#isWriting) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  /** Resolves when stdout has taken every line; never while nobody reads it. */
  written(): Promise<void> {
    return new Promise((resolve) => {
      this.#onWritten = resolve;
      this.#flush();
    });
  }

  #open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    unblockTerminal();
    process.stdout.on("error", () => {
      this.#isClosed = true;
      this.#take();
    });
    process.once("exit", () => this.#flushAtExit());
  }

  #take(): string {
    const text = this.#waiting.join("") + (this.#dropped === 0 ? "" : describeDropped(this.#dropped));
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#dropped = 0;
    return text;
  }

  #flush(): void {
    this.#isScheduled = false;
    if (this.#isWriting) return;
    if (this.#isClosed || (this.#waiting.length === 0 && this.#dropped === 0)) {
      this.#onWritten();
    } else if (isFile()) {
      this.#flushToFile();
      this.#onWritten();
    } else {
      this.#isWriting = true;
      process.stdout.write(this.#take(), () => {
        this.#isWriting = false;
        this.#flush();
      });
    }
  }

  // Node's stdout takes no more once a write to a file has failed, for example because the disk was full.
  #flushToFile(): void {
    const count = this.#waiting.length + this.#dropped;
    try {
      writeAll(this.#take());
    } catch {
      this.#dropped = count;
    }
  }

  // An event loop that has ended calls nobody back. A pipe or terminal is not blocking once Node has opened it.
  #flushAtExit(): void {
    if (this.#isClosed || process.stdout.writableLength > 0) return;
    try {
      writeAll(this.#take());
    } catch {
      // Nobody reads it, or the disk is full, and nothing is left to say so.
    }
  }
}

/** Where the lines of all loggers of this process go. */
export const logOutput = new LogOutput();

// As pino writes its lines.
function describeDropped(droppedLines: number): string {
  const origin = { level: 40, time: Date.now(), pid: process.pid, hostname: hostname(), name: "log" };
  return `${JSON.stringify({ ...origin, droppedLines, msg: "log lines dropped: stdout was not read" })}\n`;
}

function isFile(): boolean {
  return isMainThread && !(process.stdout instanceof Socket);
}

function writeAll(text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) rest = rest.subarray(writeSync(1, rest));
}

/**
 * Has writes to a terminal wait beside the work, as those to a pipe do. Node blocks the process in them, so that a
 * stopped terminal (Ctrl-S) would stop the service, and keep it from seeing signals.
 */
export function unblockTerminal(): void {
  const { _handle: handle } = process.stdout as { _handle?: { setBlocking?(isBlocking: boolean): number } };
  if (process.stdout.isTTY) handle?.setBlocking?.(false);
}
