import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { endChild, startChild } from "../../test/support/childProcess.js";

const PROGRAM = fileURLToPath(new URL("./distanceProcess.ts", import.meta.url));

/**
 * Calls `use` with a port of 127.0.0.1 that forwards to the server with a delay: every byte takes half of `roundTripMs`
 * longer in each direction. Without a distance it is the server's own port.
 */
export async function withDistance<T>(
  serverPort: number,
  roundTripMs: number,
  use: (port: number) => Promise<T>,
): Promise<T> {
  if (roundTripMs === 0) return use(serverPort);
  const args = ["--import", "tsx", PROGRAM, String(serverPort), String((roundTripMs * 1_000) / 2)];
  const child = await startChild(process.execPath, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  try {
    const [port] = (await once(child, "message")) as [number];
    return await use(port);
  } finally {
    await endChild(child, "SIGTERM");
  }
}
