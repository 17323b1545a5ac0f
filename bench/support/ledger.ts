import type { Receipts } from "../clients/receiverProtocol.js";

/** A message that every receiver must get, in the bytes that the first receiver got. */
interface Expected {
  bytes: Buffer;
  sequence: number;
}

/**
 * Records which message arrived where and when, and whether it was correct. The n-th message of the first receiver is
 * decoded and checked. Every other receiver's n-th message must have the same bytes.
 */
export class Ledger {
  readonly receipts: Receipts;
  readonly #receivers: number;
  readonly #readItem: (item: Buffer) => number;
  readonly #expected: Expected[] = [];
  /** The number of messages that each receiver has got. */
  readonly #counts: Uint32Array;
  #arrived = 0;
  #awaited: { messages: number; resolve: () => void } | undefined;

  /** @param readItem checks the content of a message and returns its number; throws if the content is wrong */
  constructor(receivers: number, sequences: number, readItem: (item: Buffer) => number) {
    this.receipts = {
      receivedAtUs: new Float64Array(sequences * receivers),
      repeated: 0,
      disordered: 0,
      snapshotUsers: 0,
      absences: [],
    };
    this.#receivers = receivers;
    this.#readItem = readItem;
    this.#counts = new Uint32Array(receivers);
  }

  /** Records a receiver's next message, which is a part of the received bytes. */
  noteItem(receiver: number, bytes: Buffer, start: number, end: number, atUs: number): void {
    const count = this.#counts[receiver] as number;
    this.#counts[receiver] = count + 1;
    let expected = this.#expected[count];
    if (expected === undefined) {
      const item = Buffer.from(bytes.subarray(start, end));
      expected = { bytes: item, sequence: this.#readItem(item) };
      this.#expected[count] = expected;
    }
    if (expected.bytes.compare(bytes, start, end) === 0) {
      this.note(receiver, expected.sequence, atUs);
    } else {
      this.receipts.disordered++;
      this.note(receiver, this.#readItem(bytes.subarray(start, end)), atUs);
    }
  }

  /** Records that the message with that number has arrived. */
  note(receiver: number, sequence: number, atUs: number): void {
    const index = sequence * this.#receivers + receiver;
    if (this.receipts.receivedAtUs[index] !== 0) {
      this.receipts.repeated++;
      return;
    }
    this.receipts.receivedAtUs[index] = atUs;
    this.#arrived++;
    if (this.#awaited !== undefined && this.#arrived >= this.#awaited.messages) this.#awaited.resolve();
  }

  /** Resolves when that many messages have arrived in total, or after the timeout. */
  async waitFor(messages: number, timeoutMs: number): Promise<void> {
    if (this.#arrived >= messages) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#awaited = { messages, resolve };
      timer = setTimeout(resolve, timeoutMs);
    });
    clearTimeout(timer);
    this.#awaited = undefined;
  }
}
