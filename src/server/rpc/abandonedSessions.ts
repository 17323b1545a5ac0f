import { constants, type ServerHttp2Session } from "node:http2";
import type { Logger } from "../../lib/logger.js";

/** The rate of cancelled calls that nghttp2 permits. It gives a connection up after a burst of 1,000 calls above this rate. */
const PERMITTED_CANCELS_PER_S = 33;
/** A connection is suspicious after this many cancelled calls above the permitted rate. */
const SUSPICIOUS_CANCELS = 500;
/** How often a suspicious connection is checked, ms. */
const CHECK_INTERVAL_MS = 500;
/** How long a client may take to answer a check, ms. */
const ANSWER_TIMEOUT_MS = 5_000;

/**
 * Ends a connection that nghttp2 has given up because its client cancelled too many calls. nghttp2 sends GOAWAY to the
 * client and then reads nothing more from it. It does not report this to Node, so the streams would stay open and silent.
 * Such a connection no longer answers a ping. Logs the end, also if the client closes the connection first.
 */
export function endIfAbandoned(session: ServerHttp2Session, logger: Logger): void {
  const { remoteAddress, remotePort } = session.socket;
  let excess = 0;
  let countedMs = performance.now();
  let timer: NodeJS.Timeout | undefined;

  const isSuspicious = (cancels: number) => {
    const nowMs = performance.now();
    const permitted = ((nowMs - countedMs) / 1_000) * PERMITTED_CANCELS_PER_S;
    excess = Math.max(excess - permitted, 0) + cancels;
    countedMs = nowMs;
    return excess >= SUSPICIOUS_CANCELS;
  };
  const check = () => {
    if (!isSuspicious(0)) {
      timer = undefined;
      return;
    }
    timer = setTimeout(() => session.destroy(), ANSWER_TIMEOUT_MS);
    session.ping((error) => {
      if (error !== null || session.destroyed) return;
      clearTimeout(timer);
      timer = setTimeout(check, CHECK_INTERVAL_MS);
    });
  };
  session.on("stream", (stream) => {
    stream.once("close", () => {
      // When a connection is lost, its streams close in the same way. Those are not cancelled calls.
      if (session.destroyed || stream.rstCode !== constants.NGHTTP2_CANCEL) return;
      if (isSuspicious(1)) timer ??= setTimeout(check, CHECK_INTERVAL_MS);
    });
  });
  session.once("close", () => {
    clearTimeout(timer);
    if (!isSuspicious(0)) return;
    const peer = `${remoteAddress}:${remotePort}`;
    logger.warn({ peer }, "connection ended after its client cancelled too many calls at once");
  });
}
