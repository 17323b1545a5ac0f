import type { Witness } from "../record/witness.js";

/**
 * Notes what fail-overs lose, those too that nobody asked for: on a machine that is too busy a server may be taken for
 * down. Clients that have not been told of its successor go on writing to it until it is.
 */
export class FailoverWatch {
  readonly #witness: Witness;
  readonly #settled: () => Promise<string>;
  #masters: string | undefined;
  #witnessed = 0;

  /** @param settled waits for the end of all fail-overs, and says what is another after each */
  constructor(witness: Witness, settled: () => Promise<string>) {
    this.#witness = witness;
    this.#settled = settled;
  }

  /**
   * Waits for the end of fail-overs. Resolves with whether there was one since the last call; then what came after the
   * first `backTo` records may be lost. Default: after those of the last call.
   */
  async note(backTo = this.#witnessed): Promise<boolean> {
    const before = this.#masters;
    this.#masters = await this.#settled();
    const hasFailedOver = before !== undefined && before !== this.#masters;
    if (hasFailedOver) this.#witness.noteLoss(backTo, { isCertain: false });
    this.#witnessed = this.#witness.records.length;
    return hasFailedOver;
  }
}
