import { type SquelchProcess, spawnSquelch } from "../../support/startSquelch.js";

const READINESS_TIMEOUT_MS = 2_000;
const SILENCE = '"msg":"subscription is silent, reconnecting"';

/** A replica in its own process, which can be killed and started again. */
export class ReplicaProcess {
  readonly #args: readonly string[];
  readonly #program: readonly string[] | undefined;
  #linesRead = 0;
  #process: SquelchProcess | undefined;

  /**
   * @param args flags, those of its addresses apart
   * @param program arguments of node; `squelch serve` if not given
   */
  constructor(
    readonly name: string,
    args: readonly string[],
    program?: readonly string[],
  ) {
    this.#args = [...args, "--log-level", "warn"];
    this.#program = program;
  }

  /** The process id; undefined while it does not run. */
  get grpcPort(): number | undefined {
    return this.#process && Number(this.#process.grpcAddress.split(":").at(-1));
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** The lines that it has logged since its start. */
  get lines(): readonly string[] {
    return this.#process?.lines ?? [];
  }

  /** How often it has considered its subscription dead since the last call. */
  takeSilences(): number {
    const fresh = this.lines.slice(this.#linesRead);
    this.#linesRead = this.lines.length;
    return fresh.filter((line) => line.includes(SILENCE)).length;
  }

  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#linesRead = 0;
    this.#process = await spawnSquelch(this.#args, env, this.#program);
  }

  /** Kills it without a warning; everything in its memory is lost. */
  async kill(): Promise<void> {
    const ending = this.#process;
    this.#process = undefined;
    ending?.kill("SIGKILL");
    await ending?.exited;
  }

  /** Suspends or resumes the process. */
  setRunning(isRunning: boolean): void {
    this.#process?.kill(isRunning ? "SIGCONT" : "SIGSTOP");
  }

  /** True if it reports that it receives changes from Redis. */
  async isReady(): Promise<boolean> {
    if (this.#process === undefined) return false;
    try {
      const url = `http://${this.#process.httpAddress}/readyz`;
      return (await fetch(url, { signal: AbortSignal.timeout(READINESS_TIMEOUT_MS) })).ok;
    } catch {
      return false;
    }
  }

  async stop(): Promise<void> {
    this.setRunning(true);
    await this.#process?.stop();
  }
}
