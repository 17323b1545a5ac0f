import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { SquelchError } from "../../domain/errors.js";
import { followFiles } from "../../lib/followFiles.js";
import type { Logger } from "../../lib/logger.js";
import type { ServerConfig } from "../configOptions.js";

/** How long a TLS handshake may take, ms. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * The cipher suites of TLS 1.2 that clients may use: with forward secrecy and authenticated encryption, as RFC 9325, 4.2
 * recommends. All suites of TLS 1.3 are of that kind; the first three are those that Node.js has by default.
 */
const CIPHERS = [
  ...["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"],
  ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
  ...["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
  ...["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
].join(":");

/** The certificate that both listeners present, and the CAs and revocations by which they judge client certificates. */
export interface TlsFiles {
  /** The newest certificate, key and CAs. */
  readonly context: SecureContextOptions;
  /** True if clients are asked for a certificate. */
  readonly asksForCertificates: boolean;
  /** Calls back with each new context. New connections must use it. */
  onRenewal(listener: (context: SecureContextOptions) => void): void;
  /** Calls back when the CAs or the revoked certificates of clients have changed, after `onRenewal` has. */
  onClientRules(listener: () => void): void;
  close(): void;
}

/**
 * Reads the certificate, its key, and the CAs and revoked certificates of clients, and reads them again when one of the files
 * changes. If the new files cannot be used, an error is logged and the old ones stay in use.
 *
 * @returns undefined if the configuration names no certificate
 * @throws SquelchError `invalidArgument` if a file cannot be read at the start, or if the files do not fit together
 */
export function openTlsFiles(
  {
    tlsCert,
    tlsKey,
    tlsClientCa,
    tlsClientCrl,
  }: Pick<ServerConfig, "tlsCert" | "tlsKey" | "tlsClientCa" | "tlsClientCrl">,
  logger: Logger,
): TlsFiles | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const read = () => {
    const context: SecureContextOptions = {
      ciphers: CIPHERS,
      minVersion: "TLSv1.2",
      cert: readFile("--tls-cert", tlsCert),
      key: readFile("--tls-key", tlsKey),
      ...(tlsClientCa !== undefined && { ca: readFile("--tls-client-ca", tlsClientCa) }),
      ...(tlsClientCrl !== undefined && { crl: readFile("--tls-client-crl", tlsClientCrl) }),
    };
    checkUsable("--tls-client-crl", { crl: context.crl });
    checkUsable("--tls-cert, --tls-key", context);
    if (context.ca !== undefined) requireCertificates("--tls-client-ca", context.ca as Buffer);
    return context;
  };
  let context = read();
  const listeners: ((context: SecureContextOptions) => void)[] = [];
  const clientListeners: (() => void)[] = [];
  const paths = [tlsCert, tlsKey, tlsClientCa, tlsClientCrl].filter((path) => path !== undefined);
  const close = followFiles(paths, () => {
    try {
      const before = clientRulesOf(context);
      context = read();
      for (const listener of listeners) listener(context);
      if (clientRulesOf(context) !== before) for (const listener of clientListeners) listener();
      logger.info("certificates reloaded");
    } catch (error) {
      logger.error({ err: error }, "certificates could not be reloaded, the old ones stay in use");
    }
  });
  return {
    get context() {
      return context;
    },
    asksForCertificates: tlsClientCa !== undefined,
    onRenewal: (listener) => void listeners.push(listener),
    onClientRules: (listener) => void clientListeners.push(listener),
    close,
  };
}

function checkUsable(flags: string, context: SecureContextOptions): void {
  try {
    createSecureContext(context);
  } catch (error) {
    throw new SquelchError("invalidArgument", `${flags}: ${(error as Error).message}`);
  }
}

function clientRulesOf({ ca, crl }: SecureContextOptions): string {
  return `${ca} ${crl}`;
}

// Node.js accepts a file without certificates here, and then rejects every client certificate.
function requireCertificates(flag: string, text: Buffer): void {
  const parts = text.toString("latin1").split(/(?=-----BEGIN )/);
  const certificates = parts.filter((part) => /^-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/.test(part));
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (error) {
    throw new SquelchError("invalidArgument", `${flag}: ${(error as Error).message}`);
  }
  if (certificates.length === 0) throw new SquelchError("invalidArgument", `${flag}: has no certificate`);
}

function readFile(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new SquelchError(
      "invalidArgument",
      `${flag}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
