import { describe, expect, it } from "vitest";
import { ChannelClient, type GrpcClient, PermissionClient, PermissionRelay } from "../../../src/router/index.js";
import { startReferenceRouter } from "../../../src/router/reference/referenceRouter.js";
import { ChannelStateManager, PermissionSyncManager } from "../../../src/server/index.js";

// A call that the compiler does not check.
const untyped = (value: unknown) => value as never;
const VALID = { address: "127.0.0.1:1", routerId: "r" };

describe("options of the public classes and functions", () => {
  const refused: [string, () => unknown, string][] = [
    [
      "no options",
      () => new PermissionClient(untyped(undefined)),
      "options: PermissionClient needs an object of options",
    ],
    [
      "a missing option",
      () => new PermissionClient(untyped({})),
      "address: PermissionClient needs this option; it must be host:port, or host:port,host:port of all replicas",
    ],
    [
      "another missing option",
      () => new PermissionClient(untyped({ address: "127.0.0.1:1" })),
      "routerId: PermissionClient needs this option; it must be a string that names this router",
    ],
    [
      "a misspelt option",
      () => new PermissionClient(untyped({ ...VALID, adress: "127.0.0.1:1" })),
      "adress: PermissionClient has no such option; did you mean address?",
    ],
    [
      "a name with other capital letters",
      () => new PermissionClient(untyped({ ...VALID, eventIDs: [] })),
      "eventIDs: PermissionClient has no such option; did you mean eventIds?",
    ],
    [
      "a name that resembles no option",
      () => new PermissionRelay(new PermissionClient(VALID), untyped({ timeoutSeconds: 5 })),
      "timeoutSeconds: PermissionRelay has no such option; it has cut, cutAfterMs, logger",
    ],
    [
      "a value of a wrong type",
      () => new PermissionClient(untyped({ ...VALID, heartbeatIntervalMs: "30s" })),
      "heartbeatIntervalMs: this option of PermissionClient must be a number of milliseconds from 1 to 2147483647",
    ],
    [
      "a word that the option does not know",
      () => new PermissionRelay(new PermissionClient(VALID), untyped({ cut: "later" })),
      'cut: this option of PermissionRelay must be "atOnce" or "afterTransmission"',
    ],
    [
      "a relay without client",
      () => new PermissionRelay(untyped({})),
      "client: PermissionRelay needs a PermissionClient",
    ],
    [
      "a channel client on a permission client",
      () => new ChannelClient(untyped(new PermissionClient(VALID))),
      "grpc: ChannelClient needs the rpc property of a PermissionClient",
    ],
    [
      "a misspelt option of a channel client",
      () => new ChannelClient(untyped({ serverStream: () => undefined }) as GrpcClient, untyped({ loger: undefined })),
      "loger: ChannelClient has no such option; did you mean logger?",
    ],
    [
      "a manager without a function to call",
      () => new PermissionSyncManager(untyped({ redisUrl: "redis://127.0.0.1:1" })),
      "onPermissionChange: must be a function",
    ],
    [
      "a misspelt option of a manager",
      () => new PermissionSyncManager(() => undefined, untyped({ redisURL: "redis://127.0.0.1:1" })),
      "redisURL: PermissionSyncManager has no such option; did you mean redisUrl?",
    ],
    [
      "a value that is not a logger",
      () => new ChannelStateManager(untyped({ redisUrl: "redis://127.0.0.1:1", logger: console })),
      "logger: this option of ChannelStateManager must be a pino logger",
    ],
  ];

  it.each(refused)("refuses %s with a sentence that names it", (_case, construct, message) => {
    expect(construct).toThrow(expect.objectContaining({ name: "SquelchError", code: "invalidArgument", message }));
  });

  it("rejects wrong options of the reference router before it opens anything", async () => {
    const given = { ...VALID, listen: "127.0.0.1:0" };
    await expect(startReferenceRouter(untyped(given))).rejects.toMatchObject({
      code: "invalidArgument",
      message: "jwtSecret: startReferenceRouter needs this option; it must be a string or an array of strings",
    });
    await expect(startReferenceRouter(untyped({ ...given, jwtSecret: "s", listenOn: "x" }))).rejects.toMatchObject({
      message: "listenOn: startReferenceRouter has no such option; did you mean listen?",
    });
  });

  it("never quotes a value, because it may be secret", () => {
    const construct = () => new PermissionClient(untyped({ ...VALID, token: ["hunter2"] }));
    expect(construct).toThrow(
      "token: this option of PermissionClient must be a string, or a function that returns one",
    );
  });

  it("treats undefined like an option that is not given", () => {
    expect(() => new PermissionRelay(new PermissionClient(VALID), untyped({ cut: undefined }))).not.toThrow();
  });
});
