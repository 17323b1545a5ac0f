import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Session } from "../api/session.js";
import type { FleetStatus } from "../model/fleetStatus.js";
import type { LiveFeed } from "../model/liveFeed.js";
import type { Ticker } from "../model/store.js";

/** The objects that all parts of the page share. */
export interface Console {
  session: Session;
  feed: LiveFeed;
  fleet: FleetStatus;
  ticker: Ticker;
  /** Announces a text to screen readers. `assertive` interrupts the current speech. */
  announce(text: string, urgency?: "polite" | "assertive"): void;
}

export const ConsoleContext = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const console = useContext(ConsoleContext);
  if (console === undefined) throw new Error("used outside of the console");
  return console;
}

/** Returns a current value of the console. The component is drawn again when the value changes. */
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
    // The value may have changed since the component was drawn.
    compare();
    return console.ticker.subscribe(compare);
  });
  return value;
}

/** Returns the time by `performance.now()`, updated every `intervalMs`. */
export function useNow(intervalMs: number): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), intervalMs);
    return () => clearInterval(timer);
  }, [intervalMs]);
  return now;
}
