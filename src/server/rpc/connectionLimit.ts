import { type BlockList, isIPv6 } from "node:net";

/** The prefix of an IPv4 client's address at an IPv6 listener (RFC 4291, 2.5.5.2). */
const MAPPED_IPV4 = "::ffff:";

/** The limits of a listener's connections. */
export interface ConnectionRules {
  /** The most connections of all clients. */
  max: number;
  /** The most connections from one address. For IPv6: from one network of 64 bits, because one host may use all of it. */
  maxPerAddress: number;
  /** Addresses without a limit for one address: loopback, and proxies that connect for many clients. */
  unlimited: BlockList;
  /** Called for each connection above a limit. Such a connection is closed. */
  onRefused(limit: "connections" | "connections_per_address"): void;
}

/** The used part of a socket. */
interface Connection {
  /** Undefined if the client has already disconnected. */
  readonly remoteAddress?: string | undefined;
  once(event: "close", listener: () => void): unknown;
  destroy(): unknown;
}

/** Counts the connections of one listener by address. An address without a connection is not kept. */
export class ConnectionLimit {
  readonly #rules: ConnectionRules;
  readonly #counts = new Map<string, number>();

  constructor(rules: ConnectionRules) {
    this.#rules = rules;
  }

  /** Counts a new connection until it closes. Closes it and returns false if its address has too many. */
  admit(socket: Connection): boolean {
    const { maxPerAddress, unlimited, onRefused } = this.#rules;
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) return true;
    const address = remoteAddress.startsWith(MAPPED_IPV4) ? remoteAddress.slice(MAPPED_IPV4.length) : remoteAddress;
    if (unlimited.check(address, isIPv6(address) ? "ipv6" : "ipv4")) return true;
    const host = isIPv6(address) ? networkOf(address) : address;
    const count = this.#counts.get(host) ?? 0;
    if (count >= maxPerAddress) {
      onRefused("connections_per_address");
      socket.destroy();
      return false;
    }
    this.#counts.set(host, count + 1);
    socket.once("close", () => {
      const left = (this.#counts.get(host) ?? 1) - 1;
      if (left === 0) this.#counts.delete(host);
      else this.#counts.set(host, left);
    });
    return true;
  }
}

/** Returns the first 64 bits of an IPv6 address, as four groups. */
function networkOf(address: string): string {
  const [withoutZone = ""] = address.split("%", 1);
  const [head = "", tail] = withoutZone.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array<string>(zeros).fill("0"), ...after].slice(0, 4).join(":");
}
