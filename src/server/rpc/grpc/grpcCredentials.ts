import { ServerCredentials } from "@grpc/grpc-js";
import { HANDSHAKE_TIMEOUT_MS, type TlsFiles } from "../tlsFiles.js";

/**
 * Creates credentials of a grpc-js server that are renewed when the files change. A client without a certificate may
 * connect, because it may have a token.
 */
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
