import { readFile } from "node:fs/promises";

const ESTABLISHED = "01";

/** Returns the number of established TCP connections to an IPv4 `host:port` of this machine, accepted or not. */
export async function establishedConnections(address: string): Promise<number> {
  const [host = "", port] = address.split(":");
  const bytes = host.split(".").map(Number).reverse();
  const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, "0");
  const local = `${bytes.map((byte) => hex(byte, 2)).join("")}:${hex(Number(port), 4)}`;
  const rows = (await readFile("/proc/net/tcp", "utf8")).split("\n").map((row) => row.trim().split(/\s+/));
  return rows.filter(([, localAddress, , state]) => localAddress === local && state === ESTABLISHED).length;
}
