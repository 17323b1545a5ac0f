import { describe, expect, it } from "vitest";
import { parseHostPort } from "../../../src/lib/hostPort.js";

describe("parseHostPort", () => {
  it.each([
    ["127.0.0.1:80", { host: "127.0.0.1", port: 80 }],
    ["squelch.internal:0", { host: "squelch.internal", port: 0 }],
    ["[::1]:65535", { host: "::1", port: 65_535 }],
    ["[fe80::1%eth0]:1", { host: "fe80::1%eth0", port: 1 }],
  ])("reads %s", (text, address) => {
    expect(parseHostPort(text)).toEqual(address);
  });

  it.each([
    "",
    "host",
    ":80",
    "host:",
    "host:65536",
    "host:123456",
    "host:-1",
    "::1:80",
    "[host]:80",
    "[::1]",
    "a b:1",
  ])("%j is not valid", (text) => {
    expect(parseHostPort(text)).toBeUndefined();
  });

  it.each(["http://host:1", "user@host:1", "host/path:1", "a:1,b:2", "host:1/"])("%j is not valid", (text) => {
    expect(parseHostPort(text)).toBeUndefined();
  });

  it("uses the default port if the text has no port", () => {
    expect(parseHostPort("host", 6_379)).toEqual({ host: "host", port: 6_379 });
    expect(parseHostPort("[::1]", 6_379)).toEqual({ host: "::1", port: 6_379 });
    expect(parseHostPort("host:1", 6_379)).toEqual({ host: "host", port: 1 });
    expect(parseHostPort("host:", 6_379)).toBeUndefined();
  });
});
