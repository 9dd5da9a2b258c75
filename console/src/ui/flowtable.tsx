/** Conversations in a table. */
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../api/client";
import { count, lasted, moment, size, words } from "../lib/format";
import { Scroll } from "./page";

type Flow = Schemas["FlowView"];

function End({ end }: { end: Flow["client"] }) {
  const name = end.ip ?? end.mac ?? "–";
  const to = end.ip ? `ip:"${end.ip}"` : end.mac ? `mac:"${end.mac}"` : undefined;
  return (
    <span className="nowrap number">
      {to ? (
        <Link to="/devices" search={{ filter: to } as never} title="The device with this address">
          {name}
        </Link>
      ) : (
        name
      )}
      {end.port > 0 && <span className="muted">:{end.port}</span>}
    </span>
  );
}

export function FlowTable({ rows }: { rows: readonly Flow[] }) {
  return (
    <Scroll label="Conversations">
      <table className="table compact">
        <thead>
          <tr>
            <th scope="col">Began</th>
            <th scope="col">Client</th>
            <th scope="col">Server</th>
            <th scope="col">Protocol</th>
            <th scope="col">State</th>
            <th scope="col" className="right">Sent</th>
            <th scope="col" className="right">Received</th>
            <th scope="col" className="right">Packets</th>
            <th scope="col">Lasted</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((flow) => (
            <tr key={`${flow.id} ${flow.first}`}>
              <td className="nowrap number">
                <Link to="/explore" search={{ filter: `id=${flow.id}` } as never}>
                  <time dateTime={flow.first}>{moment(flow.first)}</time>
                </Link>
              </td>
              <td>
                <End end={flow.client} />
              </td>
              <td>
                <End end={flow.server} />
              </td>
              <td className="nowrap">
                {words(flow.protocol ?? flow.transport)}
                {flow.protocol && flow.protocol !== flow.transport && <span className="muted"> {flow.transport}</span>}
                {flow.vlan != null && <span className="muted"> VLAN {flow.vlan}</span>}
              </td>
              <td className="nowrap">{words(flow.state ?? flow.end)}</td>
              <td className="right number">{size(flow.sent.bytes)}</td>
              <td className="right number">{size(flow.received.bytes)}</td>
              <td className="right number">{count(flow.sent.packets + flow.received.packets)}</td>
              <td className="nowrap number">{lasted(flow.first, flow.last)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
