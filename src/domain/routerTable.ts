import { expectedUntilMs, hasApplied, type RouterNews, type RouterProgress } from "./applied.js";
import type { LogPosition } from "./cursor.js";

const isBefore = (a: RouterProgress, b: RouterProgress) => (a.routerId < b.routerId ? -1 : 1);

/**
 * The routers of one event, divided into those that have applied a change and those that have not. A router that has
 * applied it stays there, even if an older report arrives later.
 */
export class RouterTable {
  readonly #awaited: LogPosition;
  readonly #routers = new Map<string, RouterProgress>();
  readonly #missing = new Set<string>();

  constructor(awaited: LogPosition) {
    this.#awaited = awaited;
  }

  /** True if every expected router has applied the change. True also without any router. */
  get isAppliedEverywhere(): boolean {
    return this.#missing.size === 0;
  }

  /** The routers that have applied the change, ascending by router id. */
  get applied(): RouterProgress[] {
    return [...this.#routers.values()].filter(({ routerId }) => !this.#missing.has(routerId)).sort(isBefore);
  }

  /** The routers that have not applied the change, ascending by router id. */
  get missing(): RouterProgress[] {
    return [...this.#routers.values()].filter(({ routerId }) => this.#missing.has(routerId)).sort(isBefore);
  }

  /** When callers stop waiting for the first missing router, ms since 1970 by the store's clock; Infinity if none is missing. */
  get nextDropMs(): number {
    return Math.min(...this.missing.map(expectedUntilMs));
  }

  /** Replaces the table with routers that were read, without those that have been silent for too long. */
  replace(routers: readonly RouterProgress[], nowMs: number): void {
    this.#routers.clear();
    this.#missing.clear();
    for (const router of routers) if (expectedUntilMs(router) > nowMs) this.#put(router);
  }

  take(news: RouterNews): void {
    if (news.isGone) {
      this.#routers.delete(news.routerId);
      this.#missing.delete(news.routerId);
    } else {
      const known = this.#routers.get(news.routerId);
      if (known?.position === undefined || (news.position && !hasApplied(known, news.position))) this.#put(news);
    }
  }

  #put(router: RouterProgress): void {
    this.#routers.set(router.routerId, router);
    if (hasApplied(router, this.#awaited)) this.#missing.delete(router.routerId);
    else this.#missing.add(router.routerId);
  }
}
