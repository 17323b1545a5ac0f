import { useState } from "preact/hooks";

interface SignInProps {
  /** Why the server wants to know who asks. */
  reason: string;
  onToken(token: string): void;
}

export function SignIn({ reason, onToken }: SignInProps) {
  const [token, setToken] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    const entered = token.trim().replace(/^Bearer\s+/i, "");
    if (entered !== "") onToken(entered);
  };
  return (
    <main class="sign-in">
      <form class="panel" onSubmit={submit}>
        <h1>Squelch</h1>
        <p role="alert">{reason}</p>
        <label>
          Token
          <input
            type="password"
            name="token"
            autocomplete="off"
            spellcheck={false}
            required
            // The only thing to do here.
            ref={(input) => input?.focus()}
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary">
          Sign in
        </button>
        <p class="hint">An administrator makes tokens with squelch token. This tab keeps it until it is closed.</p>
      </form>
    </main>
  );
}
