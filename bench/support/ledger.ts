import type { Receipts } from "../clients/receiverProtocol.js";

/** One message that every receiver is to get, as the first one got it. */
interface Expected {
  bytes: Buffer;
  sequence: number;
}

/**
 * What arrived where and when, and whether it was right. The first receiver's n-th message is decoded and checked; every
 * other receiver's has to be the same, byte for byte.
 */
export class Ledger {
  readonly receipts: Receipts;
  readonly #receivers: number;
  readonly #readItem: (item: Buffer) => number;
  readonly #expected: Expected[] = [];
  /** How many messages each receiver has had. */
  readonly #counts: Uint32Array;
  #arrived = 0;
  #awaited: { messages: number; resolve: () => void } | undefined;

  /** @param readItem the number of a message, once it has proved to say what was published under it; throws if not */
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

  /** A receiver's next message: a part of what was received. */
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

  /** A message with that number has come. */
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

  /** Resolves when that many messages have come in all, or when the time is up. */
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
