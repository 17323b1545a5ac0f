import type { Flaw } from "./flaws.js";
import { IngestModel } from "./ingestModel.js";
import { checkAtRest, checkWatermark } from "./laws.js";
import { knownChannels, type Schedule, type Shortfall, type World } from "./worlds.js";

/** Counts of what happened in a schedule, so that a test can check that it exercised the protocol. */
export interface Course {
  steps: number;
  writes: number;
  /** Updates that no replica received. */
  missed: number;
  /** Users whose channels a reconcile changed. */
  restored: number;
  /** Users with an older write because the keys could not repair it. */
  shortfalls: Shortfall[];
}

/**
 * Runs a schedule to its end and checks every law on the way.
 *
 * @param flaw the mistake to make
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
