/** Signing in: name and password, then a second factor. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, type Schemas, take } from "../api/client";
import { entered, sessionQuery } from "../api/session";
import { placeBack, useUrl } from "../lib/url";
import { passkeysServe, showPasskey } from "../lib/webauthn";
import { CodeField, Field } from "../ui/code";
import { Alone } from "../ui/alone";
import { Complaint, Failed, Loading } from "../ui/states";

export function SignIn() {
  const session = useQuery(sessionQuery);
  const [search] = useUrl();
  const [begun, setBegun] = useState<Schemas["Signing"]>();
  if (session.isError) return <Alone title="Sign in"><Failed error={session.error} again={() => void session.refetch()} /></Alone>;
  if (!session.data) return <Loading what="Opening the console" />;
  if (session.data.user) return <GoBack to={placeBack(search.back)} />;
  if (session.data.needs_setup) return <NeedsSetUp />;
  return (
    <Alone title={begun ? "Your second factor" : "Sign in"} site={session.data.site}>
      {begun ? <SecondFactor begun={begun} again={() => setBegun(undefined)} /> : <Password next={setBegun} />}
    </Alone>
  );
}

function GoBack({ to }: { to: string }) {
  const router = useRouter();
  useEffect(() => {
    router.history.replace(to);
  }, [router, to]);
  return <Loading what="Opening the console" />;
}

function NeedsSetUp() {
  return (
    <Alone title="Nobody can sign in yet">
      <p>
        When the server was started, it printed a link with which the first administrator is made. It ends in <code>/setup#…</code> and serves for 24
        hours. Open it in this browser.
      </p>
      <p className="muted">If the link is gone or too old, start the server again: it prints a new one.</p>
    </Alone>
  );
}

function Password({ next }: { next: (begun: Schemas["Signing"]) => void }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const client = useQueryClient();
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const told = await take(api.POST("/api/v1/session", { body: { name, password } }));
      if (told.user) entered(client, told.user);
      else next(told);
    } catch (failure) {
      setError(failure);
      setPassword("");
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Field label="Name" name="username" autoComplete="username webauthn" autoCapitalize="off" spellCheck={false} required maxLength={64} autoFocus value={name} onChange={(event) => setName(event.target.value)} />
      <Field label="Password" name="password" type="password" autoComplete="current-password" required maxLength={128} value={password} onChange={(event) => setPassword(event.target.value)} />
      <Complaint error={error} />
      <button type="submit" className="primary" disabled={isBusy}>
        {isBusy ? "Signing in…" : "Sign in"}
      </button>
    </form>
  );
}

function SecondFactor({ begun, again }: { begun: Schemas["Signing"]; again: () => void }) {
  const has = (factor: string) => begun.factors?.includes(factor) ?? false;
  const [isRecovery, setRecovery] = useState(false);
  const [code, setCode] = useState("");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const client = useQueryClient();
  const pending = begun.pending ?? "";
  const finish = async (factor: () => Promise<Schemas["Factor"]>) => {
    setBusy(true);
    setError(undefined);
    try {
      const told = await take(api.POST("/api/v1/session/factor", { body: { pending, ...(await factor()) } }));
      if (told.user) entered(client, told.user);
    } catch (failure) {
      setError(failure);
      setCode("");
    } finally {
      setBusy(false);
    }
  };
  const byPasskey = async (): Promise<Schemas["Factor"]> => {
    const { ceremony, options } = await take(api.POST("/api/v1/session/passkey", { body: { pending } }));
    return { factor: "passkey", ceremony, credential: (await showPasskey(options as Record<string, unknown>)) as never };
  };
  return (
    <div className="form">
      {has("passkey") && passkeysServe() && (
        <button type="button" className={has("totp") ? "" : "primary"} disabled={isBusy} onClick={() => void finish(byPasskey)}>
          Use a passkey
        </button>
      )}
      {(has("totp") || isRecovery) && (
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            void finish(async () => ({ factor: isRecovery ? "recovery" : "totp", code }));
          }}
        >
          {isRecovery ? (
            <Field label="Recovery code" help="Each of them serves once." autoComplete="off" autoFocus required maxLength={64} value={code} onChange={(event) => setCode(event.target.value)} />
          ) : (
            <CodeField value={code} change={setCode} />
          )}
          <button type="submit" className="primary" disabled={isBusy || code.length < 6}>
            Go on
          </button>
        </form>
      )}
      <Complaint error={error} />
      <div className="form-links">
        {has("recovery") && (
          <button type="button" className="quiet" onClick={() => { setCode(""); setRecovery(!isRecovery); }}>
            {isRecovery ? "Use the authenticator" : "Use a recovery code"}
          </button>
        )}
        <button type="button" className="quiet" onClick={again}>
          Start again
        </button>
      </div>
    </div>
  );
}
