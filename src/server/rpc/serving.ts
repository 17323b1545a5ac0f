import type { Logger } from "../../lib/logger.js";
import type { ServedCalls } from "./call.js";
import type { Admit } from "./interceptors/identify.js";
import type { Shutdown } from "./shutdown.js";

/** The largest request, bytes. A larger one fails with RESOURCE_EXHAUSTED. */
export const MAX_REQUEST_BYTES = 4 << 20;

/** What the gRPC and the HTTP server have in common. */
export interface Serving {
  /** Called with the headers of each call, before its message is read. */
  admit: Admit;
  calls: ServedCalls;
  shutdown: Shutdown;
  logger: Logger;
}

/** How many connections a listener takes. */
export interface ConnectionLimit {
  max: number;
  /** Called for each connection above the limit. Such a connection is closed. */
  onRefused(): void;
}
