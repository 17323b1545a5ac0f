/** Explains why a Redis replica cannot serve. */
export const IS_REPLICA =
  "the server is a replica, which accepts no writes (READONLY); make the name lead to the primary";

/** A server that was reached but cannot serve. Its connection is closed before it becomes ready. */
export class UnfitServer extends Error {
  override readonly name = "UnfitServer";

  /**
   * @param kind `replica`: the server accepts no writes, so another server has to be found; `misconfigured`: the URL
   * and the server do not fit, so an operator has to correct one of them
   * @param message the problem and the remedy, without the name of the option
   */
  constructor(
    readonly kind: "replica" | "misconfigured",
    message: string,
  ) {
    super(message);
  }
}
