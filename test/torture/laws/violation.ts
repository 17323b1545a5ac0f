import type { History } from "../record/history.js";

/** A guarantee that was broken, and how. */
export interface Violation {
  law: "G1" | "G2" | "G3" | "G6" | "G7" | "G9";
  at: number;
  text: string;
}

/** Looks for breaches of one guarantee in what was seen of a fleet. */
export type Law = (history: History) => Violation[];

/** True if one of the parties, all if none is named, was in trouble at some time between the two. */
export function isTroubled({ troubles }: History, from: number, to: number, party?: string): boolean {
  return troubles.some(
    (trouble) => (party === undefined || trouble.party === party) && trouble.from <= to && trouble.to >= from,
  );
}
