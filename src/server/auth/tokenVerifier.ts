import { createHash } from "node:crypto";
import { decodeProtectedHeader, errors } from "jose";
import { SquelchError } from "../../domain/errors.js";
import { type Identity, parseIdentity } from "../../domain/identity.js";
import type { KeySource } from "./keySource.js";

/** A longer token is refused unread, bytes. */
const MAX_TOKEN_BYTES = 8_192;
/** How many tokens are remembered; beyond that the one that was verified first is forgotten. */
const MAX_REMEMBERED_TOKENS = 10_000;
/** By how much clocks may differ, s. */
const CLOCK_TOLERANCE_S = 5;

/** What a token must say beside who calls. */
export interface TokenRules {
  audience: string;
  /** Undefined: whoever has the key. */
  issuer: string | undefined;
}

/** Finds out who calls by a token. What was verified is remembered by its digest, so that a call costs no signature. */
export class TokenVerifier {
  readonly #sources: readonly KeySource[];
  readonly #rules: TokenRules;
  #known = new Map<string, Identity>();

  constructor(sources: readonly KeySource[], rules: TokenRules) {
    this.#sources = sources;
    this.#rules = rules;
  }

  /** Forgets what was verified, since the keys have changed. */
  forget(): void {
    this.#known = new Map();
  }

  /**
   * Who a token says that its bearer is.
   *
   * @throws SquelchError `unauthenticated` with the reason, never with a part of the token; `unavailable` while no keys
   *   could be read
   */
  async verify(token: string): Promise<Identity> {
    if (token.length > MAX_TOKEN_BYTES) throw refusal(`must have at most ${MAX_TOKEN_BYTES} bytes`);
    const digest = createHash("sha256").update(token).digest("base64");
    const known = this.#known.get(digest);
    if (known !== undefined) {
      if (known.expiresAtMs > Date.now()) return known;
      this.#known.delete(digest);
      throw expired();
    }
    const remembered = this.#known;
    const identity = await this.#verify(token);
    // The keys have changed meanwhile: it may have been verified by one that is gone.
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
      return { ...identity, expiresAtMs: identity.expiresAtMs + CLOCK_TOLERANCE_S * 1_000 };
    } catch (error) {
      throw toRefusal(error, this.#rules);
    }
  }

  // By the algorithm that the token names: each is for one kind of keys only, whatever else a token may say.
  #sourceFor(token: string): KeySource {
    let algorithm: string | undefined;
    try {
      algorithm = decodeProtectedHeader(token).alg;
    } catch {
      throw refusal("is no signed JSON web token");
    }
    const source = this.#sources.find(({ algorithms }) => algorithms.includes(algorithm ?? ""));
    if (source === undefined) throw refusal("is signed by an algorithm that is not accepted here");
    return source;
  }
}

/** What a caller is told whose token is no longer good. */
export function expired(): SquelchError {
  return refusal("has expired; get a new one and connect again");
}

function refusal(problem: string): SquelchError {
  return new SquelchError("unauthenticated", `token: ${problem}`);
}

function toRefusal(error: unknown, { audience, issuer }: TokenRules): unknown {
  if (error instanceof errors.JWTExpired) return expired();
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim } = error;
    if (claim === "aud") return refusal(`its claim aud must be ${audience}`);
    if (claim === "iss") return refusal(`its claim iss must be ${issuer}`);
    if (claim === "nbf") return refusal("is not valid yet");
    return refusal(`its claim ${claim} is missing or wrong`);
  }
  if (error instanceof errors.JWKSNoMatchingKey) return refusal("is signed by an unknown key");
  if (error instanceof errors.JOSEError) return refusal("its signature does not fit");
  return error;
}
