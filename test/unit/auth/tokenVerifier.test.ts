import { errors, type JWTPayload } from "jose";
import { expect, it } from "vitest";
import { NO_REVOCATIONS } from "../../../src/server/auth/revocations.js";
import { TokenVerifier } from "../../../src/server/auth/tokenVerifier.js";
import { mintToken } from "../../support/tokens.js";

it("a token is rejected if its key is removed while the token is verified", async () => {
  let goOn: (claims: JWTPayload) => void = () => undefined;
  const answers: Promise<JWTPayload>[] = [new Promise((resolve) => (goOn = resolve))];
  const source = {
    algorithms: ["HS256"],
    async verify() {
      const answer = answers.shift();
      if (answer === undefined) throw new errors.JWSSignatureVerificationFailed();
      return await answer;
    },
    close: () => undefined,
  };
  const verifier = new TokenVerifier([source], { audience: "squelch", issuer: undefined }, NO_REVOCATIONS);
  const verifying = verifier.verify(await mintToken({}));
  verifier.forget();
  goOn({ sub: "anna", exp: Date.now() / 1_000 + 3_600 });
  await expect(verifying).rejects.toMatchObject({ code: "unauthenticated" });
});
