import { createSecretKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from "jose";
import { SquelchError } from "../../domain/errors.js";
import { followFiles } from "../../lib/followFiles.js";
import type { Logger } from "../../lib/logger.js";
import { MIN_SECRET_BYTES } from "../config.js";
import type { KeySource } from "./keySource.js";

/** The algorithms of shared secrets. */
const SECRET_ALGORITHMS = ["HS256", "HS384", "HS512"] as const;

/** Creates a key source with one fixed secret. */
export function createSecret(secret: string): KeySource {
  const keys = toKeys([secret], "the secret");
  return toSource(
    () => keys,
    () => undefined,
  );
}

/**
 * Creates a key source with the secrets of a file, one a line. A token may be signed with any of them, so that a new secret
 * can be added before the old one is removed. The file is read again when it changes. If that fails, the failure is logged
 * and the earlier secrets stay in use.
 *
 * @param changed called after the secrets were read again
 * @throws SquelchError `invalidArgument` if the first read fails
 */
export function createSecretFile(path: string, changed: () => void, logger: Logger): KeySource {
  let keys = readSecrets(path);
  const stop = followFiles([path], () => {
    try {
      keys = readSecrets(path);
      logger.info({ path, secrets: keys.length }, "secrets of tokens read anew");
      changed();
    } catch (error) {
      logger.error({ err: error, path }, "secrets of tokens could not be read anew, the old ones still hold");
    }
  });
  return toSource(() => keys, stop);
}

function toSource(keys: () => readonly KeyObject[], close: () => void): KeySource {
  return {
    algorithms: SECRET_ALGORITHMS,
    close,
    async verify(token, options) {
      let failure: unknown;
      for (const key of keys()) {
        try {
          return await verifyWith(key, token, options);
        } catch (error) {
          if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
          failure = error;
        }
      }
      throw failure;
    },
  };
}

async function verifyWith(key: KeyObject, token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
  const { payload } = await jwtVerify(token, key, { ...options, algorithms: [...SECRET_ALGORITHMS] });
  return payload;
}

function readSecrets(path: string): KeyObject[] {
  const lines = readText(path)
    .split(/\r?\n/)
    .filter((line) => line !== "");
  if (lines.length === 0) throw new SquelchError("invalidArgument", `${path}: has no secret`);
  return toKeys(lines, path);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new SquelchError("invalidArgument", `${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

function toKeys(secrets: readonly string[], where: string): KeyObject[] {
  const isShort = secrets.some((secret) => Buffer.byteLength(secret) < MIN_SECRET_BYTES);
  if (isShort) throw new SquelchError("invalidArgument", `${where}: must have at least ${MIN_SECRET_BYTES} bytes`);
  return secrets.map((secret) => createSecretKey(secret, "utf8"));
}
