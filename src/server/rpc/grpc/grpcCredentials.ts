import { ServerCredentials } from "@grpc/grpc-js";
import type { TlsFiles } from "../tlsFiles.js";

/** How long a TLS handshake may take, ms. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Credentials of a grpc-js server that follow the files. A client without a certificate is let in, to show a token. */
export function createGrpcCredentials(files: TlsFiles | undefined): ServerCredentials {
  return files === undefined ? ServerCredentials.createInsecure() : new RenewedCredentials(files);
}

class RenewedCredentials extends ServerCredentials {
  constructor(files: TlsFiles) {
    super(
      {
        requestCert: files.asksForCertificates,
        rejectUnauthorized: false,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      },
      files.context,
    );
    files.onRenewal((context) => this.updateSecureContextOptions(context));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
