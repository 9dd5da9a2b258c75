/** How the sensors and the server are: what was read, lost and given up. */
import { useQuery } from "@tanstack/react-query";
import { systemQuery, zonesQuery } from "../api/queries";
import { count, plural, size, title } from "../lib/format";
import { Severity, Trust, When } from "../ui/marks";
import { PageHead, Panel, Scroll } from "../ui/page";
import { Empty, Shown } from "../ui/states";

export function System() {
  const query = useQuery(systemQuery);
  const zones = useQuery(zonesQuery);
  return (
    <>
      <PageHead title="System">
        {query.data && (
          <dl className="facts">
            <div>
              <dt>Version</dt>
              <dd className="number">{query.data.version}</dd>
            </div>
            <div>
              <dt>Server started</dt>
              <dd>
                <When at={query.data.started} exact />
              </dd>
            </div>
            <div>
              <dt>Change of the state</dt>
              <dd className="number">{count(query.data.change)}</dd>
            </div>
          </dl>
        )}
      </PageHead>
      <Shown query={query} what="Asking how things are">
        {(system) => (
          <div className="stack">
            <Panel title="Sources" aside={<span className="muted">{plural(system.sources.length, "source")}</span>}>
              {system.sources.length === 0 ? (
                <Empty title="Nothing is watched yet">
                  <p>
                    Watch an interface or a capture into the same state: <code>pavise watch --state DIR</code>.
                  </p>
                </Empty>
              ) : (
                <Scroll label="Sources">
                  <table className="table">
                    <thead>
                      <tr>
                        <th scope="col">Source</th>
                        <th scope="col">State</th>
                        <th scope="col" className="right">Packets</th>
                        <th scope="col" className="right">Bytes</th>
                        <th scope="col" className="right">Dropped</th>
                        <th scope="col" className="right">Given up</th>
                        <th scope="col">Latest packet</th>
                      </tr>
                    </thead>
                    <tbody>
                      {system.sources.map((source) => {
                        const share = source.packets + source.dropped > 0 ? source.dropped / (source.packets + source.dropped) : 0;
                        return (
                          <tr key={source.name}>
                            <td className="main-cell">
                              <bdi>{source.name}</bdi>
                              {source.damage && <div className="warn">Damaged: {source.damage}</div>}
                            </td>
                            <td className="nowrap">{source.live ? "Interface" : source.complete ? "Capture, read to its end" : "Capture, not read to its end"}</td>
                            <td className="right number">{count(source.packets)}</td>
                            <td className="right number">{size(source.bytes)}</td>
                            <td className={source.dropped > 0 ? "right number warn" : "right number"}>
                              {count(source.dropped)}
                              {share > 0 ? ` (${(share * 100).toFixed(2)} %)` : ""}
                            </td>
                            <td className={source.shed > 0 ? "right number warn" : "right number"}>{count(source.shed)}</td>
                            <td className="nowrap">
                              <When at={source.last} exact />
                            </td>
                          </tr>
                        );
                      })}
                    </tbody>
                  </table>
                </Scroll>
              )}
            </Panel>
            <div className="grid two">
              <Panel title="Limits reached">
                {system.limits.length === 0 ? (
                  <Empty title="No limit was reached">
                    <p>Every table has a limit. When one is reached, something is given up, and it is said here.</p>
                  </Empty>
                ) : (
                  <Scroll label="Limits reached">
                    <table className="table compact">
                      <thead>
                        <tr>
                          <th scope="col">Limit</th>
                          <th scope="col" className="right">Given up</th>
                          <th scope="col" className="right">Packets</th>
                        </tr>
                      </thead>
                      <tbody>
                        {system.limits.map((limit) => (
                          <tr key={limit.limit}>
                            <td>{title(limit.limit)}</td>
                            <td className="right number">{count(limit.count)}</td>
                            <td className="right number">{count(limit.packets)}</td>
                          </tr>
                        ))}
                      </tbody>
                    </table>
                  </Scroll>
                )}
              </Panel>
              <Panel title="Breaches of protocols">
                {Object.keys(system.anomalies).length === 0 ? (
                  <Empty title="No protocol was broken">
                    <p>Messages that are not as their standard has them are counted here, by kind.</p>
                  </Empty>
                ) : (
                  <dl className="pairs">
                    {Object.entries(system.anomalies)
                      .sort(([, a], [, b]) => Number(b) - Number(a))
                      .map(([kind, times]) => (
                        <div key={kind} className="pair">
                          <dt>{title(kind)}</dt>
                          <dd className="number">{count(Number(times))}</dd>
                        </div>
                      ))}
                  </dl>
                )}
              </Panel>
            </div>
            <Panel title="Zones">
              <Shown query={zones}>
                {(all) =>
                  all.length === 0 ? (
                    <Empty title="No zone is named">
                      <p>Zones are networks or roles that belong together. They are named in the settings, and roles of people can be granted for one alone.</p>
                    </Empty>
                  ) : (
                    <Scroll label="Zones">
                      <table className="table compact">
                        <thead>
                          <tr>
                            <th scope="col">Zone</th>
                            <th scope="col">Kind</th>
                            <th scope="col">Networks and roles</th>
                            <th scope="col" className="right">Devices</th>
                            <th scope="col">Least trust</th>
                            <th scope="col">Worst finding</th>
                          </tr>
                        </thead>
                        <tbody>
                          {all.map((zone) => (
                            <tr key={zone.name}>
                              <td>{zone.name}</td>
                              <td>{title(zone.kind)}</td>
                              <td>{[...zone.networks, ...zone.roles].join(", ")}</td>
                              <td className="right number">{count(zone.devices)}</td>
                              <td>
                                <Trust trust={zone.trust} />
                              </td>
                              <td>{zone.worst ? <Severity level={zone.worst} /> : <span className="muted">–</span>}</td>
                            </tr>
                          ))}
                        </tbody>
                      </table>
                    </Scroll>
                  )
                }
              </Shown>
            </Panel>
          </div>
        )}
      </Shown>
    </>
  );
}
