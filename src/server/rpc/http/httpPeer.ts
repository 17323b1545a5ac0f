import type { IncomingMessage } from "node:http";
import { type PeerCertificate, TLSSocket } from "node:tls";

/** The client at the other end of a connection. */
export interface HttpPeer {
  /** host:port. */
  address: string;
  /** Returns the certificate of the client if it has one that was verified. */
  certificate(): PeerCertificate | undefined;
}

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
