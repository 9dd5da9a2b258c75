/** One finding, told so that somebody who has never seen its like knows what to do. */
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, problemOf, ProblemError, type Schemas } from "../api/client";
import { findingQuery } from "../api/queries";
import { count, measure, plural, words } from "../lib/format";
import { PartyLink, Severity, When } from "../ui/marks";
import { PageHead, Panel, Scroll } from "../ui/page";
import { Complaint, Shown } from "../ui/states";
import { VerdictButtons } from "../ui/verdict";

type View = Schemas["FindingView"];

/** So many conversations are named in one look at them. */
const LOOKED_AT = 40;

export function Finding() {
  const { id } = useParams({ strict: false }) as { id: string };
  const query = useQuery(findingQuery(id));
  return (
    <>
      <PageHead title={query.data?.title ?? "Finding"} up={{ to: "/findings", name: "Findings" }}>
        {query.data && <Facts finding={query.data} />}
      </PageHead>
      <Shown query={query} what="Opening the finding">
        {(finding) => (
          <div className="grid split">
            <div className="stack">
              <Panel title="What happened">
                <div className="prose">
                  <p className="lead">
                    <bdi>{finding.summary}</bdi>
                  </p>
                  {finding.finds && (
                    <>
                      <h3>What is looked for</h3>
                      <p>{finding.finds}</p>
                    </>
                  )}
                  <h3>Why it matters</h3>
                  <p>{finding.matters}</p>
                  <h3>What to do</h3>
                  <p>{finding.fix}</p>
                </div>
              </Panel>
              <Why finding={finding} />
            </div>
            <div className="stack">
              <Panel title="Verdict">
                <div className="panel-body">
                  <VerdictButtons finding={finding} />
                </div>
              </Panel>
              <Evidence finding={finding} />
              <Techniques finding={finding} />
              <Beside finding={finding} />
            </div>
          </div>
        )}
      </Shown>
    </>
  );
}

function Facts({ finding }: { finding: View }) {
  return (
    <dl className="facts">
      <div>
        <dt>Severity</dt>
        <dd>
          <Severity level={finding.severity} />
        </dd>
      </div>
      <div>
        <dt>Actor</dt>
        <dd>
          <PartyLink party={finding.actor} withAddress />
        </dd>
      </div>
      {finding.victim && (
        <div>
          <dt>Victim</dt>
          <dd>
            <PartyLink party={finding.victim} withAddress />
          </dd>
        </div>
      )}
      <div>
        <dt>First</dt>
        <dd>
          <When at={finding.first} exact />
        </dd>
      </div>
      <div>
        <dt>Last</dt>
        <dd>
          <When at={finding.last} exact />
        </dd>
      </div>
      <div>
        <dt>Times</dt>
        <dd className="number">{count(finding.count)}</dd>
      </div>
    </dl>
  );
}

function Why({ finding }: { finding: View }) {
  const crossed = finding.crossed;
  if (!crossed && finding.factors.length === 0) return null;
  return (
    <Panel title="Why it was told">
      {crossed && (
        <div className="threshold">
          <div className="threshold-words">
            <span>
              Seen: <strong className="number">{measure(crossed.seen)}</strong> {crossed.unit}
            </span>
            <span>
              Told from <strong className="number">{measure(crossed.limit)}</strong> {crossed.unit}
            </span>
          </div>
          <p className="muted">
            The threshold is <code>{crossed.threshold}</code>
            {crossed.set_for ? `, set for ${crossed.set_for}` : ""}. It can be set in the settings.
          </p>
        </div>
      )}
      {finding.factors.length > 0 && (
        <Scroll label="What drove it">
          <table className="table compact">
            <thead>
              <tr>
                <th scope="col">What was looked at</th>
                <th scope="col">Seen</th>
                <th scope="col">Usual</th>
              </tr>
            </thead>
            <tbody>
              {finding.factors.map((factor) => (
                <tr key={`${factor.name} ${factor.seen}`}>
                  <td>{factor.name}</td>
                  <td>
                    <bdi>{factor.seen}</bdi>
                  </td>
                  <td className="muted">
                    <bdi>{factor.usual}</bdi>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

function Evidence({ finding }: { finding: View }) {
  const [error, setError] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  const { evidence } = finding;
  const download = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const { data, response } = await api.GET("/api/v1/findings/{id}/evidence", { params: { path: { id: finding.id } }, parseAs: "blob" });
      const problem = await problemOf(response);
      if (problem || !data) throw new ProblemError(problem ?? { type: "/problems/unknown", title: "", status: 500, detail: "No packets came." });
      const address = URL.createObjectURL(data as unknown as Blob);
      const link = document.createElement("a");
      link.href = address;
      link.download = `${finding.id}.pcapng`;
      link.click();
      URL.revokeObjectURL(address);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title="Evidence">
      <div className="panel-body">
        {evidence.state === "open" && <p className="muted">The packets that show it are still being gathered.</p>}
        {evidence.state === "missing" && <p className="muted">The packets were not kept: {evidence.reason}</p>}
        {evidence.state === "kept" && (
          <>
            <p>
              {plural(evidence.packets, "packet")}
              {evidence.replays ? ", which show the finding by themselves." : ", which show the finding only together with what was learnt before."}
            </p>
            <div className="row">
              <button type="button" disabled={isBusy} onClick={() => void download()}>
                {isBusy ? "Fetching…" : "Download the packets"}
              </button>
            </div>
            <details>
              <summary>SHA-256 of the capture</summary>
              <code className="hash">{evidence.sha256}</code>
            </details>
            <p className="help">That you read them is written in the audit log.</p>
          </>
        )}
        <Complaint error={error} />
      </div>
    </Panel>
  );
}

function Techniques({ finding }: { finding: View }) {
  if (finding.techniques.length === 0) return null;
  return (
    <Panel title="Techniques of MITRE ATT&amp;CK">
      <ul className="plain">
        {finding.techniques.map((technique) => (
          <li key={technique.id}>
            <code>{technique.id}</code> {technique.name}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Beside({ finding }: { finding: View }) {
  const ids = finding.conversations.slice(0, LOOKED_AT);
  return (
    <Panel title="Goes with it">
      <ul className="plain">
        {finding.incident && (
          <li>
            <Link to="/incidents/$id" params={{ id: finding.incident }}>
              Its incident
            </Link>
          </li>
        )}
        {ids.length > 0 && (
          <li>
            <Link to="/explore" search={{ filter: ids.map((id) => `id=${id}`).join(" or ") } as never}>
              {ids.length < finding.conversations.length ? `The first ${ids.length} conversations that show it` : `${plural(ids.length, "conversation")} that ${ids.length === 1 ? "shows" : "show"} it`}
            </Link>
          </li>
        )}
        {finding.because.map((id) => (
          <li key={id}>
            Told because of <Link to="/findings/$id" params={{ id }}>finding {id}</Link>
          </li>
        ))}
        <li>
          <Link to="/findings" search={{ filter: `detector=${finding.detector}` } as never}>
            All findings of {words(finding.detector)}
          </Link>
        </li>
        <li>
          <Link to="/detectors" search={{ find: finding.detector } as never}>
            The detector
          </Link>
        </li>
      </ul>
    </Panel>
  );
}
