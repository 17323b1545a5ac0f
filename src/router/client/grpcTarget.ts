import { isIPv4, isIPv6 } from "node:net";
import { SquelchError } from "../../domain/errors.js";
import { parseHostPort } from "../../lib/hostPort.js";

/**
 * Turns `host:port` or `host:port,host:port,…` into a grpc-js target that reaches all replicas: a list of IP addresses
 * of one family, or one host name that is looked up in DNS.
 *
 * @throws SquelchError `invalidArgument` if it is neither
 */
export function parseGrpcTarget(address: string): string {
  const entries = address.split(",").map((part) => part.trim());
  const hosts = entries.map((entry) => {
    const parsed = parseHostPort(entry);
    if (parsed === undefined) throw new SquelchError("invalidArgument", `address: "${entry}" is not host:port`);
    return parsed.host;
  });
  if (hosts.every((host) => isIPv4(host))) return `ipv4:${entries.join(",")}`;
  if (hosts.every((host) => isIPv6(host))) return `ipv6:${entries.join(",")}`;
  if (entries.length === 1) return `dns:///${entries[0]}`;
  throw new SquelchError("invalidArgument", "address: give IP addresses of one family, or one host name");
}
