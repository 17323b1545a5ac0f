import { describe, expect, it } from "vitest";
import { parseGrpcTarget } from "../../../../src/router/client/grpcTarget.js";

describe("parseGrpcTarget", () => {
  it.each([
    ["127.0.0.1:50051", "ipv4:127.0.0.1:50051"],
    ["10.0.0.1:1, 10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"],
    ["[::1]:50051,[fe80::1]:2", "ipv6:[::1]:50051,[fe80::1]:2"],
    ["squelch.internal:50051", "dns:///squelch.internal:50051"],
  ])("%s is reached as %s", (address, target) => {
    expect(parseGrpcTarget(address)).toBe(target);
  });

  it.each(["", "127.0.0.1", "host:99999", "http://host:1", "a:1,b:2", "127.0.0.1:1,[::1]:1", "127.0.0.1:1,"])(
    "%j is refused",
    (address) => {
      expect(() => parseGrpcTarget(address)).toThrow(/^address: /);
    },
  );
});
