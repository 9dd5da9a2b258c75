/** One incident: what to do, what happened, who is touched, and where it may go next. */
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { devicesQuery, incidentQuery } from "../api/queries";
import { count, deviceName, lasted, moment, plural, title } from "../lib/format";
import { partyId } from "../lib/graph";
import { Bar, PartyLink, Severity, Trust, When } from "../ui/marks";
import { PageHead, Panel, Scroll } from "../ui/page";
import { PartyGraph } from "../ui/partygraph";
import { Empty, Shown } from "../ui/states";
import { VerdictButtons } from "../ui/verdict";

type View = Schemas["IncidentView"];

export function Incident() {
  const { id } = useParams({ strict: false }) as { id: string };
  const query = useQuery(incidentQuery(id));
  return (
    <>
      <PageHead title={query.data?.title ?? "Incident"} up={{ to: "/incidents", name: "Incidents" }}>
        {query.data && <Facts incident={query.data} />}
      </PageHead>
      <Shown query={query} what="Putting the incident together">
        {(incident) => (
          <div className="incident">
            <section className={`response edge-${incident.severity}`} aria-label="What to do first">
              <h2>Do first</h2>
              <p>{incident.response}</p>
            </section>
            <div className="grid split">
              <div className="stack">
                <Timeline incident={incident} />
              </div>
              <div className="stack">
                <Panel title="Who did what to whom">
                  <PartyGraph incident={incident} />
                </Panel>
                <Blast incident={incident} />
                <Next incident={incident} />
              </div>
            </div>
          </div>
        )}
      </Shown>
    </>
  );
}

function Facts({ incident }: { incident: View }) {
  return (
    <dl className="facts">
      <div>
        <dt>Severity</dt>
        <dd>
          <Severity level={incident.severity} />
        </dd>
      </div>
      <div>
        <dt>Stage</dt>
        <dd>{title(incident.stage)}</dd>
      </div>
      <div>
        <dt>Began</dt>
        <dd>
          <When at={incident.first} exact />
        </dd>
      </div>
      <div>
        <dt>Last seen</dt>
        <dd>
          <When at={incident.last} exact />
        </dd>
      </div>
      <div>
        <dt>Lasted</dt>
        <dd>{lasted(incident.first, incident.last)}</dd>
      </div>
      <div>
        <dt>Open findings</dt>
        <dd className="number">
          {count(incident.open)} of {count(incident.findings)}
        </dd>
      </div>
    </dl>
  );
}

function Timeline({ incident }: { incident: View }) {
  const all = [...incident.timeline].sort((a, b) => a.raised.localeCompare(b.raised));
  return (
    <Panel title="Timeline" aside={<span className="muted">{plural(all.length, "finding")}</span>}>
      {all.length === 0 ? (
        <Empty title="Its findings are gone">
          <p>What was kept has reached its limits, and the oldest findings went first.</p>
        </Empty>
      ) : (
        <ol className="timeline">
          {all.map((finding) => (
            <li key={finding.id} className={`at-${finding.severity}`}>
              <div className="timeline-head">
                <time dateTime={finding.raised} title={moment(finding.raised)} className="number">
                  {moment(finding.raised)}
                </time>
                <Severity level={finding.severity} />
                {finding.count > 1 && <span className="muted number">{count(finding.count)} times</span>}
              </div>
              <h3>
                <Link to="/findings/$id" params={{ id: finding.id }}>
                  {finding.title}
                </Link>
              </h3>
              <p>
                <bdi>{finding.summary}</bdi>
              </p>
              <VerdictButtons finding={finding} small />
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

function Blast({ incident }: { incident: View }) {
  const parties = [...new Map([...incident.actors, ...incident.victims].map((party) => [partyId(party), party])).values()];
  const ids = parties.flatMap((party) => (party.device ? [party.device] : []));
  const devices = useQuery(devicesQuery(ids));
  const known = devices.data?.items ?? [];
  const own = known.filter((device) => device.locality !== "external");
  const roles = [...new Set(own.flatMap((device) => (device.role ? [device.role] : [])))];
  const zones = [...new Set(own.flatMap((device) => (device.zone ? [device.zone] : [])))];
  return (
    <Panel title="Blast radius" aside={<span className="muted">{plural(parties.length, "party", "parties")}</span>}>
      <dl className="facts tight">
        <div>
          <dt>Yours</dt>
          <dd className="number">{plural(own.length, "device")}</dd>
        </div>
        <div>
          <dt>Elsewhere</dt>
          <dd className="number">{plural(parties.length - own.length, "host")}</dd>
        </div>
        {roles.length > 0 && (
          <div>
            <dt>Roles</dt>
            <dd>{roles.map(title).join(", ")}</dd>
          </div>
        )}
        {zones.length > 0 && (
          <div>
            <dt>Zones</dt>
            <dd>{zones.join(", ")}</dd>
          </div>
        )}
      </dl>
      {known.length > 0 && (
        <Scroll label="Devices in the incident">
          <table className="table compact">
            <thead>
              <tr>
                <th scope="col">Device</th>
                <th scope="col">Role</th>
                <th scope="col">Trust</th>
                <th scope="col" className="right">Findings</th>
              </tr>
            </thead>
            <tbody>
              {known.map((device) => (
                <tr key={device.id}>
                  <td>
                    <Link to="/devices/$id" params={{ id: device.id }}>
                      <bdi>{deviceName(device)}</bdi>
                    </Link>
                    {device.name && <span className="muted"> {device.addresses[0]}</span>}
                  </td>
                  <td>{device.locality === "external" ? <span className="muted">Internet</span> : device.role ? title(device.role) : <span className="muted">Unknown</span>}</td>
                  <td>
                    {device.locality === "external" ? <span className="muted">Not yours</span> : <Trust trust={device.trust} />}
                  </td>
                  <td className="right number">{count(device.findings)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}

function Next({ incident }: { incident: View }) {
  return (
    <Panel title="Likely next steps">
      {incident.next.length === 0 ? (
        <Empty title="No next step stands out">
          <p>Next steps are told from whom the attacker’s hosts talk to already, and from services there by which others can be taken over.</p>
        </Empty>
      ) : (
        <ol className="steps">
          {incident.next.map((step) => (
            <li key={`${partyId(step.from)} ${partyId(step.to)} ${step.service}`}>
              <div className="steps-head">
                <span>
                  <PartyLink party={step.from} /> <span aria-label="to">→</span> <PartyLink party={step.to} withAddress />
                </span>
                <span className="number nowrap">{Math.round(step.weight * 100)} %</span>
              </div>
              <Bar share={step.weight} className="fill-high" />
              <p className="muted">
                By {step.service}: {step.reason}
              </p>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}
