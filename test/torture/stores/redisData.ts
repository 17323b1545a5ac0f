import { cp, rm } from "node:fs/promises";
import { join } from "node:path";

// The name that Redis gives to the directory of its append-only file.
const LIVE = "appendonlydir";
const COPY = "copy";

/** The files of a Redis, for faults that lose a part of its data. */
export class RedisData {
  readonly #directory: string;
  #copiedAt: number | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Keeps a copy. @param witnessed how much had passed through Redis */
  async copy(witnessed: number): Promise<void> {
    await rm(join(this.#directory, COPY), { recursive: true, force: true });
    // Redis drops an entry that was copied in part.
    await cp(join(this.#directory, LIVE), join(this.#directory, COPY), { recursive: true });
    this.#copiedAt = witnessed;
  }

  /** Restores the copy. Redis must not run. Returns the number of records when the copy was made. */
  async restore(): Promise<number> {
    if (this.#copiedAt === undefined) throw new Error("there is no copy to go back to");
    await this.discard();
    await cp(join(this.#directory, COPY), join(this.#directory, LIVE), { recursive: true });
    return this.#copiedAt;
  }

  /** Removes everything. Redis must not run. */
  async discard(): Promise<void> {
    await rm(join(this.#directory, LIVE), { recursive: true, force: true });
  }
}
