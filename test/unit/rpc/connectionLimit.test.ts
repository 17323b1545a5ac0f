import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/server/config.js";
import { ConnectionLimit } from "../../../src/server/rpc/connectionLimit.js";

class FakeSocket extends EventEmitter {
  isDestroyed = false;
  readonly remoteAddress: string;
  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }
  destroy(): this {
    this.isDestroyed = true;
    this.emit("close");
    return this;
  }
}

function limitOf(flags: Record<string, string>) {
  const { maxConnections, maxConnectionsPerAddress, proxies } = parseConfig(flags, {});
  const refused: string[] = [];
  const rules = {
    max: maxConnections,
    maxPerAddress: maxConnectionsPerAddress,
    unlimited: proxies,
    onRefused: (limit: string) => void refused.push(limit),
  };
  const limit = new ConnectionLimit(rules);
  const sockets: FakeSocket[] = [];
  /** Opens connections from an address, and returns the number of accepted connections. */
  const open = (address: string, count: number) => {
    const opened = Array.from({ length: count }, () => new FakeSocket(address));
    sockets.push(...opened);
    return opened.filter((socket) => limit.admit(socket)).length;
  };
  return { open, refused, sockets };
}

describe("connections per address", () => {
  it("are limited to half of all by default, and a closed connection makes room", () => {
    const { open, refused, sockets } = limitOf({ maxConnections: "10" });
    expect([open("192.0.2.1", 7), open("192.0.2.2", 5)]).toEqual([5, 5]);
    expect(refused).toEqual(["connections_per_address", "connections_per_address"]);
    expect(sockets.map(({ isDestroyed }) => isDestroyed).indexOf(true)).toBe(5);
    sockets[0]?.destroy();
    expect(open("192.0.2.1", 2)).toBe(1);
  });

  it("count the 64 bits of an IPv6 network as one host, and IPv4 in IPv6 as IPv4", () => {
    const { open } = limitOf({ maxConnectionsPerAddress: "2" });
    expect([open("2001:db8::1", 1), open("2001:db8::ffff:1", 1), open("2001:db8:0:0:5::", 1)]).toEqual([1, 1, 0]);
    expect(open("2001:db8:0:1::1", 1)).toBe(1);
    expect([open("::ffff:192.0.2.1", 1), open("192.0.2.1", 2)]).toEqual([1, 1]);
  });

  it("are not limited for loopback and for named proxies", () => {
    const { open } = limitOf({ maxConnectionsPerAddress: "1", proxies: "10.1.0.0/16, 2001:db8::7" });
    for (const address of ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "2001:db8::7"]) {
      expect(open(address, 50), address).toBe(50);
    }
    expect([open("10.2.0.1", 2), open("2001:db8::8", 2)]).toEqual([1, 1]);
  });

  it.each(["10.0.0.0/33", "example.org", "10.0.0.0/8/8", "10.0.0", "::1/129"])("--proxies %s is refused", (proxies) => {
    expect(() => parseConfig({ proxies }, {})).toThrow(/^--proxies \(SQUELCH_PROXIES\): must be IP addresses/);
  });
});
