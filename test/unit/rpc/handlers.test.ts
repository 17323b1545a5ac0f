import { expect, expectTypeOf, it } from "vitest";
import { type MethodName, services } from "../../../src/server/contract.js";
import type { Hub } from "../../../src/server/feed/hub.js";
import type { Handler, Handlers } from "../../../src/server/rpc/call.js";
import { implementCalls } from "../../../src/server/rpc/services.js";

declare const all: Handlers;
declare const others: Omit<Handlers, "startPtt">;

// This is compiled and never run. Each directive fails the compilation if the next line has no error.
function compileErrors(): Handlers[] {
  // @ts-expect-error startPtt is missing
  const missing: Handlers = { ...others };
  // @ts-expect-error startPtt is misspelt
  const misspelt: Handlers = { ...others, startPTT: all.startPtt };
  // @ts-expect-error startPtt answers with fields that its response does not have
  const wrongAnswer: Handlers = { ...others, startPtt: async () => ({ leaseId: 1n }) };
  // @ts-expect-error startPtt takes one request, not a stream
  const wrongKind: Handlers = { ...others, startPtt: all.syncEventMembers };
  return [missing, misspelt, wrongAnswer, wrongKind];
}

it("a missing, misspelt or unfitting handler does not compile", () => {
  expectTypeOf(compileErrors).returns.toEqualTypeOf<Handlers[]>();
});

it("handlers take the request of their method, or a stream of requests, and a context", () => {
  expectTypeOf<Handler<"startPtt">>().parameter(0).toHaveProperty("channelId");
  expectTypeOf<Handler<"startPtt">>().parameter(1).toHaveProperty("signal").toEqualTypeOf<AbortSignal>();
  expectTypeOf<Handler<"syncEventMembers">>().parameter(0).toHaveProperty(Symbol.asyncIterator);
  expectTypeOf<Handler<"watchChannels">>().parameter(2).toHaveProperty("write");
});

it("every method of every service is served, and its name belongs to one service", () => {
  const limits = { maxTalkTimeMs: 0, floorQueueLimit: 0, membershipCheck: true };
  const served = implementCalls({} as Hub, undefined, limits);
  const methods = services.flatMap((service) => Object.values(service.method));
  expect([...served.keys()]).toEqual(methods);
  const names = methods.map(({ localName }) => localName as MethodName);
  expect(new Set(names).size).toBe(names.length);
  for (const call of served.values()) expect(call.kind === "watch" ? call.open : call.handle).toBeTypeOf("function");
});
