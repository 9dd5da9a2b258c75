/** Saying what one thinks of findings: true, expected or false, for what it holds, and why. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useId, useState } from "react";
import { refresh } from "../api/live";
import { api, type Schemas, take } from "../api/client";
import { useSession } from "../api/session";
import { plural } from "../lib/format";
import { Dialog } from "./dialog";
import { Verdict } from "./marks";
import { Complaint } from "./states";
import { complain, say } from "./toasts";

type Word = Schemas["VerdictView"];
type Scope = Schemas["ScopeView"];

export const VERDICTS = [
  { verdict: "true", name: "True", means: "It is what it says. The finding stays open work until it is mended." },
  { verdict: "expected", name: "Expected", means: "It happened, and it is meant to: a scanner that you run, planned maintenance." },
  { verdict: "false", name: "False", means: "It did not happen, or it is not what it says." },
] as const satisfies readonly { verdict: Word; name: string; means: string }[];

const SCOPES: readonly { scope: Scope; name: string }[] = [
  { scope: "finding", name: "This finding alone" },
  { scope: "actor", name: "Whatever this detector finds of the same actor" },
  { scope: "victim", name: "Whatever this detector finds of the same victim" },
  { scope: "detector", name: "Whatever this detector finds" },
];

const CHANGED: ReadonlySet<string> = new Set(["findings", "finding", "incidents", "incident", "overview", "devices", "device"]);

type Judgeable = Pick<Schemas["FindingRow"], "id" | "victim" | "judgement" | "title">;

export function VerdictDialog({ findings, verdict, close }: { findings: readonly Judgeable[]; verdict: Word; close: () => void }) {
  const [scope, setScope] = useState<Scope>("finding");
  const [reason, setReason] = useState("");
  const id = useId();
  const client = useQueryClient();
  const word = VERDICTS.find((one) => one.verdict === verdict);
  const judge = useMutation({
    mutationFn: async () => {
      const body = { verdict, scope, reason: reason.trim() };
      const [only, ...more] = findings;
      if (only && more.length === 0) {
        const told = await take(api.PUT("/api/v1/findings/{id}/verdict", { params: { path: { id: only.id } }, body }));
        client.setQueryData(["finding", only.id], told);
        return { judged: 1, refused: [] };
      }
      return take(api.POST("/api/v1/findings/verdicts", { body: { ...body, findings: findings.map((finding) => finding.id) } }));
    },
    onSuccess: ({ judged, refused }) => {
      refresh(client, CHANGED);
      if (judged > 0) say(`${plural(judged, "finding")} judged as ${verdict}.`);
      const [first] = refused;
      if (first) complain(new Error(`${plural(refused.length, "finding")} could not be judged. The first: ${first.detail}`));
      close();
    },
  });
  const hasVictim = findings.some((finding) => finding.victim);
  return (
    <Dialog title={findings.length === 1 ? `Judge as ${verdict}` : `Judge ${findings.length} findings as ${verdict}`} close={close} className="narrow">
      <p>{word?.means}</p>
      <form className="form" onSubmit={(event) => { event.preventDefault(); judge.mutate(); }}>
        <fieldset className="field">
          <legend>It holds for</legend>
          {SCOPES.filter((one) => one.scope !== "victim" || hasVictim).map((one) => (
            <label key={one.scope} className="check">
              <input type="radio" name={`${id}-scope`} checked={scope === one.scope} onChange={() => setScope(one.scope)} />
              <span>{findings.length > 1 && one.scope === "finding" ? "These findings alone" : one.name}</span>
            </label>
          ))}
        </fieldset>
        <div className="field">
          <label htmlFor={`${id}-reason`}>Why</label>
          <textarea id={`${id}-reason`} rows={3} maxLength={2000} value={reason} autoFocus onChange={(event) => setReason(event.target.value)} aria-describedby={`${id}-help`} />
          <p className="help" id={`${id}-help`}>
            Whoever comes after you reads it here and in the audit log.
          </p>
        </div>
        <Complaint error={judge.error} />
        <div className="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={judge.isPending}>
            {judge.isPending ? "Judging…" : `Judge as ${verdict}`}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export const useMayJudge = () => useSession()?.user?.may["judge-finding"] !== "deny";

/** The three buttons, or what was said and how to take it back. */
export function VerdictButtons({ finding, small = false }: { finding: Judgeable; small?: boolean }) {
  const [asking, setAsking] = useState<Word>();
  const mayJudge = useMayJudge();
  const client = useQueryClient();
  const back = useMutation({
    mutationFn: () => take(api.DELETE("/api/v1/findings/{id}/verdict", { params: { path: { id: finding.id } } })),
    onSuccess: (told) => {
      client.setQueryData(["finding", finding.id], told);
      refresh(client, CHANGED);
      say("The verdict was taken back.");
    },
    onError: complain,
  });
  const said = finding.judgement;
  if (said) {
    return (
      <div className="verdict-said">
        <Verdict judgement={said} />
        {!small && <span>{said.reason || <span className="muted">No reason was given.</span>}</span>}
        {said.declared ? (
          <span className="muted">Declared in the settings</span>
        ) : said.by ? (
          <span className="muted">
            Said of <Link to="/findings/$id" params={{ id: said.by }}>another finding</Link>
          </span>
        ) : (
          mayJudge && (
            <button type="button" className="quiet" disabled={back.isPending} onClick={() => back.mutate()}>
              Take back
            </button>
          )
        )}
      </div>
    );
  }
  if (!mayJudge) return <p className="muted small">Your roles do not judge findings: an analyst’s does.</p>;
  return (
    <div className={small ? "verdicts small" : "verdicts"} role="group" aria-label={`Verdict on ${finding.title}`}>
      {VERDICTS.map(({ verdict, name, means }) => (
        <button key={verdict} type="button" title={means} onClick={() => setAsking(verdict)}>
          {name}
        </button>
      ))}
      {asking && <VerdictDialog findings={[finding]} verdict={asking} close={() => setAsking(undefined)} />}
    </div>
  );
}
