/** All incidents. */
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { listIncidents } from "../api/queries";
import { count, lasted, title } from "../lib/format";
import { usePages } from "../lib/pages";
import { useUrl } from "../lib/url";
import { FilterBar } from "../ui/filterbar";
import { PartyLink, Severity, When } from "../ui/marks";
import { More, PageHead, Scroll } from "../ui/page";
import { Empty, Failed, Loading } from "../ui/states";
import { SortPick } from "../ui/sort";

const ORDERS = [
  ["-severity", "Worst first"],
  ["-seen", "Last seen first"],
  ["-first", "Latest begun first"],
] as const;

export function Incidents() {
  const [search, change] = useUrl();
  const filter = search.filter ?? "";
  const sort = search.sort ?? "-severity";
  const list = usePages<Schemas["IncidentRow"], Awaited<ReturnType<typeof listIncidents>>>(
    ["incidents", filter, sort],
    (cursor, signal) => listIncidents({ filter, sort, cursor }, signal),
    (row) => row.id,
  );
  return (
    <>
      <PageHead title="Incidents" aside={<SortPick orders={ORDERS} value={sort} change={(sort) => change({ sort })} />} />
      <FilterBar
        resource="incidents"
        value={filter}
        apply={(filter) => change({ filter })}
        error={list.error}
        placeholder="severity>=high and seen<24h"
        quick={[
          { name: "Critical and high", filter: "severity>=high" },
          { name: "Seen in the last day", filter: "seen<24h" },
        ]}
      />
      {list.isError ? (
        <Failed error={list.error} again={() => void list.refetch()} />
      ) : list.isPending ? (
        <Loading what="Looking for incidents" />
      ) : list.rows.length === 0 ? (
        <Empty title={filter ? "No incident fits the filter" : "There is no incident"}>
          <p>An incident begins when one finding leads to another: a scan, a break-in, then what the intruder does next. Single findings are in the list of findings.</p>
          <p>
            <Link to="/findings">See findings</Link>
          </p>
        </Empty>
      ) : (
        <>
          <Scroll label="Incidents">
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">Severity</th>
                  <th scope="col">Incident</th>
                  <th scope="col">Stage</th>
                  <th scope="col">Actors</th>
                  <th scope="col" className="right">Victims</th>
                  <th scope="col" className="right">Open</th>
                  <th scope="col">Last seen</th>
                  <th scope="col">Lasted</th>
                </tr>
              </thead>
              <tbody>
                {list.rows.map((row) => (
                  <tr key={row.id}>
                    <td>
                      <Severity level={row.severity} />
                    </td>
                    <td className="main-cell">
                      <Link to="/incidents/$id" params={{ id: row.id }}>
                        <bdi>{row.title}</bdi>
                      </Link>
                    </td>
                    <td>{title(row.stage)}</td>
                    <td>
                      {row.actors.slice(0, 2).map((party, place) => (
                        <span key={party.device ?? party.ip ?? place}>
                          {place > 0 && ", "}
                          <PartyLink party={party} />
                        </span>
                      ))}
                      {row.actors.length > 2 && <span className="muted"> and {row.actors.length - 2} more</span>}
                    </td>
                    <td className="right number">{count(row.victims.length)}</td>
                    <td className="right number">
                      {count(row.open)} of {count(row.findings)}
                    </td>
                    <td className="nowrap">
                      <When at={row.last} asOf={list.first?.as_of} />
                    </td>
                    <td className="nowrap">{lasted(row.first, row.last)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <More query={list} shown={list.rows.length} total={list.first?.total} />
        </>
      )}
    </>
  );
}
