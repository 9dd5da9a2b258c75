/** The second factor that everybody needs before anything else. */
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, context, type Schemas, take } from "../api/client";
import { entered, type SignedIn, useSignOut } from "../api/session";
import { makePasskey, passkeysServe } from "../lib/webauthn";
import { Alone } from "../ui/alone";
import { RecoveryCodes } from "../ui/recovery";
import { Complaint } from "../ui/states";
import { complain } from "../ui/toasts";
import { TotpEnrolment } from "../ui/totp";

export default function Enrol({ done }: { done: () => void }) {
  const [isTotp, setTotp] = useState(false);
  const [user, setUser] = useState<SignedIn>();
  const [codes, setCodes] = useState<readonly string[]>();
  const [error, setError] = useState<unknown>();
  const client = useQueryClient();
  const signOut = useSignOut();

  const finish = (who: SignedIn, kept?: readonly string[]) => {
    entered(client, { ...who, recovery_codes: kept?.length ?? who.recovery_codes });
    done();
  };
  const enrolled = async (told: Schemas["Signing"] | undefined) => {
    if (!told?.user) return;
    // The session has changed its secret; the codes are asked for with the new one.
    context.csrf = told.user.csrf;
    setUser(told.user);
    try {
      setCodes((await take(api.POST("/api/v1/me/recovery-codes"))).codes);
    } catch (failure) {
      complain(failure);
      finish(told.user);
    }
  };
  const passkey = async () => {
    setError(undefined);
    try {
      const { ceremony, options } = await take(api.POST("/api/v1/me/passkeys/ceremony"));
      const credential = await makePasskey(options as Record<string, unknown>);
      await enrolled(await take(api.PUT("/api/v1/me/passkeys/ceremony", { body: { ceremony, label: "First passkey", credential: credential as never } })));
    } catch (failure) {
      setError(failure);
    }
  };

  if (user && codes) return <Alone title="Keep your recovery codes"><RecoveryCodes codes={codes} done={() => finish(user, codes)} /></Alone>;
  if (isTotp) {
    return (
      <Alone title="One-time passwords">
        <TotpEnrolment done={(told) => void enrolled(told)} />
        <div className="form-links">
          <button type="button" className="quiet" onClick={() => setTotp(false)}>
            Use something else
          </button>
        </div>
      </Alone>
    );
  }
  return (
    <Alone title="Enrol a second factor">
      <p>A password can be guessed, reused or stolen. Whoever watches a network needs more: choose what you show besides it.</p>
      <div className="choices">
        <button type="button" className="choice" onClick={() => void passkey()} disabled={!passkeysServe()}>
          <strong>A passkey</strong>
          <span>A security key, or this device with its fingerprint or code. It cannot be phished.</span>
        </button>
        <button type="button" className="choice" onClick={() => setTotp(true)}>
          <strong>One-time passwords</strong>
          <span>An authenticator application that shows six digits.</span>
        </button>
      </div>
      {!passkeysServe() && <p className="muted">Passkeys need a browser that knows them, and TLS or localhost.</p>}
      <Complaint error={error} />
      <div className="form-links">
        <button type="button" className="quiet" onClick={() => void signOut().catch(complain)}>
          Sign out
        </button>
      </div>
    </Alone>
  );
}
