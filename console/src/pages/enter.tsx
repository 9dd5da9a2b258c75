/** The first administrator, and whoever was invited: both come with a secret behind `#`, which no server ever sees in an address. */
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, take } from "../api/client";
import { entered, sessionQuery } from "../api/session";
import { Alone } from "../ui/alone";
import { Field } from "../ui/code";
import { Complaint } from "../ui/states";

/** A password has at least so many characters. */
const PASSWORD_MIN = 12;

/** The secret of the link. It is taken out of the address at once, so that it stays in no history. */
function useSecret() {
  const [secret] = useState(() => {
    const found = location.hash.slice(1);
    if (found) history.replaceState(history.state, "", location.pathname);
    return found;
  });
  return secret;
}

function NoSecret() {
  return (
    <>
      <p>The link is not whole: it ends with a secret behind the sign #. Copy all of it into the address bar.</p>
      <p>
        <a href="/sign-in">Sign in</a> if you have been here before.
      </p>
    </>
  );
}

function Passwords({ password, again, setPassword, setAgain }: { password: string; again: string; setPassword: (text: string) => void; setAgain: (text: string) => void }) {
  return (
    <>
      <Field
        label="Password"
        help={`At least ${PASSWORD_MIN} characters. A few words that belong together only for you serve well.`}
        type="password"
        autoComplete="new-password"
        required
        minLength={PASSWORD_MIN}
        maxLength={128}
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      <Field label="Password again" type="password" autoComplete="new-password" required maxLength={128} value={again} onChange={(event) => setAgain(event.target.value)} />
    </>
  );
}

export function SetUp() {
  const secret = useSecret();
  const [name, setName] = useState("");
  const [display, setDisplay] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const client = useQueryClient();
  const navigate = useNavigate();
  const submit = async () => {
    if (password !== again) return setError("The two passwords differ: type the same one twice.");
    setBusy(true);
    setError(undefined);
    try {
      await take(api.POST("/api/v1/setup", { body: { secret, name, display, password } }));
      const told = await take(api.POST("/api/v1/session", { body: { name, password } }));
      if (told.user) entered(client, told.user);
      void navigate({ to: "/" });
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  if (!secret) return <Alone title="Make the first administrator"><NoSecret /></Alone>;
  return (
    <Alone title="Make the first administrator">
      <p className="muted">Whoever does this invites everybody else. A second factor is enrolled next.</p>
      <form className="form" onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <Field label="Name to sign in with" autoComplete="username" autoCapitalize="off" spellCheck={false} required maxLength={64} autoFocus value={name} onChange={(event) => setName(event.target.value)} />
        <Field label="What people call you" autoComplete="name" maxLength={128} value={display} onChange={(event) => setDisplay(event.target.value)} />
        <Passwords {...{ password, again, setPassword, setAgain }} />
        <Complaint error={error} />
        <button type="submit" className="primary" disabled={isBusy}>
          {isBusy ? "Making…" : "Go on"}
        </button>
      </form>
    </Alone>
  );
}

export function Invitation() {
  const secret = useSecret();
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [error, setError] = useState<unknown>();
  const client = useQueryClient();
  const navigate = useNavigate();
  const submit = async () => {
    if (password !== again) return setError("The two passwords differ: type the same one twice.");
    setError(undefined);
    try {
      await take(api.POST("/api/v1/invitation", { body: { secret, password } }));
      await client.invalidateQueries({ queryKey: sessionQuery.queryKey });
      void navigate({ to: "/sign-in" });
    } catch (failure) {
      setError(failure);
    }
  };
  if (!secret) return <Alone title="Take your invitation"><NoSecret /></Alone>;
  return (
    <Alone title="Take your invitation">
      <p className="muted">Choose a password. Then sign in with the name that you were told, and enrol a second factor.</p>
      <form className="form" onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <Passwords {...{ password, again, setPassword, setAgain }} />
        <Complaint error={error} />
        <button type="submit" className="primary">
          Go on
        </button>
      </form>
    </Alone>
  );
}
