import type { IncomingMessage } from "node:http";
import { type PeerCertificate, TLSSocket } from "node:tls";
import { createContextKey } from "@connectrpc/connect";

/** The client at the other end of a call. */
export interface HttpPeer {
  /** host:port. */
  address: string;
  /** Its certificate, if it has one that was verified. */
  certificate(): PeerCertificate | undefined;
}

/** Where the handlers of calls find it. */
export const peerKey = createContextKey<HttpPeer>(
  { address: "", certificate: () => undefined },
  { description: "peer" },
);

export function peerOf({ socket }: IncomingMessage): HttpPeer {
  return {
    address: `${socket.remoteAddress}:${socket.remotePort}`,
    certificate() {
      if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
      const certificate = socket.getPeerCertificate();
      return certificate.raw === undefined ? undefined : certificate;
    },
  };
}
