/** Who may sign in, and what each may do where. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, ProblemError, type Schemas, take } from "../api/client";
import { zonesQuery } from "../api/queries";
import { sessionQuery, useSession } from "../api/session";
import { title } from "../lib/format";
import { Field } from "../ui/code";
import { CopyButton } from "../ui/copy";
import { Dialog } from "../ui/dialog";
import { When } from "../ui/marks";
import { PageHead, Scroll } from "../ui/page";
import { Complaint, Shown } from "../ui/states";
import { complain, say } from "../ui/toasts";

type User = Schemas["UserView"];
type Grant = Schemas["GrantView"];

const ROLES: readonly [string, string][] = [
  ["viewer", "sees devices and incidents"],
  ["analyst", "judges findings besides"],
  ["operator", "acts on incidents"],
  ["engineer", "changes policies and devices"],
  ["administrator", "manages users"],
  ["auditor", "reads the audit log, and may change nothing"],
];

const usersKey = ["users"] as const;

export function Users() {
  const query = useQuery({ queryKey: usersKey, queryFn: ({ signal }) => take(api.GET("/api/v1/users", { signal })) });
  const [isInviting, setInviting] = useState(false);
  const [changing, setChanging] = useState<string>();
  const [link, setLink] = useState<Schemas["Invitation"]>();
  return (
    <>
      <PageHead
        title="Users"
        aside={
          <button type="button" className="primary" onClick={() => setInviting(true)}>
            Invite somebody
          </button>
        }
      />
      <Shown query={query} what="Loading users">
        {(users) => (
          <Scroll label="Users">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Roles</th>
                  <th scope="col">State</th>
                  <th scope="col">Invited</th>
                  <th scope="col">
                    <span className="unseen">Change</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {users.map((user) => (
                  <tr key={user.name} className={user.disabled ? "dimmed" : undefined}>
                    <td className="main-cell">
                      <bdi>{user.display || user.name}</bdi>
                      {user.display && user.display !== user.name && <span className="muted"> {user.name}</span>}
                    </td>
                    <td>{user.grants.length ? user.grants.map(grantName).join(", ") : <span className="muted">None</span>}</td>
                    <td>{stateOf(user)}</td>
                    <td className="nowrap">
                      <When at={user.created} />
                    </td>
                    <td className="right">
                      <button type="button" aria-label={`Change ${user.name}`} onClick={() => setChanging(user.name)}>
                        Change
                      </button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </Shown>
      {isInviting && <Invite close={() => setInviting(false)} made={(invitation) => { setInviting(false); setLink(invitation); }} />}
      {changing && <Change name={changing} close={() => setChanging(undefined)} made={(invitation) => { setChanging(undefined); setLink(invitation); }} />}
      {link && <LinkOnce link={link} close={() => setLink(undefined)} />}
    </>
  );
}

const grantName = (grant: Grant) => title(grant.role) + (grant.zone ? ` in ${grant.zone}` : "");

function stateOf(user: User) {
  if (user.disabled) return <span className="warn">Disabled</span>;
  if (!user.has_password) return "Invited";
  return user.has_second_factor ? "Active" : "Needs a second factor";
}

function LinkOnce({ link, close }: { link: Schemas["Invitation"]; close: () => void }) {
  return (
    <Dialog title={`The link for ${link.name}`} close={close} className="narrow">
      <p>Whoever opens it chooses a password. It holds for 24 hours, serves once, and is shown this once: hand it over where nobody else reads it.</p>
      <code className="secret">{link.link}</code>
      <div className="row end">
        <CopyButton text={link.link} name="Copy the link" />
        <button type="button" className="primary" onClick={close}>
          Done
        </button>
      </div>
    </Dialog>
  );
}

function Grants({ grants, change }: { grants: readonly Grant[]; change: (grants: Grant[]) => void }) {
  const zones = useQuery(zonesQuery).data ?? [];
  const has = (role: string) => grants.find((grant) => grant.role === role);
  return (
    <fieldset className="field">
      <legend>Roles</legend>
      {ROLES.map(([role, about]) => {
        const grant = has(role);
        return (
          <div key={role} className="grant">
            <label className="check">
              <input type="checkbox" checked={Boolean(grant)} onChange={(event) => change(event.target.checked ? [...grants, { role }] : grants.filter((one) => one.role !== role))} />
              <span>
                {title(role)} <span className="muted">{about}</span>
              </span>
            </label>
            {grant && zones.length > 0 && (
              <select aria-label={`Where ${role}`} value={grant.zone ?? ""} onChange={(event) => change(grants.map((one) => (one.role === role ? { role, ...(event.target.value ? { zone: event.target.value } : {}) } : one)))}>
                <option value="">everywhere</option>
                {zones.map((zone) => (
                  <option key={zone.name} value={zone.name}>
                    in {zone.name}
                  </option>
                ))}
              </select>
            )}
          </div>
        );
      })}
      {grants.length > 1 && has("auditor") && <p className="warn">Who audits may change nothing, whatever the other roles say: give that role to somebody else.</p>}
    </fieldset>
  );
}

function Invite({ close, made }: { close: () => void; made: (invitation: Schemas["Invitation"]) => void }) {
  const [name, setName] = useState("");
  const [display, setDisplay] = useState("");
  const [grants, setGrants] = useState<Grant[]>([{ role: "viewer" }]);
  const client = useQueryClient();
  const invite = useMutation({
    mutationFn: () => take(api.POST("/api/v1/users", { body: { name: name.trim(), display: display.trim(), grants } })),
    onSuccess: (invitation) => {
      void client.invalidateQueries({ queryKey: usersKey });
      made(invitation);
    },
  });
  return (
    <Dialog title="Invite somebody" close={close} className="narrow">
      <form className="form" onSubmit={(event) => { event.preventDefault(); invite.mutate(); }}>
        <Field label="Name to sign in with" autoCapitalize="off" autoComplete="off" spellCheck={false} required maxLength={64} autoFocus value={name} onChange={(event) => setName(event.target.value)} />
        <Field label="What people call them" autoComplete="off" maxLength={128} value={display} onChange={(event) => setDisplay(event.target.value)} />
        <Grants grants={grants} change={setGrants} />
        <Complaint error={invite.error} />
        <div className="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={invite.isPending}>
            Make the link
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Change({ name, close, made }: { name: string; close: () => void; made: (invitation: Schemas["Invitation"]) => void }) {
  const query = useQuery({ queryKey: ["user", name], queryFn: ({ signal }) => take(api.GET("/api/v1/users/{name}", { params: { path: { name } }, signal })), gcTime: 0 });
  return (
    <Dialog title={`Change ${name}`} close={close} className="narrow">
      <Shown query={query}>{(user) => <ChangeForm key={user.version} user={user} close={close} made={made} again={() => void query.refetch()} />}</Shown>
    </Dialog>
  );
}

function ChangeForm({ user, close, made, again }: { user: User; close: () => void; made: (invitation: Schemas["Invitation"]) => void; again: () => void }) {
  const [display, setDisplay] = useState(user.display);
  const [grants, setGrants] = useState<Grant[]>(user.grants);
  const [disabled, setDisabled] = useState(user.disabled);
  const [removing, setRemoving] = useState(false);
  const client = useQueryClient();
  const me = useSession()?.user?.name;
  const path = { name: user.name };
  const done = (words: string) => {
    void client.invalidateQueries({ queryKey: usersKey });
    // What oneself may do may have changed.
    if (user.name === me) void client.invalidateQueries({ queryKey: sessionQuery.queryKey });
    say(words);
    close();
  };
  const save = useMutation({
    mutationFn: () => take(api.PATCH("/api/v1/users/{name}", { params: { path, header: { "if-match": `"${user.version}"` } }, body: { display: display.trim(), grants, disabled } })),
    onSuccess: () => done(`${user.name} was changed.`),
  });
  const remove = useMutation({
    mutationFn: () => take(api.DELETE("/api/v1/users/{name}", { params: { path } })),
    onSuccess: () => done(`${user.name} was removed.`),
  });
  const invite = useMutation({
    mutationFn: (reset_factors: boolean) => take(api.POST("/api/v1/users/{name}/invitation", { params: { path }, body: { reset_factors } })),
    onSuccess: (invitation) => {
      void client.invalidateQueries({ queryKey: usersKey });
      made(invitation);
    },
    onError: complain,
  });
  const hasChanged = save.error instanceof ProblemError && save.error.is("precondition-failed");
  return (
    <form className="form" onSubmit={(event) => { event.preventDefault(); save.mutate(); }}>
      <Field label="What people call them" autoComplete="off" maxLength={128} value={display} onChange={(event) => setDisplay(event.target.value)} />
      <Grants grants={grants} change={setGrants} />
      <label className="check">
        <input type="checkbox" checked={disabled} onChange={(event) => setDisabled(event.target.checked)} />
        <span>Disabled: may not sign in</span>
      </label>
      <Complaint error={save.error ?? remove.error} />
      {hasChanged && (
        <button type="button" onClick={again}>
          Load what it is now
        </button>
      )}
      <div className="row end">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button type="submit" className="primary" disabled={save.isPending}>
          Save
        </button>
      </div>
      <details>
        <summary>Lost password or second factor, or leaving</summary>
        <div className="stack tight">
          <button type="button" onClick={() => invite.mutate(false)}>
            New link for a lost password
          </button>
          <button type="button" onClick={() => invite.mutate(true)}>
            New link, and end second factors and sessions
          </button>
          {removing ? (
            <button type="button" className="danger" onClick={() => remove.mutate()}>
              Remove {user.name} with everything of theirs, for good
            </button>
          ) : (
            <button type="button" className="danger" onClick={() => setRemoving(true)}>
              Remove…
            </button>
          )}
        </div>
      </details>
    </form>
  );
}
