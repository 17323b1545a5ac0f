import type { PeerCertificate } from "node:tls";
import { SquelchError } from "../../domain/errors.js";
import { idProblem } from "../../domain/id.js";
import { type Identity, SCOPES } from "../../domain/identity.js";
import type { Logger } from "../../lib/logger.js";
import { isAuthenticated } from "../config.js";
import type { ServerConfig } from "../configOptions.js";
import { identifyCertificate } from "./certificateIdentity.js";
import { createPublicKeys } from "./publicKeys.js";
import { createSecret, createSecretFile } from "./secretKeys.js";
import { expired, TokenVerifier } from "./tokenVerifier.js";

/** What a call brings along to say who calls. */
export interface Credentials {
  /** The value of its `authorization`. */
  authorization: string | undefined;
  /** What its `squelch-actor` says: believed only where nobody has to prove anything. */
  actor: string | undefined;
  /** The client certificate of its connection, if there is one and it was verified. */
  certificate(): PeerCertificate | undefined;
}

/** The metadata key under which a caller names itself. */
export const ACTOR_KEY = "squelch-actor";

/** The actor of a caller who does not. */
const ANONYMOUS = "anonymous";

/** The longest time that a timer can wait, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Finds out who calls, and tells when that has to be proven anew. */
export interface Authenticator {
  /**
   * @throws SquelchError `unauthenticated`; `unavailable` if it cannot be told now; `invalidArgument` if somebody who has
   *   nothing to prove has a name that is no id
   */
  identify(credentials: Credentials): Promise<Identity>;
  /**
   * Calls back, never at once, when the identity is no longer proven: its token has expired, or the key that signed it is
   * gone.
   *
   * @returns ends it
   */
  guard(credentials: Credentials, identity: Identity, fail: (error: unknown) => void): () => void;
  close(): void;
}

/**
 * Everybody may do everything under any name if the configuration names no way to prove who one is.
 *
 * @throws SquelchError `invalidArgument` if secrets cannot be read or are too short
 */
export async function createAuthenticator(config: ServerConfig, logger: Logger): Promise<Authenticator> {
  if (!isAuthenticated(config)) return trusting;
  const rechecks = new Set<() => void>();
  const changed = () => {
    verifier.forget();
    for (const recheck of rechecks) recheck();
  };
  const { tokenSecret, tokenSecretFile, tokenJwks } = config;
  const sources = [
    ...(tokenSecret === undefined ? [] : [createSecret(tokenSecret)]),
    ...(tokenSecretFile === undefined ? [] : [createSecretFile(tokenSecretFile, changed, logger)]),
    ...(tokenJwks === undefined ? [] : [await createPublicKeys(tokenJwks, changed, logger)]),
  ];
  const verifier = new TokenVerifier(sources, { audience: config.tokenAudience, issuer: config.tokenIssuer });

  async function identify({ authorization, certificate }: Credentials): Promise<Identity> {
    if (authorization !== undefined) {
      const [, token] = /^Bearer +([^ ]+)$/i.exec(authorization) ?? [];
      if (token === undefined) throw new SquelchError("unauthenticated", 'authorization: must be "Bearer" and a token');
      return await verifier.verify(token);
    }
    const proven = certificate();
    if (proven !== undefined) return identifyCertificate(proven);
    throw new SquelchError("unauthenticated", 'authorization: must be given, "Bearer" and a token');
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
      // The store of keys that cannot be read now has nothing against the stream.
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
      for (const source of sources) source.close();
    },
  };
}

const trusting: Authenticator = {
  async identify({ actor: name = ANONYMOUS }) {
    const problem = idProblem(name);
    if (problem !== undefined) throw new SquelchError("invalidArgument", `${ACTOR_KEY}: ${problem}`);
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
