import { expectedUntilMs, hasApplied, type RouterNews, type RouterProgress } from "./applied.js";
import type { LogPosition } from "./cursor.js";

const isBefore = (a: RouterProgress, b: RouterProgress) => (a.routerId < b.routerId ? -1 : 1);

/** The routers of one event, and which of them have a change in force. What is known of a router never goes back. */
export class RouterTable {
  readonly #awaited: LogPosition;
  readonly #routers = new Map<string, RouterProgress>();
  readonly #missing = new Set<string>();

  constructor(awaited: LogPosition) {
    this.#awaited = awaited;
  }

  /** True if every router that is expected has the change in force, also if there is none. */
  get isAppliedEverywhere(): boolean {
    return this.#missing.size === 0;
  }

  /** By router id ascending. */
  get applied(): RouterProgress[] {
    return [...this.#routers.values()].filter(({ routerId }) => !this.#missing.has(routerId)).sort(isBefore);
  }

  /** By router id ascending. */
  get missing(): RouterProgress[] {
    return [...this.#routers.values()].filter(({ routerId }) => this.#missing.has(routerId)).sort(isBefore);
  }

  /** When the first of those who are missing is given up, ms since 1970 by the store's clock; Infinity if none is. */
  get nextDropMs(): number {
    return Math.min(...this.missing.map(expectedUntilMs));
  }

  /** Takes over what was read, without those who have been silent for too long. */
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
