import { isIPv6 } from "node:net";

/** An address to listen on or to connect to. An IPv6 host has no brackets. */
export interface HostPort {
  host: string;
  /** 0 to 65535. */
  port: number;
}

const HOST_AND_PORT = /^(?:\[([\da-fA-F:.]+(?:%[\w.-]+)?)\]|([^\s:/@?#[\],]+))(?::(\d{1,5}))?$/;

/**
 * Reads `host:port`, for example `10.0.0.1:80`, `squelch.internal:50051` or `[::1]:0`. Returns undefined for other text.
 *
 * @param defaultPort the port of an address that names none. By default such an address is not valid.
 */
export function parseHostPort(text: string, defaultPort?: number): HostPort | undefined {
  const [, ipv6, name, digits] = HOST_AND_PORT.exec(text) ?? [];
  const host = ipv6 ?? name;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (host === undefined || port === undefined || port > 65_535) return undefined;
  if (ipv6 !== undefined && !isIPv6(ipv6)) return undefined;
  return { host, port };
}
