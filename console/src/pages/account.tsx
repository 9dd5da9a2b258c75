/** What is one's own: second factors, password, sessions, tokens. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "../api/client";
import { left, sessionQuery, useSession } from "../api/session";
import { count, plural, title } from "../lib/format";
import { makePasskey, passkeysServe } from "../lib/webauthn";
import { Field } from "../ui/code";
import { CopyButton } from "../ui/copy";
import { Dialog } from "../ui/dialog";
import { When } from "../ui/marks";
import { PageHead, Panel, Scroll } from "../ui/page";
import { RecoveryCodes } from "../ui/recovery";
import { Complaint, Empty, Shown } from "../ui/states";
import { complain, say } from "../ui/toasts";
import { TotpEnrolment } from "../ui/totp";

export function Account() {
  const user = useSession()?.user;
  if (!user) return null;
  return (
    <>
      <PageHead title="Your account">
        <dl className="facts">
          <div>
            <dt>Name</dt>
            <dd>
              <bdi>{user.name}</bdi>
            </dd>
          </div>
          <div>
            <dt>Roles</dt>
            <dd>{user.grants.map((grant) => title(grant.role) + (grant.zone ? ` in ${grant.zone}` : "")).join(", ") || "None"}</dd>
          </div>
        </dl>
      </PageHead>
      <div className="grid two">
        <div className="stack">
          <Factors user={user} />
          <Password />
        </div>
        <div className="stack">
          <Sessions />
          <Tokens />
        </div>
      </div>
    </>
  );
}

function useAgain() {
  const client = useQueryClient();
  return (...keys: string[]) => {
    void client.invalidateQueries({ queryKey: sessionQuery.queryKey });
    for (const key of keys) void client.invalidateQueries({ queryKey: [key] });
  };
}

function Factors({ user }: { user: Schemas["SignedIn"] }) {
  const passkeys = useQuery({ queryKey: ["passkeys"], queryFn: ({ signal }) => take(api.GET("/api/v1/me/passkeys", { signal })) });
  const [isTotp, setTotp] = useState(false);
  const [isNaming, setNaming] = useState(false);
  const [label, setLabel] = useState("");
  const [codes, setCodes] = useState<readonly string[]>();
  const again = useAgain();
  const register = useMutation({
    mutationFn: async () => {
      const { ceremony, options } = await take(api.POST("/api/v1/me/passkeys/ceremony"));
      const credential = await makePasskey(options as Record<string, unknown>);
      return take(api.PUT("/api/v1/me/passkeys/ceremony", { body: { ceremony, label: label.trim(), credential: credential as never } }));
    },
    onSuccess: () => {
      setNaming(false);
      setLabel("");
      again("passkeys");
      say("The passkey serves from now on.");
    },
  });
  const forget = useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/v1/me/passkeys/{id}", { params: { path: { id } } })),
    onSuccess: () => again("passkeys"),
    onError: complain,
  });
  const removeTotp = useMutation({ mutationFn: () => take(api.DELETE("/api/v1/me/totp")), onSuccess: () => again(), onError: complain });
  const makeCodes = useMutation({ mutationFn: () => take(api.POST("/api/v1/me/recovery-codes")), onSuccess: (told) => setCodes(told.codes), onError: complain });
  return (
    <Panel title="Second factors">
      <ul className="rows">
        <li>
          <div>
            <strong>One-time passwords</strong>
            <div className="muted">{user.has_totp ? "Enrolled" : "Not enrolled"}</div>
          </div>
          {user.has_totp ? (
            <button type="button" onClick={() => removeTotp.mutate()} disabled={user.passkeys === 0} title={user.passkeys === 0 ? "Register a passkey first: one second factor has to stay" : undefined}>
              Remove
            </button>
          ) : (
            <button type="button" onClick={() => setTotp(true)}>
              Enrol
            </button>
          )}
        </li>
        {passkeys.data?.map((passkey) => (
          <li key={passkey.id}>
            <div>
              <strong>
                Passkey <bdi>{passkey.label}</bdi>
              </strong>
              <div className="muted">
                Registered <When at={passkey.created} />
                {passkey.used && (
                  <>
                    , used <When at={passkey.used} />
                  </>
                )}
              </div>
            </div>
            <button type="button" aria-label={`Remove passkey ${passkey.label}`} onClick={() => forget.mutate(passkey.id)}>
              Remove
            </button>
          </li>
        ))}
        <li>
          <div>
            <strong>Another passkey</strong>
            <div className="muted">A security key, or a device with its fingerprint or code</div>
          </div>
          <button type="button" disabled={!passkeysServe()} onClick={() => setNaming(true)}>
            Register
          </button>
        </li>
        <li>
          <div>
            <strong>Recovery codes</strong>
            <div className={user.recovery_codes < 3 ? "warn" : "muted"}>{plural(user.recovery_codes, "code")} left</div>
          </div>
          <button type="button" onClick={() => makeCodes.mutate()}>
            Make new ones
          </button>
        </li>
      </ul>
      {isTotp && (
        <Dialog title="One-time passwords" close={() => setTotp(false)}>
          <TotpEnrolment done={() => { setTotp(false); again(); say("One-time passwords serve from now on."); }} />
        </Dialog>
      )}
      {isNaming && (
        <Dialog title="Register a passkey" close={() => setNaming(false)} className="narrow">
          <form className="form" onSubmit={(event) => { event.preventDefault(); register.mutate(); }}>
            <Field label="What you call it" help="So that you know it again in this list." required maxLength={64} autoFocus value={label} onChange={(event) => setLabel(event.target.value)} />
            <Complaint error={register.error} />
            <div className="row end">
              <button type="submit" className="primary" disabled={!label.trim() || register.isPending}>
                Register
              </button>
            </div>
          </form>
        </Dialog>
      )}
      {codes && (
        <Dialog title="Keep your recovery codes" close={() => setCodes(undefined)}>
          <RecoveryCodes codes={codes} done={() => { setCodes(undefined); again(); }} />
        </Dialog>
      )}
    </Panel>
  );
}

function Password() {
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const client = useQueryClient();
  const change = useMutation({
    mutationFn: () => take(api.PUT("/api/v1/me/password", { body: { old, new: fresh } })),
    onSuccess: () => {
      say("The password was changed: sign in with the new one.");
      left(client);
    },
  });
  return (
    <Panel title="Password">
      <form className="form panel-body" onSubmit={(event) => { event.preventDefault(); change.mutate(); }}>
        <Field label="Password until now" type="password" autoComplete="current-password" required maxLength={128} value={old} onChange={(event) => setOld(event.target.value)} />
        <Field label="New password" help="At least 12 characters. All your sessions end." type="password" autoComplete="new-password" required minLength={12} maxLength={128} value={fresh} onChange={(event) => setFresh(event.target.value)} />
        <Complaint error={change.error} />
        <div className="row">
          <button type="submit" disabled={change.isPending}>
            Change the password
          </button>
        </div>
      </form>
    </Panel>
  );
}

/** What a browser calls itself, in a few words. */
const agentName = (agent: string) => {
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\/[\d.]+/.exec(agent)?.[1]?.replace("Edg", "Edge").replace("OPR", "Opera");
  const system = /(Windows|Mac OS X|Android|iPhone|iPad|Linux)/.exec(agent)?.[1];
  return browser && system ? `${browser} on ${system}` : agent || "Unknown browser";
};

function Sessions() {
  const query = useQuery({ queryKey: ["sessions"], queryFn: ({ signal }) => take(api.GET("/api/v1/sessions", { signal })) });
  const again = useAgain();
  const end = useMutation({ mutationFn: (id: string) => take(api.DELETE("/api/v1/sessions/{id}", { params: { path: { id } } })), onSuccess: () => again("sessions"), onError: complain });
  const endOthers = useMutation({ mutationFn: () => take(api.DELETE("/api/v1/sessions")), onSuccess: () => again("sessions"), onError: complain });
  return (
    <Panel
      title="Sessions"
      aside={
        (query.data?.length ?? 0) > 1 && (
          <button type="button" onClick={() => endOthers.mutate()}>
            End all others
          </button>
        )
      }
    >
      <Shown query={query}>
        {(sessions) => (
          <ul className="rows">
            {sessions.map((session) => (
              <li key={session.id}>
                <div>
                  <strong title={session.agent}>
                    <bdi>{agentName(session.agent)}</bdi>
                  </strong>
                  <div className="muted">
                    From {session.address}, last used <When at={session.seen} />
                  </div>
                </div>
                {session.current ? (
                  <span className="tag">This one</span>
                ) : (
                  <button type="button" onClick={() => end.mutate(session.id)}>
                    End
                  </button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Shown>
    </Panel>
  );
}

function Tokens() {
  const query = useQuery({ queryKey: ["tokens"], queryFn: ({ signal }) => take(api.GET("/api/v1/tokens", { signal })) });
  const [isMaking, setMaking] = useState(false);
  const [made, setMade] = useState<Schemas["MadeToken"]>();
  const again = useAgain();
  const revoke = useMutation({ mutationFn: (id: string) => take(api.DELETE("/api/v1/tokens/{id}", { params: { path: { id } } })), onSuccess: () => { again("tokens"); say("The token does not hold any more."); }, onError: complain });
  return (
    <Panel
      title="Tokens of programs"
      aside={
        <button type="button" onClick={() => setMaking(true)}>
          Make a token
        </button>
      }
    >
      <Shown query={query}>
        {(tokens) =>
          tokens.length === 0 ? (
            <Empty title="You have no tokens">
              <p>A program shows a token where a person signs in. It may never do more than you may.</p>
            </Empty>
          ) : (
            <Scroll label="Tokens">
              <table className="table compact">
                <thead>
                  <tr>
                    <th scope="col">Token</th>
                    <th scope="col">May</th>
                    <th scope="col">Used</th>
                    <th scope="col">Holds until</th>
                    <th scope="col">
                      <span className="unseen">Revoke</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {tokens.map((token) => (
                    <tr key={token.id}>
                      <td>
                        <bdi>{token.name}</bdi>
                      </td>
                      <td>{token.scopes.join(", ")}</td>
                      <td className="nowrap">{token.used ? <When at={token.used} /> : <span className="muted">Never</span>}</td>
                      <td className="nowrap">
                        <When at={token.expires} exact />
                      </td>
                      <td className="right">
                        <button type="button" aria-label={`Revoke ${token.name}`} onClick={() => revoke.mutate(token.id)}>
                          Revoke
                        </button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )
        }
      </Shown>
      {isMaking && <MakeToken close={() => setMaking(false)} made={(token) => { setMaking(false); setMade(token); again("tokens"); }} />}
      {made && (
        <Dialog title={`The token ${made.name}`} close={() => setMade(undefined)} className="narrow">
          <p>It is shown this once. A program sends it as <code>Authorization: Bearer …</code>.</p>
          <code className="secret">{made.secret}</code>
          <div className="row end">
            <CopyButton text={made.secret} name="Copy the token" />
            <button type="button" className="primary" onClick={() => setMade(undefined)}>
              Done
            </button>
          </div>
        </Dialog>
      )}
    </Panel>
  );
}

function MakeToken({ close, made }: { close: () => void; made: (token: Schemas["MadeToken"]) => void }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState(90);
  const [scopes, setScopes] = useState<readonly string[]>(["read"]);
  const may = useSession()?.user?.may ?? {};
  const actions = Object.keys(may).filter((action) => may[action] !== "deny" && !action.startsWith("view-"));
  const make = useMutation({ mutationFn: () => take(api.POST("/api/v1/tokens", { body: { name: name.trim(), days, scopes: [...scopes] } })), onSuccess: made });
  const toggle = (scope: string) => setScopes(scopes.includes(scope) ? scopes.filter((one) => one !== scope) : [...scopes, scope]);
  return (
    <Dialog title="Make a token" close={close} className="narrow">
      <form className="form" onSubmit={(event) => { event.preventDefault(); make.mutate(); }}>
        <Field label="What it is for" required maxLength={128} autoFocus value={name} onChange={(event) => setName(event.target.value)} />
        <Field label="Days for which it holds" help={`At most ${count(366)}.`} type="number" min={1} max={366} required value={days} onChange={(event) => setDays(event.target.valueAsNumber || 1)} />
        <fieldset className="field">
          <legend>It may</legend>
          {["read", ...actions].map((scope) => (
            <label key={scope} className="check">
              <input type="checkbox" checked={scopes.includes(scope)} onChange={() => toggle(scope)} />
              <span>{scope === "read" ? "Read all that you may" : title(scope)}</span>
            </label>
          ))}
        </fieldset>
        <Complaint error={make.error} />
        <div className="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={make.isPending || scopes.length === 0}>
            Make it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
