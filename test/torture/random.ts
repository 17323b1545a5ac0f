/** Generates pseudo-random numbers that are the same for the same seed. */
export interface Random {
  /** From 0 up to but not including 1. */
  next(): number;
  /** A whole number from `least` to `most`, both included. */
  integer(least: number, most: number): number;
  pick<T>(items: readonly T[]): T;
  /** Returns the items in a random order. */
  shuffle<T>(items: readonly T[]): T[];
  /** Returns true with that probability. */
  chance(probability: number): boolean;
  /** Returns an independent source: draws from one do not affect draws from the other. */
  fork(name: string): Random;
}

/** @param seed a whole number from 0 to 4294967295 */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  // mulberry32: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (least: number, most: number) => least + Math.floor(next() * (most - least + 1));
  return {
    next,
    integer,
    pick: (items) => {
      if (items.length === 0) throw new Error("there is nothing to pick from");
      return items[integer(0, items.length - 1)] as (typeof items)[number];
    },
    shuffle: (items) => {
      const shuffled = [...items];
      for (let last = shuffled.length - 1; last > 0; last--) {
        const other = integer(0, last);
        [shuffled[last], shuffled[other]] = [shuffled[other] as never, shuffled[last] as never];
      }
      return shuffled;
    },
    chance: (probability) => next() < probability,
    fork: (name) => {
      let hash = seed;
      for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) as number), 0x01000193);
      return createRandom(hash);
    },
  };
}

/** Returns the seed in SQUELCH_FAULT_SEED, or a random one. */
export function chooseSeed(text = process.env.SQUELCH_FAULT_SEED): number {
  if (text === undefined || text === "") return Math.floor(Math.random() * 2 ** 32);
  const seed = Number(text);
  if (!/^\d+$/.test(text) || seed >= 2 ** 32) {
    throw new Error(`SQUELCH_FAULT_SEED: must be a whole number from 0 to ${2 ** 32 - 1}, not "${text}"`);
  }
  return seed;
}
