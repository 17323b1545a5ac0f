import { ensureSystemPackages } from "./systemPackages.js";

/** Runs once before all tests. */
export function setup(): void {
  ensureSystemPackages();
}
