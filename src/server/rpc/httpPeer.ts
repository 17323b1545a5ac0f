import { createContextKey } from "@connectrpc/connect";

/** Where the client of a call is, host:port. */
export const peerKey = createContextKey("", { description: "peer" });
