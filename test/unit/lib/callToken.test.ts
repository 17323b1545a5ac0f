import { credentials, Metadata } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { PermissionService } from "../../../gen/squelch/v1/permission_service_pb.js";
import { createTokenInterceptor, type TokenSource } from "../../../src/lib/callToken.js";
import { GrpcClient } from "../../../src/lib/grpcService.js";

const TOKEN = "the.secret.token";

it.each<[string, TokenSource]>([
  ["a text with the end of its line", `${TOKEN}\n`],
  ["a function", () => `${TOKEN}\n`],
  ["a function that answers later", async () => `${TOKEN}\n`],
])("a token that cannot be sent (%s) fails the call without being quoted", async (_, source) => {
  const client = new GrpcClient("127.0.0.1:1", credentials.createInsecure(), {
    interceptors: [createTokenInterceptor(source)],
  });
  const call = async () =>
    await client.unary(PermissionService.method.getUserPermissions, {}, { metadata: new Metadata() });
  const error = (await call().catch((failure: unknown) => failure)) as Error;
  client.close();
  expect(error.message).toMatch(/^16 UNAUTHENTICATED: no token to call with: it .*line breaks/);
  expect(String(error.stack)).not.toContain(TOKEN);
});
