import { Command, Redis } from "ioredis";
import type { CommandConnection } from "../connection/openConnection.js";
import { probeKey } from "../keys.js";
import type { RunScript } from "../scripts/scripts.js";

/**
 * The most key names that are tried in order to find one in a slot of each shard. A shard with few slots takes longer.
 */
const MAX_KEYS = 20_000;

/**
 * Returns a function that makes a write of each kind on every server that accepts writes. It runs one small script, or
 * one per shard of a Cluster, because an event may live on any shard. It rejects with `unavailable` if one of the
 * servers rejects the write.
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
