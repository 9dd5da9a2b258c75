/** Who did what, the latest first. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, take } from "../api/client";
import { count } from "../lib/format";
import { useUrl } from "../lib/url";
import { When } from "../ui/marks";
import { PageHead, Scroll } from "../ui/page";
import { Empty, Failed, Loading } from "../ui/states";
import { words } from "../lib/format";

/** The id of a finding. */
const FINDING = /^f[0-9a-f]{12}$/;
const OUTCOMES = ["", "done", "denied", "failed"] as const;

export function Audit() {
  const [search, change] = useUrl();
  const { who = "", what = "", outcome = "" } = search;
  const list = useInfiniteQuery({
    queryKey: ["audit", who, what, outcome],
    queryFn: ({ pageParam, signal }) =>
      take(api.GET("/api/v1/audit", { params: { query: { ...(who ? { who } : {}), ...(what ? { what } : {}), ...(outcome ? { outcome } : {}), limit: 100, ...(pageParam ? { before: pageParam } : {}) } }, signal })),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
  });
  const rows = list.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      <PageHead title="Audit log">
        <p className="muted lead-in">Who did what, or tried to. Entries are only ever added.</p>
      </PageHead>
      <div className="range">
        <label className="pick">
          <span>Who</span>
          <input data-search value={who} maxLength={64} onChange={(event) => change({ who: event.target.value }, true)} />
        </label>
        <label className="pick">
          <span>What</span>
          <input value={what} maxLength={64} placeholder="sign-in" onChange={(event) => change({ what: event.target.value }, true)} />
        </label>
        <label className="pick">
          <span>Outcome</span>
          <select value={outcome} onChange={(event) => change({ outcome: event.target.value })}>
            {OUTCOMES.map((one) => (
              <option key={one} value={one}>
                {one || "any"}
              </option>
            ))}
          </select>
        </label>
      </div>
      {list.isError ? (
        <Failed error={list.error} again={() => void list.refetch()} />
      ) : list.isPending ? (
        <Loading what="Reading the log" />
      ) : rows.length === 0 ? (
        <Empty title="No entry fits">
          <p>Signing in, verdicts, changes of users, tokens and factors, and reading of packets are written here.</p>
        </Empty>
      ) : (
        <>
          <Scroll label="Audit log">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col" className="right">Number</th>
                  <th scope="col">When</th>
                  <th scope="col">Who</th>
                  <th scope="col">What</th>
                  <th scope="col">To what</th>
                  <th scope="col">Outcome</th>
                  <th scope="col">Change and reason</th>
                  <th scope="col">From</th>
                </tr>
              </thead>
              <tbody>
                {rows.map((entry) => (
                  <tr key={entry.number}>
                    <td className="right number muted">{count(entry.number)}</td>
                    <td className="nowrap">
                      <When at={entry.at} exact />
                    </td>
                    <td>
                      <bdi>{entry.who || "–"}</bdi>
                    </td>
                    <td className="nowrap">{words(entry.what)}</td>
                    <td>
                      {FINDING.test(entry.to) ? (
                        <Link to="/findings/$id" params={{ id: entry.to }}>
                          {entry.to}
                        </Link>
                      ) : (
                        <bdi>{entry.to}</bdi>
                      )}
                    </td>
                    <td className={entry.outcome === "done" ? undefined : "warn"}>{entry.outcome}</td>
                    <td className="change">
                      {(entry.before || entry.after) && (
                        <div>
                          <span className="muted">{entry.before ?? "nothing"} →</span> {entry.after ?? "nothing"}
                        </div>
                      )}
                      {entry.why && <bdi className="muted">{entry.why}</bdi>}
                    </td>
                    <td className="number nowrap">{entry.from}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <footer className="more">
            <span className="muted">{rows.length} shown</span>
            {list.hasNextPage && (
              <button type="button" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
                {list.isFetchingNextPage ? "Loading…" : "Show more"}
              </button>
            )}
          </footer>
        </>
      )}
    </>
  );
}
