import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { keepToken, openSession, readToken } from "./api/session.js";
import { FleetStatus } from "./model/fleetStatus.js";
import { LiveFeed } from "./model/liveFeed.js";
import { parseRoute } from "./model/route.js";
import { Ticker } from "./model/store.js";
import { ConsoleContext } from "./views/console.js";
import { Shell } from "./views/shell.js";
import { SignIn } from "./views/signIn.js";

/** The whole page: the console, or the sign-in form if the server refuses the page's token. */
export function App() {
  const [token, setToken] = useState(readToken);
  // A new session gets a new feed and picture, so that a user does not see the data of the previous user.
  const [attempt, setAttempt] = useState(0);
  const signIn = useCallback((next: string | undefined) => {
    keepToken(next);
    setToken(next);
    setAttempt((count) => count + 1);
  }, []);
  return <SignedIn key={attempt} token={token} onToken={signIn} />;
}

interface SignedInProps {
  token: string | undefined;
  onToken(token: string | undefined): void;
}

function SignedIn({ token, onToken }: SignedInProps) {
  const [refusal, setRefusal] = useState<string>();
  const [spoken, setSpoken] = useState({ polite: "", assertive: "" });
  const announce = useCallback((text: string, urgency: "polite" | "assertive" = "polite") => {
    setSpoken((before) => ({ ...before, [urgency]: text }));
  }, []);
  const parts = useMemo(() => {
    const ticker = new Ticker();
    const session = openSession(token);
    const feed = new LiveFeed(session, ticker.mark);
    return { session, feed, fleet: new FleetStatus(session, ticker.mark), ticker };
  }, [token]);
  const { feed, fleet, ticker } = parts;

  useEffect(() => {
    const unsubscribe = ticker.subscribe(() => {
      if (feed.link.state === "refused") setRefusal(feed.link.problem.text);
    });
    void feed.run();
    void fleet.run();
    const retry = () => feed.retryNow();
    addEventListener("online", retry);
    return () => {
      unsubscribe();
      removeEventListener("online", retry);
      feed.stop();
      fleet.stop();
    };
  }, [feed, fleet, ticker]);

  const route = useRoute();
  const value = useMemo(() => ({ ...parts, announce }), [parts, announce]);
  if (refusal !== undefined) {
    // Without a token the message of the server adds nothing.
    return <SignIn reason={token === undefined ? "This server requires a token." : refusal} onToken={onToken} />;
  }
  return (
    <ConsoleContext.Provider value={value}>
      <Shell route={route} onSignOut={token === undefined ? undefined : () => onToken(undefined)} />
      <div class="for-readers" aria-live="assertive" role="alert">
        {spoken.assertive}
      </div>
      <div class="for-readers" aria-live="polite" role="status">
        {spoken.polite}
      </div>
    </ConsoleContext.Provider>
  );
}

function useRoute() {
  const [fragment, setFragment] = useState(location.hash);
  useEffect(() => {
    const follow = () => setFragment(location.hash);
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return useMemo(() => parseRoute(fragment), [fragment]);
}
