import type { JWTPayload, JWTVerifyOptions } from "jose";

/** A set of keys that verify tokens. */
export interface KeySource {
  /** The algorithms of the keys. No two sources share one, so that a key is never used with another kind of algorithm. */
  readonly algorithms: readonly string[];
  /**
   * Verifies a token with the keys and returns its claims.
   *
   * @throws an error of the jose library, or SquelchError `unavailable` while no keys could be read
   */
  verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload>;
  close(): void;
}
