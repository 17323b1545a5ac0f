import { createSecretKey, type KeyObject } from "node:crypto";
import { text } from "node:stream/consumers";
import type { Command } from "commander";
import {
  decodeJwt,
  decodeProtectedHeader,
  importJWK,
  importPKCS8,
  type JWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from "jose";
import { idProblem } from "../../domain/id.js";
import { SCOPES, type Scope } from "../../domain/identity.js";
import { MIN_SECRET_BYTES } from "../../server/config.js";
import type { CommandContext } from "../context.js";
import { CommandFailure } from "../failure.js";
import { formatDuration, parsePositiveDuration } from "../output/duration.js";
import { readOption } from "../security.js";

const DEFAULT_LIFE_MS = 12 * 3_600_000;

interface SecretOptions {
  secret?: string;
  secretFile?: string;
}

interface MintOptions extends SecretOptions {
  scope: string[];
  event: string[];
  expiresIn: number;
  audience: string;
  issuer?: string;
  privateKey?: string;
  keyId?: string;
  algorithm?: string;
}

/** Adds `squelch token mint NAME` and `squelch token read [TOKEN]`. */
export function addTokenCommand(program: Command, context: CommandContext): void {
  const command = program.command("token").description("make and read the tokens of callers");
  addMint(command, context);
  addRead(command, context);
}

function addSecretOptions(command: Command): Command {
  return command
    .option("--secret <secret>", "the signing secret (or SQUELCH_TOKEN_SECRET, which ps does not show)")
    .option("--secret-file <file>", "a file with one secret in each line; the first one signs");
}

function addMint(parent: Command, context: CommandContext): void {
  const command = parent
    .command("mint")
    .description("print a token")
    .argument("<name>", "the name of the caller, recorded as the actor of changes")
    .requiredOption("--scope <scope...>", `the rights of the token: ${SCOPES.join(", ")}`)
    .option(
      "--event <event...>",
      "limit the token to these events; a * at the end matches all events with this prefix",
      [],
    )
    .option(
      "--expires-in <time>",
      `how long the token is valid (default ${formatDuration(DEFAULT_LIFE_MS)})`,
      parsePositiveDuration,
      DEFAULT_LIFE_MS,
    )
    .option("--audience <audience>", "the aud claim, the service that the token is for", "squelch")
    .option("--issuer <issuer>", "the iss claim, the issuer of the token")
    .option("--private-key <file>", "sign with a private key (JWK or PKCS #8) instead of a secret")
    .option("--key-id <id>", "the id of the key in the key set (default: the kid of the JWK)")
    .option("--algorithm <algorithm>", "the algorithm of the private key (default: the alg of the JWK)");
  addSecretOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  squelch token mint router-1 --scope watch floor\n" +
        "  squelch token mint anna --scope watch pause --event festival --expires-in 8h",
    )
    .action(async (name: string, options: MintOptions) => {
      const { scope, event, expiresIn, audience, issuer } = options;
      const problem = idProblem(name);
      if (problem !== undefined) throw new CommandFailure(`name: ${problem}`, 2);
      const unknown = scope.find((each) => !SCOPES.includes(each as Scope));
      if (unknown !== undefined)
        throw new CommandFailure(`the scope "${unknown}" does not exist; give one or more of ${SCOPES.join(", ")}`, 2);
      const nowS = Math.floor(Date.now() / 1_000);
      const claims: JWTPayload = {
        sub: name,
        scope: scope.join(" "),
        ...(event.length > 0 && { events: event }),
        aud: audience,
        ...(issuer !== undefined && { iss: issuer }),
        iat: nowS,
        exp: nowS + Math.ceil(expiresIn / 1_000),
      };
      const { key, ...header } = await readSigningKey(context, options);
      await context.output.line(await new SignJWT(claims).setProtectedHeader(header).sign(key));
    });
}

function addRead(parent: Command, context: CommandContext): void {
  const command = parent
    .command("read")
    .description("print the claims of a token, and with a secret check its signature")
    .argument("[token]", "the token (default: SQUELCH_TOKEN, or standard input)");
  addSecretOptions(command).action(async (argument: string | undefined, options: SecretOptions) => {
    const token = (argument ?? (context.env.SQUELCH_TOKEN || (await text(context.stdin)))).trim();
    const { header, claims } = decode(token);
    const [secret] = readSecrets(context, options) ?? [];
    const about = [
      ["name", claims.sub],
      ["scopes", claims.scope],
      ["events", claims.events ?? "all"],
      ["for", claims.aud],
      ["from", claims.iss],
      ["made", toTime(claims.iat)],
      ["expires", `${toTime(claims.exp) ?? "never, so replicas refuse it"}${isPast(claims.exp) ? " (expired)" : ""}`],
      ["algorithm", `${header.alg}`],
      ["signature", secret === undefined ? "not checked: no secret was given" : await check(token, secret)],
    ].filter(([, value]) => value !== undefined);
    await context.output.table(
      ["CLAIM", "VALUE"],
      about.map(([name, value]) => [`${name}`, [value].flat().join(" ")]),
    );
  });
}

function decode(token: string) {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt<{ scope?: string; events?: string[] }>(token) };
  } catch {
    throw new CommandFailure("this is not a valid token; give a JWT, which has three parts with dots between them", 2);
  }
}

async function check(token: string, secret: KeyObject): Promise<string> {
  try {
    // The expiry has a line of its own.
    await jwtVerify(token, secret, { algorithms: ["HS256", "HS384", "HS512"], currentDate: new Date(0) });
    return "fits the secret";
  } catch (error) {
    const { code } = error as { code?: string };
    return code === "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" || code === "ERR_JOSE_ALG_NOT_ALLOWED"
      ? "does not fit the secret"
      : "fits the secret";
  }
}

function toTime(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : new Date(seconds * 1_000).toISOString();
}

function isPast(seconds: number | undefined): boolean {
  return seconds !== undefined && seconds * 1_000 <= Date.now();
}

async function readSigningKey(context: CommandContext, options: MintOptions) {
  const { privateKey, keyId, algorithm } = options;
  if (privateKey === undefined) {
    const [key] = readSecrets(context, options) ?? [];
    if (key !== undefined) return { key, alg: "HS256" };
    throw new CommandFailure(
      "the signing key is missing; give --secret-file, SQUELCH_TOKEN_SECRET or --private-key",
      2,
    );
  }
  const file = readOption("--private-key", privateKey).toString();
  const jwk: JWK = file.trimStart().startsWith("{") ? (JSON.parse(file) as JWK) : {};
  const alg = algorithm ?? jwk.alg;
  if (alg === undefined)
    throw new CommandFailure("--algorithm: must be given, because the key does not name one; for example EdDSA", 2);
  const kid = keyId ?? jwk.kid;
  try {
    const key = jwk.kty === undefined ? await importPKCS8(file, alg) : await importJWK(jwk, alg);
    return { key, alg, ...(kid !== undefined && { kid }) };
  } catch {
    throw new CommandFailure(`--private-key: ${privateKey} is not a private key for ${alg}`, 2);
  }
}

function readSecrets({ env }: CommandContext, { secret, secretFile }: SecretOptions): KeyObject[] | undefined {
  const given = secret ?? (secretFile === undefined ? env.SQUELCH_TOKEN_SECRET || undefined : undefined);
  const lines =
    secretFile === undefined || secret !== undefined
      ? given && [given]
      : readOption("--secret-file", secretFile)
          .toString()
          .split(/\r?\n/)
          .filter((line) => line !== "");
  if (!lines) return undefined;
  if (lines.length === 0 || lines.some((line) => Buffer.byteLength(line) < MIN_SECRET_BYTES)) {
    throw new CommandFailure(`a secret must have at least ${MIN_SECRET_BYTES} bytes`, 2);
  }
  return lines.map((line) => createSecretKey(line, "utf8"));
}
