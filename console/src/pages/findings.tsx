/** All findings, to look through and to judge many at once. */
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Schemas } from "../api/client";
import { listFindings } from "../api/queries";
import { count, plural } from "../lib/format";
import { usePages } from "../lib/pages";
import { useUrl } from "../lib/url";
import { FilterBar } from "../ui/filterbar";
import { PartyLink, Severity, Verdict, When } from "../ui/marks";
import { More, PageHead, Scroll } from "../ui/page";
import { SortPick } from "../ui/sort";
import { Empty, Failed, Loading } from "../ui/states";
import { useMayJudge, VerdictDialog, VERDICTS } from "../ui/verdict";

type Row = Schemas["FindingRow"];

/** So many findings can be judged at once. */
const JUDGED_MAX = 500;

const ORDERS = [
  ["-severity", "Worst first"],
  ["-raised", "Latest first"],
  ["-seen", "Last seen first"],
  ["-count", "Most often first"],
] as const;

const QUICK = [
  { name: "Open", filter: "verdict:none" },
  { name: "Critical and high, open", filter: "severity>=high and verdict:none" },
  { name: "New in the last day", filter: "raised<24h" },
  { name: "Judged", filter: "not verdict:none" },
] as const;

export function Findings() {
  const [search, change] = useUrl();
  const filter = search.filter ?? "";
  const sort = search.sort ?? "-severity";
  const list = usePages<Row, Awaited<ReturnType<typeof listFindings>>>(
    ["findings", filter, sort],
    (cursor, signal) => listFindings({ filter, sort, cursor, limit: 100 }, signal),
    (row) => row.id,
  );
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [asking, setAsking] = useState<Schemas["VerdictView"]>();
  const mayJudge = useMayJudge();
  // Only what is shown is judged: what a filter has hidden since is not chosen any more.
  const picked = useMemo(() => list.rows.filter((row) => chosen.has(row.id)).slice(0, JUDGED_MAX), [list.rows, chosen]);
  const isAll = picked.length > 0 && picked.length === Math.min(list.rows.length, JUDGED_MAX);
  const toggle = (id: string) => {
    const now = new Set(chosen);
    if (!now.delete(id)) now.add(id);
    setChosen(now);
  };
  return (
    <>
      <PageHead title="Findings" aside={<SortPick orders={ORDERS} value={sort} change={(sort) => change({ sort })} />} />
      <FilterBar resource="findings" value={filter} apply={(filter) => change({ filter })} error={list.error} placeholder="severity>=high and verdict:none" quick={QUICK} />
      {list.isError ? (
        <Failed error={list.error} again={() => void list.refetch()} />
      ) : list.isPending ? (
        <Loading what="Looking for findings" />
      ) : list.rows.length === 0 ? (
        <Empty title={filter ? "No finding fits the filter" : "Nothing was found"}>
          {filter ? (
            <p>
              Conditions are joined by “and”, “or” and “not”: <code>severity&gt;=high and not ip:10.0.0.0/8</code>.
            </p>
          ) : (
            <p>
              Detectors look at all that is seen, from the first packet on. See <Link to="/detectors">what is looked for</Link>.
            </p>
          )}
        </Empty>
      ) : (
        <>
          {mayJudge && (
            <div className="bulk" role="group" aria-label="Judge what is chosen">
              <label className="check">
                <input type="checkbox" checked={isAll} onChange={() => setChosen(isAll ? new Set() : new Set(list.rows.map((row) => row.id)))} />
                <span>{picked.length > 0 ? `${picked.length} chosen` : "Choose all"}</span>
              </label>
              {picked.length > 0 && (
                <>
                  <span className="muted">Judge as</span>
                  {VERDICTS.map(({ verdict, name, means }) => (
                    <button key={verdict} type="button" title={means} onClick={() => setAsking(verdict)}>
                      {name}
                    </button>
                  ))}
                </>
              )}
            </div>
          )}
          <Scroll label="Findings">
            <table className="table">
              <thead>
                <tr>
                  {mayJudge && (
                    <th scope="col">
                      <span className="unseen">Choose</span>
                    </th>
                  )}
                  <th scope="col">Severity</th>
                  <th scope="col">Finding</th>
                  <th scope="col">Actor</th>
                  <th scope="col">Victim</th>
                  <th scope="col" className="right">Times</th>
                  <th scope="col">Raised</th>
                  <th scope="col">Verdict</th>
                </tr>
              </thead>
              <tbody>
                {list.rows.map((row) => (
                  <tr key={row.id} className={row.judgement && row.judgement.verdict !== "true" ? "dimmed" : undefined}>
                    {mayJudge && (
                      <td>
                        <input type="checkbox" aria-label={`Choose ${row.title}: ${row.summary}`} checked={chosen.has(row.id)} onChange={() => toggle(row.id)} />
                      </td>
                    )}
                    <td>
                      <Severity level={row.severity} />
                    </td>
                    <td className="main-cell">
                      <Link to="/findings/$id" params={{ id: row.id }}>
                        {row.title}
                      </Link>
                      <div className="muted clamp">
                        <bdi>{row.summary}</bdi>
                      </div>
                    </td>
                    <td>
                      <PartyLink party={row.actor} />
                    </td>
                    <td>{row.victim ? <PartyLink party={row.victim} /> : <span className="muted">–</span>}</td>
                    <td className="right number">{count(row.count)}</td>
                    <td className="nowrap">
                      <When at={row.raised} asOf={list.first?.as_of} />
                    </td>
                    <td>
                      <Verdict judgement={row.judgement} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <More query={list} shown={list.rows.length} total={list.first?.total} />
          {list.first && <p className="unseen" role="status">{plural(list.first.total, "finding")}</p>}
        </>
      )}
      {asking && (
        <VerdictDialog
          findings={picked}
          verdict={asking}
          close={() => {
            setAsking(undefined);
            setChosen(new Set());
          }}
        />
      )}
    </>
  );
}
