/** Why a replica of Redis cannot serve. */
export const IS_REPLICA = "the server is a replica, which takes no writes; have the name lead to the primary";

/** A server that was reached, but cannot serve: the connection to it is given up before it becomes ready. */
export class UnfitServer extends Error {
  override readonly name = "UnfitServer";

  /**
   * @param kind `replica`: the server takes no writes, so that another one has to be found; `misconfigured`: the URL and
   *   the server do not go together, so that a person has to mend one of them
   * @param message what is wrong and what to do, without the name of the option
   */
  constructor(
    readonly kind: "replica" | "misconfigured",
    message: string,
  ) {
    super(message);
  }
}

// READONLY as the code of a reply, or of a reply that a script passes on: "ERR user_script:141: READONLY You can't …",
// and up to Redis 6.2 "ERR Error running script (call to f_…): @user_script:141: -READONLY You can't …".
const READ_ONLY_REPLY = /(?:^|: )-?READONLY\b/;

/** True if an error reply says that the server is a replica, which takes no writes. */
export function isReadOnlyReply({ message }: Error): boolean {
  return READ_ONLY_REPLY.test(message);
}
