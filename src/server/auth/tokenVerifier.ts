import { createHash } from "node:crypto";
import { decodeProtectedHeader, errors } from "jose";
import { refusal, type SquelchError } from "../../domain/errors.js";
import { type Identity, parseIdentity } from "../../domain/identity.js";
import type { KeySource } from "./keySource.js";
import type { Revocations } from "./revocations.js";

/** The longest token that is verified, bytes. */
const MAX_TOKEN_BYTES = 8_192;
/** How many verified tokens are cached. Beyond that the oldest is removed. */
const MAX_REMEMBERED_TOKENS = 10_000;
/** The tolerated difference of clocks, s. */
const CLOCK_TOLERANCE_S = 5;

/** The rules that every token must satisfy. */
export interface TokenRules {
  audience: string;
  /** Undefined: any issuer that has the key. */
  issuer: string | undefined;
}

/** Identifies callers by their tokens. It caches verified tokens by their digest, to save the signature check. */
export class TokenVerifier {
  readonly #sources: readonly KeySource[];
  readonly #rules: TokenRules;
  readonly #revocations: Revocations;
  #known = new Map<string, Identity>();

  constructor(sources: readonly KeySource[], rules: TokenRules, revocations: Revocations) {
    this.#sources = sources;
    this.#rules = rules;
    this.#revocations = revocations;
  }

  /** Empties the cache. Call it when the keys or the revocations have changed. */
  forget(): void {
    this.#known = new Map();
  }

  /**
   * Verifies a token and returns the identity in it.
   *
   * @throws SquelchError `unauthenticated` with the reason, never with a part of the token; `unavailable` while no keys
   *   could be read
   */
  async verify(token: string): Promise<Identity> {
    if (token.length > MAX_TOKEN_BYTES) throw invalid(`must have at most ${MAX_TOKEN_BYTES} bytes`);
    const digest = createHash("sha256").update(token).digest("base64");
    const known = this.#known.get(digest);
    if (known !== undefined) {
      if (known.expiresAtMs > Date.now()) return known;
      this.#known.delete(digest);
      throw expired();
    }
    const remembered = this.#known;
    const identity = await this.#verify(token);
    // The keys have changed meanwhile, and a removed key may have verified the token.
    if (remembered !== this.#known) return await this.verify(token);
    const [oldest = ""] = remembered.size < MAX_REMEMBERED_TOKENS ? [] : remembered.keys();
    remembered.delete(oldest);
    remembered.set(digest, identity);
    return identity;
  }

  async #verify(token: string): Promise<Identity> {
    const source = this.#sourceFor(token);
    const { audience, issuer } = this.#rules;
    try {
      const claims = await source.verify(token, {
        audience,
        ...(issuer === undefined ? {} : { issuer }),
        requiredClaims: ["sub", "exp"],
        clockTolerance: CLOCK_TOLERANCE_S,
      });
      const identity = parseIdentity(claims);
      if (this.#revocations.isRevoked(identity.name, claims.jti)) throw revoked("token");
      return { ...identity, expiresAtMs: identity.expiresAtMs + CLOCK_TOLERANCE_S * 1_000 };
    } catch (error) {
      throw toRefusal(error, this.#rules);
    }
  }

  // Chooses the source only by the token's algorithm, because each algorithm belongs to one kind of key.
  #sourceFor(token: string): KeySource {
    let algorithm: string | undefined;
    try {
      algorithm = decodeProtectedHeader(token).alg;
    } catch {
      throw invalid("is not a signed JSON web token");
    }
    const source = this.#sources.find(({ algorithms }) => algorithms.includes(algorithm ?? ""));
    if (source === undefined) throw invalid("is signed by an algorithm that is not accepted here");
    return source;
  }
}

/** Returns the error for an expired token. */
export function expired(): SquelchError {
  return refusal("TOKEN_EXPIRED", "token: has expired; get a new one and connect again", {});
}

/** Returns the error for a token or a client certificate that was revoked. */
export function revoked(what: "token" | "client certificate"): SquelchError {
  const reason = what === "token" ? "TOKEN_INVALID" : "CERTIFICATE_INVALID";
  return refusal(reason, `${what}: was revoked; ask an administrator for a new one`, {});
}

function invalid(problem: string, claim?: string): SquelchError {
  return refusal("TOKEN_INVALID", `token: ${problem}`, claim === undefined ? {} : { claim });
}

function toRefusal(error: unknown, { audience, issuer }: TokenRules): unknown {
  if (error instanceof errors.JWTExpired) return expired();
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim } = error;
    if (claim === "aud") return invalid(`its claim aud must be ${audience}`, claim);
    if (claim === "iss") return invalid(`its claim iss must be ${issuer}`, claim);
    if (claim === "nbf") return invalid("is not valid yet", claim);
    return invalid(`its claim ${claim} is missing or wrong`, claim);
  }
  if (error instanceof errors.JWKSNoMatchingKey) return invalid("is signed by an unknown key");
  if (error instanceof errors.JOSEError) return invalid("its signature does not fit");
  return error;
}
