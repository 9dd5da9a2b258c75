//! Observations made from sets that hold no packets: flow logs and tables of values.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use model::{
    EndReason, Endpoint, FlowHead, FlowId, FlowIdentified, FlowRecord, Host, Observation, Operation,
    OperationKind, Outcome, Reach, Side, TcpState, TcpStats, Timestamp, Transport, Value, Volume, What,
};

use super::label::{Name, Span, Unit};
use crate::run::Failure;

/// How the files are called that `pavise watch` reads as observations.
pub(crate) const ENDING: &str = ".observations.jsonl";

/// Who talked to whom, by address and port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) transport: Transport,
    pub(crate) client: (IpAddr, u16),
    pub(crate) server: (IpAddr, u16),
}

impl Pair {
    fn head(self, id: FlowId, answered: bool) -> FlowHead {
        let endpoint = |(ip, port)| Endpoint { host: Host::from_ip(ip), port };
        let reach = |ip| if is_of_site(ip) { Reach::Near } else { Reach::Routed };
        FlowHead {
            id,
            transport: self.transport,
            vlan: None,
            client: endpoint(self.client),
            server: endpoint(self.server),
            client_reach: reach(self.client.0),
            server_reach: if answered { reach(self.server.0) } else { Reach::Unknown },
        }
    }
}

/// Whether an address is one of a site's own (RFC 1918, RFC 4193, link-local).
fn is_of_site(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// A conversation as a flow log tells it, and its label.
#[derive(Clone, Debug)]
pub(crate) struct LoggedFlow {
    pub(crate) pair: Pair,
    pub(crate) span: Span,
    pub(crate) sent: Volume,
    pub(crate) received: Volume,
    pub(crate) protocol: Option<&'static str>,
    pub(crate) tcp: Option<TcpState>,
    /// The kind of attack; none for a benign one.
    pub(crate) attack: Option<String>,
}

impl LoggedFlow {
    /// The unit that it is, as the `number`-th of its log.
    pub(crate) fn unit(&self, number: usize) -> Unit {
        let mut ends = [self.pair.client, self.pair.server].map(|(ip, port)| (Name::Ip(ip), port));
        let hosts = ends.iter().map(|(name, _)| *name).collect();
        ends.sort();
        Unit {
            span: self.span,
            flow: Some(flow_id(number)),
            ends: Some(ends),
            hosts,
            malicious: self.attack.is_some(),
        }
    }

    fn observations(&self, number: usize) -> Vec<Observation> {
        let answered = self.received.packets > 0;
        let head = self.pair.head(flow_id(number), answered);
        let protocol = self.protocol.map(Into::into);
        let mut all = Vec::new();
        if answered {
            all.push(Observation { at: self.span.first, what: What::FlowOpened(Box::new(head)) });
        }
        if let Some(protocol) = protocol.clone() {
            let identified = FlowIdentified { flow: head, protocol };
            all.push(Observation { at: self.span.first, what: What::FlowIdentified(Box::new(identified)) });
        }
        let record = FlowRecord {
            head,
            first: self.span.first,
            last: self.span.last,
            sent: self.sent,
            received: self.received,
            protocol,
            tcp: self.tcp.map(|state| TcpStats { state, ..TcpStats::default() }),
            end: match self.tcp {
                Some(TcpState::Closed | TcpState::Reset | TcpState::Refused) => EndReason::Finished,
                _ => EndReason::Idle,
            },
        };
        all.push(Observation { at: self.span.last, what: What::FlowEnded(Box::new(record)) });
        all
    }
}

/// The id of the `number`-th conversation: spread, as real ones are, and never the same twice, for the
/// factor is odd.
pub(crate) fn flow_id(number: usize) -> FlowId {
    FlowId((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Writes what flow logs tell. `from` is the number of the first.
pub(crate) fn write_flows(path: &Path, flows: &[LoggedFlow], from: usize) -> Result<(), Failure> {
    let numbered = flows.iter().zip(from..);
    write(path, numbered.flat_map(|(flow, number)| flow.observations(number)).collect())
}

/// Values that one station told at one moment, by name.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) at: Timestamp,
    pub(crate) values: Vec<(String, f64)>,
}

/// The station that tells values, and who it tells them to.
pub(crate) const STATION: Pair = Pair {
    transport: Transport::Tcp,
    client: (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 49_152),
    server: (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 1883),
};

/// Writes a table of values as what a station publishes in one long conversation, the `number`-th.
pub(crate) fn write_rows(path: &Path, rows: &[Row], number: usize) -> Result<(), Failure> {
    let flow = STATION.head(flow_id(number), true);
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return write(path, Vec::new());
    };
    let protocol: model::Name = "mqtt".into();
    let identified = FlowIdentified { flow, protocol: protocol.clone() };
    let mut all = vec![
        Observation { at: first.at, what: What::FlowOpened(Box::new(flow)) },
        Observation { at: first.at, what: What::FlowIdentified(Box::new(identified)) },
    ];
    for row in rows {
        all.extend(row.values.iter().map(|(name, value)| Observation {
            at: row.at,
            what: What::Operation(Box::new(Operation {
                flow,
                from: Side::Client,
                protocol: protocol.clone(),
                kind: OperationKind::Publish,
                name: "publish".into(),
                target: Some(name.as_str().into()),
                value: Some(Value::Real(*value)),
                asked: None,
                outcome: Outcome::Asked,
            })),
        }));
    }
    let packets = rows.len() as u64;
    let record = FlowRecord {
        head: flow,
        first: first.at,
        last: last.at,
        sent: Volume { packets, bytes: packets * 100, payload: packets * 46 },
        received: Volume { packets, bytes: packets * 54, payload: 0 },
        protocol: Some(protocol),
        tcp: Some(TcpStats { state: TcpState::Established, ..TcpStats::default() }),
        end: EndReason::SourceEnd,
    };
    all.push(Observation { at: last.at, what: What::FlowEnded(Box::new(record)) });
    write(path, all)
}

fn write(path: &Path, mut all: Vec<Observation>) -> Result<(), Failure> {
    all.sort_by_key(|observation| observation.at);
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    for observation in &all {
        serde_json::to_writer(&mut out, observation)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// From the first conversation's begin to the last one's end.
pub(crate) fn span(flows: &[LoggedFlow]) -> Option<Span> {
    let first = flows.iter().map(|flow| flow.span.first).min()?;
    let last = flows.iter().map(|flow| flow.span.last).max()?;
    Some(Span { first, last })
}

/// Moves conversations by whole days until they begin after `moment`.
pub(crate) fn begin_after(flows: &mut [LoggedFlow], moment: Timestamp) {
    const DAY_S: u64 = 86_400;
    let Some(first) = span(flows).map(|span| span.first).filter(|first| *first <= moment) else { return };
    let later = Duration::from_secs((moment.since(first).as_secs() / DAY_S + 1) * DAY_S);
    for flow in flows {
        flow.span = Span { first: flow.span.first + later, last: flow.span.last + later };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = crate::run::target().join("tmp");
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{name}{ENDING}"))
    }

    fn read(path: &Path) -> Vec<Observation> {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::remove_file(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn flow(first: u64, last: u64, answered: bool) -> LoggedFlow {
        let volume = |packets| Volume { packets, bytes: packets * 60, payload: 0 };
        LoggedFlow {
            pair: Pair {
                transport: Transport::Tcp,
                client: ("10.0.0.1".parse().unwrap(), 1000),
                server: ("198.51.100.1".parse().unwrap(), 80),
            },
            span: Span { first: Timestamp::from_secs(first), last: Timestamp::from_secs(last) },
            sent: volume(1),
            received: volume(u64::from(answered)),
            protocol: answered.then_some("http"),
            tcp: Some(if answered { TcpState::Closed } else { TcpState::SynSent }),
            attack: None,
        }
    }

    #[test]
    fn logged_flows_are_told_in_the_order_of_time_and_named_as_their_units() {
        let path = folder("flows");
        let flows = [flow(1, 9, true), flow(2, 3, false)];
        write_flows(&path, &flows, 5).map_err(|failure| failure.0).unwrap();
        let told = read(&path);
        let times: Vec<u64> = told.iter().map(|observation| observation.at.as_secs()).collect();
        assert_eq!(times, [1, 1, 3, 9]);
        let What::FlowEnded(record) = &told[2].what else { panic!("{:?}", told[2]) };
        assert_eq!(Some(record.head.id), flows[1].unit(6).flow);
        assert_eq!((record.answered(), record.end), (false, EndReason::Idle));
        assert_eq!(record.head.server_reach, Reach::Unknown);
    }

    #[test]
    fn rows_become_values_that_one_station_publishes() {
        let path = folder("rows");
        let row =
            |second, value| Row { at: Timestamp::from_secs(second), values: vec![("level".into(), value)] };
        write_rows(&path, &[row(1, 0.5), row(2, 7.0)], 0).map_err(|failure| failure.0).unwrap();
        let values: Vec<_> = read(&path)
            .into_iter()
            .filter_map(|observation| match observation.what {
                What::Operation(operation) => Some((operation.target, operation.value)),
                _ => None,
            })
            .collect();
        let level = Some("level".into());
        assert_eq!(values, [(level.clone(), Some(Value::Real(0.5))), (level, Some(Value::Real(7.0)))]);
        write_rows(&path, &[], 0).map_err(|failure| failure.0).unwrap();
        assert!(read(&path).is_empty());
    }

    #[test]
    fn conversations_are_moved_behind_a_moment_by_whole_days() {
        let mut flows = [flow(100, 200, true)];
        begin_after(&mut flows, Timestamp::from_secs(90_000));
        assert_eq!(flows[0].span.first, Timestamp::from_secs(100 + 2 * 86_400));
        begin_after(&mut flows, Timestamp::from_secs(90_000));
        assert_eq!(flows[0].span.first, Timestamp::from_secs(100 + 2 * 86_400));
    }
}
