import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A pipe of the system that is full from the start, to be given to a program as its stdout. */
export interface FullPipe {
  /** The end that a program writes to. It blocks, like a pipe that a shell makes. */
  readonly writeEnd: number;
  /** Reads the present content of the pipe. */
  read(): string;
  /** Closes the end that is read, as if the reader had ended. */
  closeReader(): void;
  close(): void;
}

/** Makes a pipe and fills it. */
export function createFullPipe(): FullPipe {
  const folder = mkdtempSync(join(tmpdir(), "squelch-pipe-"));
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const filler = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const writeEnd = openSync(path, constants.O_WRONLY);
  rmSync(folder, { recursive: true });
  whileItCan(() => writeSync(filler, `${" ".repeat(1_023)}\n`));
  closeSync(filler);
  let isReaderOpen = true;
  const closeReader = () => {
    if (isReaderOpen) closeSync(readEnd);
    isReaderOpen = false;
  };
  return {
    writeEnd,
    read() {
      const chunks: Buffer[] = [];
      whileItCan(() => {
        const chunk = Buffer.alloc(65_536);
        const length = readSync(readEnd, chunk);
        chunks.push(chunk.subarray(0, length));
        return length;
      });
      return Buffer.concat(chunks).toString();
    },
    closeReader,
    close() {
      closeReader();
      closeSync(writeEnd);
    },
  };
}

// Ends when the pipe is full, or empty.
function whileItCan(step: () => number): void {
  try {
    while (step() > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
  }
}
