import { type JWTPayload, SignJWT } from "jose";

/** The secret of test tokens. */
export const TOKEN_SECRET = "a secret of the tests, long enough";

/** The claims of a test token. */
export interface TokenClaims extends JWTPayload {
  scope?: string;
  events?: readonly string[];
}

/** Returns a token that is signed with a shared secret. It is valid for an hour unless its claims have another expiry. */
export function mintToken(claims: TokenClaims, secret = TOKEN_SECRET): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + 3_600;
  return new SignJWT({ sub: "tester", aud: "squelch", exp, ...claims })
    .setProtectedHeader({ alg: "HS256" })
    .sign(Buffer.from(secret));
}
