import type { Flaw } from "./flaws.js";
import { IngestModel } from "./ingestModel.js";
import { checkAtRest, checkWatermark } from "./laws.js";
import { knownChannels, type Schedule, type Shortfall, type World } from "./worlds.js";

/** What a schedule came to, so that one can see whether it exercised anything. */
export interface Course {
  steps: number;
  writes: number;
  /** Updates that no replica received. */
  missed: number;
  /** Users whom a reconcile gave or took something. */
  restored: number;
  /** Where it fell short of the newest write because the keys could not tell. */
  shortfalls: Shortfall[];
}

/**
 * Runs a schedule to its end and checks every law on the way.
 *
 * @param flaw what is done wrong
 * @throws LawBroken
 */
export function runSchedule(world: World, { isCold, steps, survivors }: Schedule, flaw?: Flaw): Course {
  const model = new IngestModel(flaw);
  for (const [channelId, eventId] of knownChannels(world)) model.redis.store.owners.set(channelId, eventId);
  if (!isCold) model.settle([]);
  for (const step of steps) {
    model.run(step);
    checkWatermark(model);
  }
  model.settle(survivors);
  checkWatermark(model);
  const shortfalls = checkAtRest(model, world);

  const { writes, executed, judgements } = model.redis.history;
  const received = new Set(executed.map(({ order }) => order));
  return {
    steps: steps.length,
    writes: writes.length,
    missed: writes.filter(({ kind, order }) => kind === "published" && !received.has(order)).length,
    restored: judgements.filter(({ changes }) => changes).length,
    shortfalls,
  };
}
