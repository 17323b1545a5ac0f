import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { endChild, startChild } from "../../test/support/childProcess.js";
import { monotonicUs } from "../support/clock.js";
import type { Receipts, ReceiverAnswer, ReceiverRequest, Source } from "./receiverProtocol.js";

const PROGRAM = fileURLToPath(new URL("./receiverProcess.ts", import.meta.url));

/** Receivers that run in a process of their own. */
export class Receivers {
  readonly #child: ChildProcess;
  #failure: Error | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (answer: ReceiverAnswer) => {
      if (answer.type === "failed") this.#failure = new Error(`The receivers failed: ${answer.message}`);
    });
  }

  /** Starts the process. Rejects if its clock differs from the clock of this process. */
  static async start(): Promise<Receivers> {
    const child = await startChild(process.execPath, ["--import", "tsx", PROGRAM], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    const receivers = new Receivers(child);
    await receivers.#ask({ type: "readClock" });
    const beforeUs = monotonicUs();
    const clock = await receivers.#ask({ type: "readClock" });
    const afterUs = monotonicUs();
    if (clock.type !== "clock" || clock.atUs < beforeUs || clock.atUs > afterUs) {
      await receivers.close();
      throw new Error("process.hrtime is not one clock for all processes here; delays between them cannot be measured");
    }
    return receivers;
  }

  /** Connects to a source. Resolves when everything that is published from now on will reach every receiver. */
  async open(source: Source, sequences: number): Promise<void> {
    await this.#ask({ type: "open", source, sequences });
  }

  /** Resolves when that many messages have arrived at all receivers together since `open`, or after `timeoutMs`. */
  async waitFor(messages: number, timeoutMs: number): Promise<void> {
    await this.#ask({ type: "await", messages, timeoutMs });
  }

  /** Disconnects from the source and returns the messages that arrived. */
  async collect(): Promise<Receipts> {
    const answer = await this.#ask({ type: "collect" });
    if (answer.type !== "collected") throw new Error(`unexpected answer: ${answer.type}`);
    return answer.receipts;
  }

  /** Ends the process. Idempotent. */
  close(): Promise<void> {
    return endChild(this.#child, "SIGTERM");
  }

  // Also rejects if anything failed since the last request.
  #ask(request: ReceiverRequest): Promise<ReceiverAnswer> {
    return new Promise((resolve, reject) => {
      const onExit = () => {
        this.#failure ??= new Error("The process of the receivers ended");
        settle();
      };
      const settle = (answer?: ReceiverAnswer) => {
        this.#child.off("message", settle).off("exit", onExit);
        if (this.#failure !== undefined || answer === undefined) reject(this.#failure);
        else resolve(answer);
      };
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#child.on("message", settle).on("exit", onExit);
      this.#child.send(request);
    });
  }
}
