/** Asks for a second factor anew where the server wants one; whoever waits for it goes on when it was shown. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, context, take } from "../api/client";
import { entered, useSession } from "../api/session";
import { passkeysServe, showPasskey } from "../lib/webauthn";
import { CodeField } from "./code";
import { Dialog } from "./dialog";
import { Complaint } from "./states";

interface Asking {
  why: string;
  done: (shown: boolean) => void;
}

export function StepUp() {
  const [asking, setAsking] = useState<Asking>();
  const [code, setCode] = useState("");
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const client = useQueryClient();
  const user = useSession()?.user;

  useEffect(() => {
    context.stepUp = (why) =>
      new Promise((done) => {
        setCode("");
        setError(undefined);
        setAsking((before) => {
          before?.done(false);
          return { why, done };
        });
      });
    return () => {
      context.stepUp = async () => false;
    };
  }, []);

  if (!asking) return null;
  const end = (shown: boolean) => {
    asking.done(shown);
    setAsking(undefined);
  };
  const show = async (how: () => ReturnType<typeof byCode>) => {
    setBusy(true);
    setError(undefined);
    try {
      const { user } = await how();
      if (user) entered(client, user);
      end(true);
    } catch (failure) {
      setError(failure);
      setCode("");
    } finally {
      setBusy(false);
    }
  };
  const byCode = () => take(api.POST("/api/v1/session/step-up", { body: { factor: "totp", code } }));
  const byPasskey = async () => {
    const { ceremony, options } = await take(api.POST("/api/v1/session/step-up/passkey"));
    const credential = await showPasskey(options as Record<string, unknown>);
    return take(api.POST("/api/v1/session/step-up", { body: { factor: "passkey", ceremony, credential: credential as never } }));
  };

  return (
    <Dialog title="Show a second factor again" close={() => end(false)} className="narrow">
      <p>This changes who may do what, so it needs a second factor that was shown in the last minutes.</p>
      <p className="muted">{asking.why}</p>
      {user?.has_totp && (
        <form
          className="form"
          onSubmit={(event) => {
            event.preventDefault();
            void show(byCode);
          }}
        >
          <CodeField value={code} change={setCode} />
          <button type="submit" className="primary" disabled={isBusy || code.length < 6}>
            Go on
          </button>
        </form>
      )}
      {(user?.passkeys ?? 0) > 0 && passkeysServe() && (
        <button type="button" className="wide" disabled={isBusy} onClick={() => void show(byPasskey)}>
          Use a passkey
        </button>
      )}
      <Complaint error={error} />
    </Dialog>
  );
}
