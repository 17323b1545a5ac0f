import { useState } from "preact/hooks";

interface SignInProps {
  /** Why the user must sign in. */
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
            // This field is the only control of the form.
            ref={(input) => input?.focus()}
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary">
          Sign in
        </button>
        <p class="hint">
          An administrator creates tokens with squelch token mint. The browser keeps the token until this tab is closed.
        </p>
      </form>
    </main>
  );
}
