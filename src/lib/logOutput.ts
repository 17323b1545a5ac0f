import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { hostname } from "node:os";
import { isMainThread } from "node:worker_threads";

/** The most text that may wait for a reader of stdout, bytes of ASCII text. */
const MAX_WAITING_BYTES = 1 << 20;

/**
 * Writes log lines to stdout without blocking the process, several lines at a time when many arrive. While no program reads
 * stdout, up to 1 MiB of lines waits. Further lines are dropped and counted, and one line in their place reports the number.
 * A full pipe, a closed pipe or a full disk does not block or end the process.
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

  /** True after the first line. Stdout then carries a log, and the process continues when stdout is closed. */
  get isInUse(): boolean {
    return this.#isOpen;
  }

  /** Writes a line, which includes its line break. Never blocks. */
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

  /** Resolves when stdout has accepted every line. Does not resolve while no program reads stdout. */
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

  // Node's stdout accepts nothing more after a write to a file has failed, for example because the disk was full.
  #flushToFile(): void {
    const count = this.#waiting.length + this.#dropped;
    try {
      writeAll(this.#take());
    } catch {
      this.#dropped = count;
    }
  }

  // At exit the event loop has ended, so the lines are written synchronously. A write to a pipe or terminal may then fail.
  #flushAtExit(): void {
    if (this.#isClosed || process.stdout.writableLength > 0) return;
    try {
      writeAll(this.#take());
    } catch {
      // No program reads stdout, or the disk is full. The process ends, so this cannot be reported.
    }
  }
}

/** The output of all loggers of this process. */
export const logOutput = new LogOutput();

// Builds a line in pino's format.
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
 * Makes writes to a terminal non-blocking. By default Node blocks the process in such a write, so a stopped terminal
 * (Ctrl-S) would stop the service, and the service would not receive signals.
 */
export function unblockTerminal(): void {
  const { _handle: handle } = process.stdout as { _handle?: { setBlocking?(isBlocking: boolean): number } };
  if (process.stdout.isTTY) handle?.setBlocking?.(false);
}
