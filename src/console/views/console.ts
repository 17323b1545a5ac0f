import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Session } from "../api/session.js";
import type { FleetStatus } from "../model/fleetStatus.js";
import type { LiveFeed } from "../model/liveFeed.js";
import type { Ticker } from "../model/store.js";

/** What every part of the page sees. */
export interface Console {
  session: Session;
  feed: LiveFeed;
  fleet: FleetStatus;
  ticker: Ticker;
  /** Says something to those who do not see the page; `assertive` interrupts what is being read. */
  announce(text: string, urgency?: "polite" | "assertive"): void;
}

export const ConsoleContext = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const console = useContext(ConsoleContext);
  if (console === undefined) throw new Error("used outside of the console");
  return console;
}

/** A value read from the console, always the present one; the component is drawn again when it differs. */
export function useLive<T>(read: (console: Console) => T): T {
  const console = useConsole();
  const value = read(console);
  const [, redraw] = useState({});
  useEffect(() => {
    let known = value;
    const compare = () => {
      const next = read(console);
      if (Object.is(next, known)) return;
      known = next;
      redraw({});
    };
    // It may have changed since it was drawn.
    compare();
    return console.ticker.subscribe(compare);
  });
  return value;
}

/** The time, ms by `performance.now()`, kept up to date once in `intervalMs`. */
export function useNow(intervalMs: number): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), intervalMs);
    return () => clearInterval(timer);
  }, [intervalMs]);
  return now;
}
