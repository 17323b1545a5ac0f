import type { PeerCertificate } from "node:tls";
import { refusal, SquelchError } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";
import { type Identity, SCOPES } from "../../domain/identity.js";
import type { Logger } from "../../lib/logger.js";
import { isAuthenticated } from "../config.js";
import type { ServerConfig } from "../configOptions.js";
import { identifyCertificate } from "./certificateIdentity.js";
import { createPublicKeys } from "./publicKeys.js";
import { NO_REVOCATIONS, readRevocations } from "./revocations.js";
import { createSecret, createSecretFile } from "./secretKeys.js";
import { expired, revoked, TokenVerifier } from "./tokenVerifier.js";

/** The credentials of a call. */
export interface Credentials {
  /** The value of the `authorization` header. */
  authorization: string | undefined;
  /** The value of the `squelch-actor` header. It is used only on a server without authentication. */
  actor: string | undefined;
  /** Returns the verified client certificate of the connection, if there is one. */
  certificate(): PeerCertificate | undefined;
}

/** The metadata key of the caller's name. */
export const ACTOR_KEY = "squelch-actor";

/** The actor of a caller without a name. */
const ANONYMOUS = "anonymous";

/** The longest time that a timer can wait, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Identifies callers, and reports when the credentials of open streams are no longer valid. */
export interface Authenticator {
  /**
   * Returns the identity of a caller.
   *
   * @throws SquelchError `unauthenticated`; `unavailable` if the keys cannot be read at present; `invalidArgument` if, on a
   *   server without authentication, the caller's name is not a valid id
   */
  identify(credentials: Credentials): Promise<Identity>;
  /**
   * Calls back when the credentials are no longer valid: the token has expired, its key was removed, or it was revoked. The
   * call back comes after `guard` has returned.
   *
   * @returns a function that stops it
   */
  guard(credentials: Credentials, identity: Identity, fail: (error: unknown) => void): () => void;
  close(): void;
}

/**
 * Creates the authenticator for a configuration. If the configuration has no means of authentication, every caller may do
 * everything under any name.
 *
 * @throws SquelchError `invalidArgument` if secrets or revocations cannot be read, or keys are too weak
 */
export async function createAuthenticator(config: ServerConfig, logger: Logger): Promise<Authenticator> {
  if (!isAuthenticated(config)) return trusting;
  const rechecks = new Set<() => void>();
  const changed = () => {
    verifier.forget();
    for (const recheck of rechecks) recheck();
  };
  const { tokenSecret, tokenSecretFile, tokenJwks, revokedTokens } = config;
  const revocations = revokedTokens === undefined ? NO_REVOCATIONS : readRevocations(revokedTokens, changed, logger);
  const sources = [
    ...(tokenSecret === undefined ? [] : [createSecret(tokenSecret)]),
    ...(tokenSecretFile === undefined ? [] : [createSecretFile(tokenSecretFile, changed, logger)]),
    ...(tokenJwks === undefined ? [] : [await createPublicKeys(tokenJwks, changed, logger)]),
  ];
  const verifier = new TokenVerifier(
    sources,
    { audience: config.tokenAudience, issuer: config.tokenIssuer },
    revocations,
  );

  async function identify({ authorization, certificate }: Credentials): Promise<Identity> {
    if (authorization !== undefined) {
      const [, token] = /^Bearer +([^ ]+)$/i.exec(authorization) ?? [];
      if (token === undefined) {
        throw refusal("TOKEN_MISSING", 'authorization: must be "Bearer" and a token', {});
      }
      return await verifier.verify(token);
    }
    const proven = certificate();
    if (proven !== undefined) {
      const identity = identifyCertificate(proven);
      if (revocations.isRevoked(identity.name, undefined)) throw revoked("client certificate");
      return identity;
    }
    throw refusal("TOKEN_MISSING", 'authorization: must be given, "Bearer" and a token', {});
  }

  return {
    identify,
    guard(credentials, { expiresAtMs }, fail) {
      let timer: NodeJS.Timeout | undefined;
      const arm = () => {
        const leftMs = Math.max(expiresAtMs - Date.now(), 0);
        const isLast = leftMs <= MAX_TIMER_MS;
        timer = setTimeout(isLast ? () => fail(expired()) : arm, isLast ? leftMs : MAX_TIMER_MS);
      };
      // A stream stays open while the keys cannot be read.
      const recheck = () => {
        identify(credentials).catch((error: unknown) => {
          if (error instanceof SquelchError && error.code === "unauthenticated") fail(error);
        });
      };
      arm();
      rechecks.add(recheck);
      return () => {
        clearTimeout(timer);
        rechecks.delete(recheck);
      };
    },
    close() {
      for (const source of [...sources, revocations]) source.close();
    },
  };
}

const trusting: Authenticator = {
  async identify({ actor: name = ANONYMOUS }) {
    const problem = idProblem(name);
    if (problem !== undefined) {
      throw refusal("INVALID_METADATA", `${ACTOR_KEY}: ${problem}`, { key: ACTOR_KEY });
    }
    return {
      name,
      scopes: new Set(SCOPES),
      events: undefined,
      expiresAtMs: Number.POSITIVE_INFINITY,
      isProven: false,
    };
  },
  guard: () => () => undefined,
  close: () => undefined,
};
