import { Command, Redis } from "ioredis";
import type { CommandConnection } from "../connection/openConnection.js";
import { probeKey } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/** How many keys are looked at for one in a slot of each shard; a shard with fewer slots than usual takes longer. */
const MAX_KEYS = 20_000;

/**
 * Returns a function that makes a write of each kind on every server that takes writes: one small script, or one for each
 * shard of a Cluster, since an event may be on any of them. It rejects with `unavailable` where one of them refuses.
 */
export function createWriteProof(connection: CommandConnection, run: RunScript): () => Promise<unknown> {
  const slots: number[] = [];
  const slotOf = (number: number) => {
    slots[number] ??= new Command("get", [probeKey(number)]).getSlot() as number;
    return slots[number];
  };

  function keysOfAllShards(): string[] {
    if (connection instanceof Redis) return [probeKey(0)];
    const missing = new Set(connection.slots.flatMap((nodes) => nodes?.[0] ?? []));
    const keys: string[] = [];
    for (let number = 0; missing.size > 0 && number < MAX_KEYS; number++) {
      const master = connection.slots[slotOf(number)]?.[0];
      if (master !== undefined && missing.delete(master)) keys.push(probeKey(number));
    }
    return keys.length > 0 ? keys : [probeKey(0)];
  }

  return () => Promise.all(keysOfAllShards().map((key) => run("probe-writes", [key], [])));
}
