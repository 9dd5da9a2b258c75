/** One device: what it is and why that is believed, what it offers, whom it talks to, what is wrong with it. */
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { deviceQuery, listFindings, listFlows } from "../api/queries";
import { count, deviceName, plural, size, title, words } from "../lib/format";
import { useUrl } from "../lib/url";
import { FlowTable } from "../ui/flowtable";
import { Bar, Severity, Trust, Verdict, When } from "../ui/marks";
import { PageHead, Panel, Scroll } from "../ui/page";
import { Empty, Shown } from "../ui/states";

type View = Schemas["DeviceView"];

const TABS = ["identity", "services", "peers", "findings", "conversations"] as const;
type Tab = (typeof TABS)[number];

/** Attributes in the order in which people ask for them; the others follow by name. */
const FIRST = ["role", "type", "vendor", "model", "part-number", "serial", "firmware", "hardware", "operating-system", "software", "hostname", "label", "location", "contact"];

export function Device() {
  const { id } = useParams({ strict: false }) as { id: string };
  const [search, change] = useUrl();
  const tab: Tab = TABS.find((one) => one === search.tab) ?? "identity";
  const query = useQuery(deviceQuery(id));
  const device = query.data;
  return (
    <>
      <PageHead title={device ? deviceName(device) : "Device"} up={{ to: "/devices", name: "Devices" }}>
        {device && <Facts device={device} />}
      </PageHead>
      <Shown query={query} what="Opening the device">
        {(device) => (
          <>
            <div className="tabs" role="tablist" aria-label="About this device">
              {TABS.map((one) => (
                <button
                  key={one}
                  type="button"
                  role="tab"
                  id={`tab-${one}`}
                  aria-selected={one === tab}
                  aria-controls="tab-panel"
                  tabIndex={one === tab ? 0 : -1}
                  onClick={() => change({ tab: one }, true)}
                  onKeyDown={(event) => {
                    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
                    const to = TABS[(TABS.indexOf(one) + step + TABS.length) % TABS.length];
                    if (!step || !to) return;
                    change({ tab: to }, true);
                    document.getElementById(`tab-${to}`)?.focus();
                  }}
                >
                  {title(one)}
                  {one === "findings" && device.findings > 0 && <span className="badge">{device.findings}</span>}
                </button>
              ))}
            </div>
            <div role="tabpanel" id="tab-panel" aria-labelledby={`tab-${tab}`} tabIndex={0} className="tab-panel">
              {tab === "identity" && <Identity device={device} />}
              {tab === "services" && <Services device={device} />}
              {tab === "peers" && <Peers device={device} />}
              {tab === "findings" && <Findings id={device.id} />}
              {tab === "conversations" && <Flows id={device.id} />}
            </div>
          </>
        )}
      </Shown>
    </>
  );
}

function Facts({ device }: { device: View }) {
  const rows: [string, React.ReactNode][] = [
    ["Trust", device.locality === "external" ? <span className="muted">Not yours</span> : <Trust key="trust" trust={device.trust} />],
    ["Role", device.role ? title(device.role) : <span className="muted">Unknown</span>],
    ["Vendor", device.vendor ?? <span className="muted">Unknown</span>],
    ["Address", device.addresses[0] ?? <span className="muted">None</span>],
    ["Stands", title(device.locality)],
    ...(device.zone ? ([["Zone", device.zone]] as [string, React.ReactNode][]) : []),
    ["First seen", <When key="first" at={device.first} exact />],
    ["Last seen", <When key="last" at={device.last} exact />],
  ];
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <bdi>{value}</bdi>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Identity({ device }: { device: View }) {
  const place = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const all = Object.entries(device.attributes).sort(([a], [b]) => place(a) - place(b) || a.localeCompare(b));
  return (
    <div className="stack">
      <Panel title="Names on the network">
        <dl className="pairs">
          <dt>Id</dt>
          <dd>
            <code>{device.id}</code>
          </dd>
          <dt>Network addresses</dt>
          <dd>{device.addresses.map((one) => <code key={one}>{one}</code>)}</dd>
          <dt>Link-layer addresses</dt>
          <dd>{device.macs.map((one) => <code key={one}>{one}</code>)}</dd>
          <dt>Protocols</dt>
          <dd>{device.protocols.map((one) => <span key={one} className="tag">{one}</span>)}</dd>
          <dt>Sent</dt>
          <dd className="number">{size(device.bytes_out)} in {plural(device.packets_out, "packet")}</dd>
          <dt>Was sent</dt>
          <dd className="number">{size(device.bytes_in)} in {plural(device.packets_in, "packet")}</dd>
        </dl>
      </Panel>
      <Panel title="What it is, and why that is believed">
        {all.length === 0 ? (
          <Empty title="It has told nothing of itself yet">
            <p>What a device is follows from what it says in protocols: names, banners, identifications. It has only been seen to send.</p>
          </Empty>
        ) : (
          <Scroll label="Evidence">
            <table className="table compact evidence">
              <thead>
                <tr>
                  <th scope="col">Attribute</th>
                  <th scope="col">Value</th>
                  <th scope="col">Told by</th>
                  <th scope="col">Worth</th>
                  <th scope="col" className="right">Times</th>
                  <th scope="col">Last told</th>
                </tr>
              </thead>
              {all.map(([name, evidence]) => {
                const values = new Set(evidence.map(({ value }) => value));
                const best = evidence[0]?.value;
                return (
                  <tbody key={name}>
                    {evidence.map((one, at) => (
                      <tr key={`${one.value} ${one.source}`} className={one.value !== best ? "other" : undefined}>
                        {at === 0 && (
                          <th scope="rowgroup" rowSpan={evidence.length}>
                            {title(name)}
                            {values.size > 1 && <span className="conflict">{values.size} values</span>}
                          </th>
                        )}
                        <td>
                          <bdi className="value">{one.value}</bdi>
                        </td>
                        <td>
                          <code>{one.source}</code>
                        </td>
                        <td className="worth">
                          <Bar share={one.confidence / 100} /> <span className="number">{one.confidence} %</span>
                        </td>
                        <td className="right number">{count(one.count)}</td>
                        <td className="nowrap">
                          <When at={one.last} asOf={device.last} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                );
              })}
            </table>
          </Scroll>
        )}
      </Panel>
    </div>
  );
}

function ServiceTable({ all, label, device, end }: { all: View["offers"]; label: string; device: View; end: "server" | "client" }) {
  if (all.length === 0) return <Empty title={end === "server" ? "It offers nothing that was asked for" : "It was not seen to ask for anything"} />;
  const address = device.addresses[0];
  const filter = (one: View["offers"][number]) =>
    [`protocol:${one.protocol}`, one.port > 0 ? `port:${one.port}` : "", address ? `${end}:"${address}"` : ""].filter(Boolean).join(" and ");
  return (
    <Scroll label={label}>
      <table className="table compact">
        <thead>
          <tr>
            <th scope="col">Protocol</th>
            <th scope="col">Carried by</th>
            <th scope="col" className="right">Port</th>
            <th scope="col" className="right">Conversations</th>
          </tr>
        </thead>
        <tbody>
          {[...all].sort((a, b) => b.conversations - a.conversations).map((one) => (
            <tr key={`${one.protocol} ${one.transport} ${one.port}`}>
              <td>
                <Link to="/explore" search={{ filter: filter(one) } as never}>
                  {words(one.protocol)}
                </Link>
              </td>
              <td>{one.transport}</td>
              <td className="right number">{one.port > 0 ? one.port : "–"}</td>
              <td className="right number">{count(one.conversations)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Services({ device }: { device: View }) {
  return (
    <div className="grid two">
      <Panel title="Offers">
        <ServiceTable all={device.offers} label="Services that it offers" device={device} end="server" />
      </Panel>
      <Panel title="Uses">
        <ServiceTable all={device.uses} label="Services that it uses" device={device} end="client" />
      </Panel>
    </div>
  );
}

function Peers({ device }: { device: View }) {
  const most = Math.max(1, ...device.peers.map((peer) => peer.bytes_in + peer.bytes_out));
  return (
    <Panel title="Whom it talks to" aside={device.peers.length >= 256 ? <span className="muted">the 256 with the most bytes</span> : undefined}>
      {device.peers.length === 0 ? (
        <Empty title="It talks to nobody that is known" />
      ) : (
        <Scroll label="Peers">
          <table className="table compact">
            <thead>
              <tr>
                <th scope="col">Device</th>
                <th scope="col" className="wide-only">
                  <span className="unseen">Share</span>
                </th>
                <th scope="col" className="right">Sent to it</th>
                <th scope="col" className="right">It sent</th>
                <th scope="col" className="right">Conversations</th>
                <th scope="col">Last</th>
              </tr>
            </thead>
            <tbody>
              {device.peers.map((peer) => (
                <tr key={peer.id}>
                  <td>
                    <Link to="/devices/$id" params={{ id: peer.id }}>
                      <bdi>{peer.name ?? peer.id}</bdi>
                    </Link>
                  </td>
                  <td className="wide-only grow">
                    <Bar share={(peer.bytes_in + peer.bytes_out) / most} />
                  </td>
                  <td className="right number">{size(peer.bytes_out)}</td>
                  <td className="right number">{size(peer.bytes_in)}</td>
                  <td className="right number">{count(peer.conversations)}</td>
                  <td className="nowrap">
                    <When at={peer.last} asOf={device.last} />
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

function Findings({ id }: { id: string }) {
  const query = useQuery({ queryKey: ["findings", "of", id], queryFn: ({ signal }) => listFindings({ filter: `device:${id}`, sort: "-severity", limit: 100 }, signal) });
  return (
    <Panel title="Findings in which it has a part" aside={<Link to="/findings" search={{ filter: `device:${id}` } as never}>In the list of findings</Link>}>
      <Shown query={query}>
        {({ items, as_of }) =>
          items.length === 0 ? (
            <Empty title="Nothing was found of it">
              <p>Neither as whoever did something nor as whoever it was done to.</p>
            </Empty>
          ) : (
            <ul className="feed">
              {items.map((finding) => (
                <li key={finding.id}>
                  <Severity level={finding.severity} />
                  <div>
                    <Link to="/findings/$id" params={{ id: finding.id }}>
                      {finding.title}
                    </Link>
                    <div className="muted">
                      <bdi>{finding.summary}</bdi>
                    </div>
                  </div>
                  <span className="nowrap muted">
                    <Verdict judgement={finding.judgement} /> · <When at={finding.raised} asOf={as_of} />
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

function Flows({ id }: { id: string }) {
  const query = useQuery({ queryKey: ["flows", "of", id], queryFn: ({ signal }) => listFlows({ device: id, limit: 50 }, signal) });
  return (
    <Panel title="Latest conversations" aside={<Link to="/explore" search={{ device: id } as never}>Explore all</Link>}>
      <Shown query={query}>
        {({ items }) => (items.length === 0 ? <Empty title="None of its conversations is kept" /> : <FlowTable rows={items} />)}
      </Shown>
    </Panel>
  );
}
