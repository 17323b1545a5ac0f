import { readFile } from "node:fs/promises";
import {
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWK,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
} from "jose";
import { refusal, SquelchError } from "../../domain/errors.js";
import { followFiles } from "../../lib/followFiles.js";
import type { Logger } from "../../lib/logger.js";
import type { KeySource } from "./keySource.js";

/** The algorithms with public keys. */
const PUBLIC_ALGORITHMS = [
  "EdDSA",
  "Ed25519",
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
];

/** How often the keys are read again, ms, so that a removed key soon stops working. */
const REFRESH_INTERVAL_MS = 30_000;
/** The shortest time between two reads that tokens with unknown keys cause, ms. */
const UNKNOWN_KEY_INTERVAL_MS = 5_000;
const FETCH_TIMEOUT_MS = 5_000;
const MAX_KEY_SET_BYTES = 1 << 20;
/** The shortest modulus of an RSA key, bits (RFC 7518, 3.3). Tokens that are signed with a shorter one are refused anyway. */
const MIN_RSA_BITS = 2_048;

type KeySet = ReturnType<typeof createLocalJWKSet>;

/**
 * Reads the public keys of a JWK set (RFC 7517). A file is read again when it changes, a URL every 30 s, and either when a
 * token names an unknown key. If a read fails, the failure is logged and the earlier keys stay in use.
 *
 * @param changed called when the keys have changed
 * @returns the key source. It has no keys yet if the first read failed
 * @throws SquelchError `invalidArgument` if the first read shows keys that must not be used, or none
 */
export async function createPublicKeys(location: string, changed: () => void, logger: Logger): Promise<KeySource> {
  const keys = new PublicKeys(location, changed, logger);
  await keys.refresh();
  const { unusable } = keys;
  if (unusable !== undefined) {
    keys.close();
    throw new SquelchError("invalidArgument", `--token-jwks: ${unusable.message}`, { cause: unusable });
  }
  return keys;
}

class PublicKeys implements KeySource {
  readonly algorithms = PUBLIC_ALGORITHMS;
  readonly #location: string;
  readonly #changed: () => void;
  readonly #logger: Logger;
  readonly #stop: () => void;
  /** Why the keys that were read last cannot be used. */
  unusable: UnusableKeys | undefined;
  #text = "";
  #keys: KeySet | undefined;
  #refreshing: Promise<void> | undefined;
  #refreshedAtMs = 0;

  constructor(location: string, changed: () => void, logger: Logger) {
    this.#location = location;
    this.#changed = changed;
    this.#logger = logger;
    this.#stop = isUrl(location)
      ? every(REFRESH_INTERVAL_MS, () => void this.refresh())
      : followFiles([location], () => void this.refresh());
  }

  async verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return await this.#verify(token, options);
    } catch (error) {
      const isUnknown = this.#keys === undefined || error instanceof errors.JWKSNoMatchingKey;
      if (!isUnknown || performance.now() - this.#refreshedAtMs < UNKNOWN_KEY_INTERVAL_MS) throw error;
      await this.refresh();
      return await this.#verify(token, options);
    }
  }

  /** Reads the keys again. Concurrent calls share one read. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  close(): void {
    this.#stop();
  }

  async #verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    if (this.#keys === undefined) {
      throw refusal("KEYS_UNAVAILABLE", "the keys of tokens could not be read yet; try again", {});
    }
    const verifying = { ...options, algorithms: PUBLIC_ALGORITHMS };
    try {
      return (await jwtVerify(token, this.#keys, verifying)).payload;
    } catch (error) {
      // The token names no key, and several keys may have signed it.
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      for await (const key of error) {
        try {
          return (await jwtVerify(token, key, verifying)).payload;
        } catch (failure) {
          if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  async #refresh(): Promise<void> {
    try {
      const text = await readKeySet(this.#location);
      if (text === this.#text) return;
      this.unusable = undefined;
      const isFirst = this.#keys === undefined;
      this.#keys = parseKeySet(text);
      this.#text = text;
      if (!isFirst) this.#changed();
    } catch (error) {
      this.unusable = error instanceof UnusableKeys ? error : undefined;
      this.#logger.error(
        { err: error, source: redacted(this.#location) },
        "keys of tokens could not be read, will try again",
      );
    } finally {
      this.#refreshedAtMs = performance.now();
    }
  }
}

// A URL may carry a secret.
function redacted(location: string): string {
  return isUrl(location) ? new URL(location).origin : location;
}

function isUrl(location: string): boolean {
  return /^https?:/.test(location);
}

function every(intervalMs: number, run: () => void): () => void {
  const timer = setInterval(run, intervalMs);
  return () => clearInterval(timer);
}

async function readKeySet(location: string): Promise<string> {
  if (!isUrl(location)) return await readFile(location, "utf8");
  const response = await fetch(location, { redirect: "error", signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > MAX_KEY_SET_BYTES) throw new Error(`more than ${MAX_KEY_SET_BYTES} bytes`);
  }
  return text;
}

/** The keys can be read and must not be used. */
class UnusableKeys extends Error {}

function parseKeySet(text: string): KeySet {
  const set = JSON.parse(text) as JSONWebKeySet;
  const keys = createLocalJWKSet(set);
  if (set.keys.length === 0) throw new UnusableKeys("the set has no keys");
  for (const [index, key] of set.keys.entries()) {
    const problem = problemOf(key);
    if (problem !== undefined) throw new UnusableKeys(`keys[${index}] (kid ${JSON.stringify(key.kid)}): ${problem}`);
  }
  return keys;
}

function problemOf({ kty, d, n = "" }: JWK): string | undefined {
  // A set that only verifies tokens needs no secret or private key, and could leak it.
  if (kty === "oct" || d !== undefined) return "is secret; publish public keys only";
  const bits = (Buffer.from(n, "base64url").length - leadingZeros(n)) * 8;
  if (kty === "RSA" && bits < MIN_RSA_BITS) return `has ${bits} bits; use ${MIN_RSA_BITS} or more`;
  return undefined;
}

function leadingZeros(n: string): number {
  const first = Buffer.from(n, "base64url").findIndex((byte) => byte !== 0);
  return Math.max(first, 0);
}
