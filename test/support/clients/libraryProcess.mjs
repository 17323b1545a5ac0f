// A process that uses the library as any other program would: by the package's name. It does what it is told on stdin,
// a call a line as JSON [target, method, ...arguments], and writes what comes of it to stdout, a JSON line each.
import { createInterface } from "node:readline";
import { ChannelStateManager, createLogger, PermissionSyncManager } from "squelch-ptt/server";

/** @param {object} message */
const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const logger = createLogger("library", "silent");
/** @type {Record<string, any>} */
const targets = {
  sync: new PermissionSyncManager(
    (userId, eventId, newChannelIds, action) => write({ event: "change", userId, eventId, newChannelIds, action }),
    { logger },
  ),
  channels: new ChannelStateManager({ logger }),
};
/** @param {object} state */
const onState = (state) => write({ event: "state", ...state });

for await (const line of createInterface({ input: process.stdin })) {
  const [target, method, ...args] = JSON.parse(line);
  if (method === "subscribeToChannel") args.push(onState);
  try {
    const result = await targets[target][method](...args);
    write({ result: result instanceof Map ? [...result] : (result ?? null) });
  } catch (error) {
    const { code, message } = /** @type {import("squelch-ptt/server").SquelchError} */ (error);
    write({ error: code, message });
  }
}
await targets.sync.stop();
await targets.channels.shutdown();
