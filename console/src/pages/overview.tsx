/** The place at a glance: what needs somebody now, and how things stand. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Schemas } from "../api/client";
import { listFindings, overviewQuery } from "../api/queries";
import { count, moment, plural, size, title, words } from "../lib/format";
import { Bar, LEVELS, PartyLink, Severity, Trust, TRUSTS, When } from "../ui/marks";
import { PageHead, Panel, Scroll } from "../ui/page";
import { Empty, Shown } from "../ui/states";

type Told = Schemas["Overview"];

/** Devices that are in no zone for a list of the organisation: what the Internet has is not counted in the overview. */
const OWN = "not locality:external";

export function Overview() {
  const query = useQuery(overviewQuery);
  return (
    <>
      <PageHead title="Overview" aside={query.data && <span className="muted">As of {moment(query.data.as_of)}</span>} />
      <Shown query={query} what="Looking at the place">
        {(told) => (
          <div className="overview">
            <NeedsYou told={told} />
            <div className="grid three">
              <Findings told={told} />
              <Posture told={told} />
              <Roles told={told} />
            </div>
            <div className="grid two">
              <Latest asOf={told.as_of} />
              <Protocols told={told} />
            </div>
          </div>
        )}
      </Shown>
    </>
  );
}

function NeedsYou({ told }: { told: Told }) {
  const rest = told.incidents - told.needs_you.length;
  return (
    <Panel title={<>Needs you now {told.incidents > 0 && <span className="badge">{told.incidents}</span>}</>} aside={<Link to="/incidents">All incidents</Link>}>
      {told.needs_you.length === 0 ? (
        <Empty title="Nothing needs you now">
          <p>Incidents are findings that belong together, such as a scan, a break-in and what followed. Those with open findings stand here, the worst first.</p>
        </Empty>
      ) : (
        <ol className="cards">
          {told.needs_you.map((incident) => (
            <li key={incident.id} className={`card edge-${incident.severity}`}>
              <div className="card-head">
                <Severity level={incident.severity} />
                <span className="muted">{title(incident.stage)}</span>
                <span className="muted card-when">
                  Last seen <When at={incident.last} asOf={told.as_of} />
                </span>
              </div>
              <h3>
                <Link to="/incidents/$id" params={{ id: incident.id }}>
                  <bdi>{incident.title}</bdi>
                </Link>
              </h3>
              <p className="card-do">
                <span className="label">Do first</span> {incident.response}
              </p>
              <p className="muted card-foot">
                {plural(incident.open, "open finding")} of {count(incident.findings)}, {plural(incident.actors.length, "actor")}, {plural(incident.victims.length, "victim")}
              </p>
            </li>
          ))}
        </ol>
      )}
      {rest > 0 && (
        <p className="muted panel-foot">
          <Link to="/incidents">{plural(rest, "more incident")}</Link>
        </p>
      )}
    </Panel>
  );
}

/** Rows of a name, a bar and a number, each of which leads to what it counts. */
function Bars({ rows, empty }: { rows: { key: string; name: ReactNode; value: number; className?: string; to: string; filter: string }[]; empty: string }) {
  const most = Math.max(1, ...rows.map(({ value }) => value));
  if (rows.length === 0) return <p className="muted panel-foot">{empty}</p>;
  return (
    <ul className="bars">
      {rows.map((row) => (
        <li key={row.key}>
          <Link to={row.to as "/"} search={{ filter: row.filter } as never}>
            <span className="bars-name">{row.name}</span>
            <Bar share={row.value / most} className={row.className} />
            <span className="number">{count(row.value)}</span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

function Findings({ told }: { told: Told }) {
  const total = Object.values(told.findings).reduce((sum, value) => sum + value, 0);
  return (
    <Panel title="Open findings" aside={<Link to="/findings" search={{ filter: "verdict:none" } as never}>{count(total)} open</Link>}>
      <Bars
        empty=""
        rows={LEVELS.map((level) => ({
          key: level,
          name: <Severity level={level} />,
          value: told.findings[level] ?? 0,
          className: `fill-${level}`,
          to: "/findings",
          filter: `severity:${level} and verdict:none`,
        }))}
      />
    </Panel>
  );
}

function Posture({ told }: { told: Told }) {
  const total = Object.values(told.devices).reduce((sum, value) => sum + value, 0);
  return (
    <Panel title="Devices by trust" aside={<Link to="/devices">{count(total)} devices</Link>}>
      <Bars
        empty=""
        rows={TRUSTS.map((trust) => ({
          key: trust,
          name: <Trust trust={trust} />,
          value: told.devices[trust] ?? 0,
          className: `fill-${trust}`,
          to: "/devices",
          filter: `trust:${trust} and ${OWN}`,
        }))}
      />
      <p className="muted panel-foot">
        {told.new_devices > 0 ? (
          <Link to="/devices" search={{ filter: `first<24h and ${OWN}`, sort: "-first" } as never}>{plural(told.new_devices, "device")} new in the last day</Link>
        ) : (
          "No device is new in the last day."
        )}
      </p>
    </Panel>
  );
}

function Roles({ told }: { told: Told }) {
  const all = Object.entries(told.roles).sort(([a, x], [b, y]) => y - x || a.localeCompare(b));
  return (
    <Panel title="Roles">
      <Bars
        empty="No device has shown which part it plays yet."
        rows={all.slice(0, 6).map(([role, value]) => ({
          key: role,
          name: title(role),
          value,
          to: "/devices",
          filter: role === "unknown" ? `not main-role:* and ${OWN}` : `main-role:${role} and ${OWN}`,
        }))}
      />
      {all.length > 6 && <p className="muted panel-foot">and {plural(all.length - 6, "other role")}</p>}
    </Panel>
  );
}

function Latest({ asOf }: { asOf: string }) {
  const query = useQuery({ queryKey: ["findings", "latest"], queryFn: ({ signal }) => listFindings({ sort: "-raised", limit: 8 }, signal) });
  return (
    <Panel title="What is new" aside={<Link to="/findings" search={{ sort: "-raised" } as never}>Latest findings</Link>}>
      <Shown query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing was found yet">
              <p>
                Findings say what is wrong, why it matters and what to do. See <Link to="/detectors">what is looked for</Link>.
              </p>
            </Empty>
          ) : (
            <ul className="feed">
              {items.map((finding) => (
                <li key={finding.id}>
                  <Severity level={finding.severity} bare />
                  <div>
                    <Link to="/findings/$id" params={{ id: finding.id }}>
                      {finding.title}
                    </Link>
                    <span className="muted">
                      {" "}
                      by <PartyLink party={finding.actor} />
                    </span>
                  </div>
                  <span className="muted nowrap">
                    <When at={finding.raised} asOf={asOf} />
                  </span>
                </li>
              ))}
            </ul>
          )
        }
      </Shown>
    </Panel>
  );
}

function Protocols({ told }: { told: Told }) {
  const most = Math.max(1, ...told.protocols.map(({ bytes }) => bytes));
  return (
    <Panel title="Protocols by bytes" aside={<Link to="/explore">Conversations</Link>}>
      {told.protocols.length === 0 ? (
        <Empty title="No conversation was seen yet">
          <p>Let a sensor watch an interface or a capture: <code>pavise watch</code> into the same state.</p>
        </Empty>
      ) : (
        <Scroll label="Protocols by bytes">
          <table className="table compact">
            <thead>
              <tr>
                <th scope="col">Protocol</th>
                <th scope="col" className="wide-only">
                  <span className="unseen">Share</span>
                </th>
                <th scope="col" className="right">Bytes</th>
                <th scope="col" className="right">Conversations</th>
              </tr>
            </thead>
            <tbody>
              {told.protocols.slice(0, 8).map((row) => (
                <tr key={row.protocol}>
                  <td>
                    <Link to="/explore" search={{ filter: `protocol:${row.protocol}` } as never}>{words(row.protocol)}</Link>
                  </td>
                  <td className="wide-only grow">
                    <Bar share={row.bytes / most} />
                  </td>
                  <td className="right number">{size(row.bytes)}</td>
                  <td className="right number">{count(row.conversations)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}
