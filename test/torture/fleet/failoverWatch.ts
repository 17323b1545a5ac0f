import type { Witness } from "../record/witness.js";

/**
 * Records what fail-overs lose, including unplanned ones: on a busy machine a server may be considered down. Clients
 * that do not know the successor write to the old server until it is demoted.
 */
export class FailoverWatch {
  readonly #witness: Witness;
  readonly #settled: () => Promise<string>;
  #masters: string | undefined;
  #witnessed = 0;

  /** @param settled waits for the end of all fail-overs, and returns a value that changes with each fail-over */
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
