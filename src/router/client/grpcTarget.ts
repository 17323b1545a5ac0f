import { isIPv4, isIPv6 } from "node:net";
import { SquelchError } from "../../domain/errors.js";
import { parseHostPort } from "../../lib/hostPort.js";

/**
 * Converts the addresses of replicas to a grpc-js target that reaches all of them.
 *
 * @param address `host:port`, or `host:port,host:port,…`: IP addresses of one family, or one host name that DNS resolves
 * @throws SquelchError `invalidArgument` if the address has another form
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
  throw new SquelchError(
    "invalidArgument",
    "address: several replicas need IP addresses, all IPv4 or all IPv6; or give one host name",
  );
}
