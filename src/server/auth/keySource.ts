import type { JWTPayload, JWTVerifyOptions } from "jose";

/** Keys that tokens may be signed with. */
export interface KeySource {
  /** The algorithms that they are for. No two sources share one, so that no key is ever used for another's. */
  readonly algorithms: readonly string[];
  /**
   * The claims of a token that one of the keys fits.
   *
   * @throws an error of jose's, or SquelchError `unavailable` while no keys could be read
   */
  verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload>;
  close(): void;
}
