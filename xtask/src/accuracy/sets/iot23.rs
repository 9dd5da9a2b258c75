//! Infected and healthy devices at home, a label for each conversation (IoT-23, Stratosphere Laboratory).
//!
//! Each capture has a folder with Zeek's `conn.log` and its labels, and with all, part or nothing of the
//! packets. Logs with attacks are watched as conversations. Packets are watched as well: of a healthy
//! device to see what is said about nothing, of an infected one to see whether its attacks are found.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use model::{TcpState, Transport, Volume};

use crate::accuracy::label::{Attack, Span, Unit, bursts, epoch};
use crate::accuracy::made::{self, LoggedFlow, Pair, write_flows};
use crate::accuracy::pcap::Capture;
use crate::accuracy::trial::{Prepare, Set, Trial, files, text};
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "iot23",
    unit: "flows",
    caution: "All attacks are of one infected host: any finding about it meets them, flows tell more. Downloads \
              of the malware are labelled benign, a flood of one port is labelled a scan.",
    trials,
};

/// Conversations of one kind that are further apart than this are of two attacks.
const PAUSE: Duration = Duration::from_secs(300);
const TOLERANCE: Duration = Duration::from_secs(60);

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let mut all: Vec<Prepare> = Vec::new();
    let mut unlabelled = captures(data)?;
    for log in files(data, "conn.log.labeled")? {
        let flows = read_log(&text(&log)?)?;
        let attacks = attacks(&flows);
        let folder = log.parent().and_then(Path::parent).unwrap_or(data);
        unlabelled.retain(|capture| !capture.starts_with(folder));
        for capture in captures(folder)? {
            if capture.extension().is_some_and(|ending| ending == "xz")
                && testkit::peer("accuracy iot23", "xz").is_none()
            {
                continue;
            }
            let attacks = attacks.clone();
            all.push(Box::new(move |folder| prepare_packets(folder, &capture, attacks)));
        }
        if !attacks.is_empty() {
            all.push(Box::new(move |folder| prepare_flows(folder, &flows, attacks)));
        }
    }
    if !unlabelled.is_empty() {
        testkit::skip("accuracy iot23", &format!("{} captures without labels", unlabelled.len()));
    }
    Ok(all)
}

fn captures(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok([files(folder, ".pcap")?, files(folder, ".pcap.xz")?].concat())
}

/// The attacks of each kind.
fn attacks(flows: &[LoggedFlow]) -> Vec<Attack> {
    let mut kinds: Vec<&String> = flows.iter().filter_map(|flow| flow.attack.as_ref()).collect();
    kinds.sort();
    kinds.dedup();
    let of_kind = |kind: &String| {
        let units: Vec<Unit> = flows
            .iter()
            .enumerate()
            .filter(|(_, flow)| flow.attack.as_ref() == Some(kind))
            .map(|(number, flow)| flow.unit(number))
            .collect();
        bursts(kind, &units, PAUSE)
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

fn prepare_flows(folder: &Path, flows: &[LoggedFlow], attacks: Vec<Attack>) -> Result<Trial, Failure> {
    let path = folder.join(format!("conn{}", made::ENDING));
    write_flows(&path, flows, 0)?;
    Ok(Trial {
        attacked: vec![path],
        watched: made::span(flows).into_iter().collect(),
        attacks,
        tolerance: TOLERANCE,
        units: flows.iter().enumerate().map(|(number, flow)| flow.unit(number)).collect(),
        ..Trial::default()
    })
}

/// A capture, which may hold a part of what the log tells: attacks of which it holds no packet are left
/// out.
fn prepare_packets(folder: &Path, path: &Path, attacks: Vec<Attack>) -> Result<Trial, Failure> {
    let capture = Capture::new(unpacked(path)?)?;
    let seen = |attack: &Attack| {
        capture.packets().any(|packet| {
            attack.span.overlaps(Span::at(packet.at))
                && crate::accuracy::pcap::hosts(packet.frame)
                    .iter()
                    .filter(|host| attack.hosts.contains(host))
                    .count()
                    > 1
        })
    };
    let attacks = attacks.into_iter().filter(seen).collect();
    let written = folder.join("capture.pcap");
    std::fs::write(&written, capture.bytes())?;
    Ok(Trial {
        attacked: vec![written],
        watched: capture.span().into_iter().collect(),
        attacks,
        tolerance: TOLERANCE,
        ..Trial::default()
    })
}

fn unpacked(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.extension().is_none_or(|ending| ending != "xz") {
        return Ok(std::fs::read(path)?);
    }
    let output = Command::new("xz").args(["-dc"]).arg(path).stdin(Stdio::null()).output()?;
    if output.status.success() { Ok(output.stdout) } else { Err(Failure("xz failed".into())) }
}

/// The conversations of a log. Columns are apart by tabs, the last ones in some logs by blanks.
fn read_log(log: &str) -> Result<Vec<LoggedFlow>, Failure> {
    let mut flows: Vec<LoggedFlow> = log
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let cells: Vec<&str> = line
                .split('\t')
                .flat_map(|cell| cell.split("  "))
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect();
            read_flow(&cells).map_err(|reason| Failure(format!("{reason}: {line}")))
        })
        .collect::<Result<_, _>>()?;
    flows.sort_by_key(|flow| flow.span);
    Ok(flows)
}

fn read_flow(cells: &[&str]) -> Result<LoggedFlow, String> {
    let &[ts, _, client, client_port, server, server_port, proto, service, duration, ref rest @ ..] = cells
    else {
        return Err("too few columns".into());
    };
    let &[sent, received, state, _, _, _, _, sent_packets, sent_ip, received_packets, received_ip, ..] = rest
    else {
        return Err("too few columns".into());
    };
    let [.., label, detail] = rest else { return Err("no label".into()) };
    let ip = |text: &str| text.parse().map_err(|_| format!("no address: {text}"));
    let port = |text: &str| text.parse().map_err(|_| format!("no port: {text}"));
    let number = |text: &str| if text == "-" { Ok(0) } else { text.parse().map_err(|_| "no number") };
    let first = epoch(ts)?;
    let lasts =
        if duration == "-" { Duration::ZERO } else { epoch(duration)?.since(model::Timestamp::EPOCH) };
    // Zeek counts no packets whose checksums are wrong, as those that a device made are where it was
    // captured; there was one at least.
    let sent_packets = number(sent_packets)?.max(1);
    let attack = match (label.to_ascii_lowercase().as_str(), *detail) {
        ("benign", _) => None,
        (_, "-" | "") => Some((*label).to_owned()),
        (_, detail) => Some(detail.to_owned()),
    };
    Ok(LoggedFlow {
        pair: Pair {
            transport: transport(proto),
            client: (ip(client)?, port(client_port)?),
            server: (ip(server)?, port(server_port)?),
        },
        span: Span { first, last: first + lasts },
        sent: Volume { packets: sent_packets, bytes: number(sent_ip)?, payload: number(sent)? },
        received: Volume {
            packets: number(received_packets)?,
            bytes: number(received_ip)?,
            payload: number(received)?,
        },
        protocol: protocol(service),
        tcp: (proto == "tcp").then(|| tcp_state(state)),
        attack,
    })
}

fn transport(proto: &str) -> Transport {
    match proto {
        "tcp" => Transport::Tcp,
        "icmp" => Transport::Icmp,
        _ => Transport::Udp,
    }
}

/// Zeek's names of protocols that are Pavise's, too.
fn protocol(service: &str) -> Option<&'static str> {
    Some(match service {
        "dns" => "dns",
        "http" => "http",
        "ssl" => "tls",
        "ssh" => "ssh",
        "irc" => "irc",
        "dhcp" => "dhcp",
        "ntp" => "ntp",
        _ => return None,
    })
}

/// What Zeek calls `conn_state`.
fn tcp_state(state: &str) -> TcpState {
    match state {
        "S0" | "SH" | "RSTOS0" => TcpState::SynSent,
        "S1" => TcpState::Established,
        "S2" | "S3" => TcpState::Closing,
        "SF" => TcpState::Closed,
        "REJ" => TcpState::Refused,
        "RSTO" | "RSTR" => TcpState::Reset,
        "SHR" | "RSTRH" => TcpState::SynReceived,
        _ => TcpState::Midstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::label::Name;

    const HEAD: &str = "1540469302.5\tC1\t10.0.0.5\t41040\t198.51.100.7\t";

    fn log(lines: &[&str]) -> Result<Vec<LoggedFlow>, String> {
        let lines: Vec<String> = lines.iter().map(|line| format!("{HEAD}{line}")).collect();
        read_log(&lines.join("\n")).map_err(|failure| failure.0)
    }

    #[test]
    fn both_ways_of_writing_labels_are_read() {
        let flows = log(&[
            "6667\ttcp\tirc\t2.5\t7\t9\tS3\t-\t-\t0\tS\t3\t180\t2\t120\t-\tMalicious\tC&C",
            "53\tudp\tdns\t-\t-\t-\tS0\t-\t-\t0\tD\t0\t0\t0\t0\t-   benign   -",
            "80\ttcp\t-\t-\t-\t-\tOTH\t-\t-\t0\tC\t0\t0\t0\t0\t(empty)   Malicious   DDoS",
        ])
        .unwrap();
        let kinds: Vec<_> = flows.iter().map(|flow| flow.attack.as_deref()).collect();
        assert_eq!(kinds, [None, Some("DDoS"), Some("C&C")]);
        let chat = &flows[2];
        assert_eq!((chat.tcp, chat.protocol), (Some(TcpState::Closing), Some("irc")));
        assert_eq!(chat.span.last.since(chat.span.first), Duration::from_millis(2_500));
        assert_eq!((chat.sent.packets, chat.received.payload), (3, 9));
        assert_eq!((flows[0].tcp, flows[1].sent.packets), (None, 1));
        assert!(log(&["6667\ttcp"]).is_err());
        assert!(log(&["x\ttcp\t-\t-\t-\t-\tOTH\t-\t-\t0\tC\t0\t0\t0\t0\t-\tBenign\t-"]).is_err());
    }

    #[test]
    fn attacks_of_a_kind_are_apart_if_a_pause_is_between_them() {
        let line = "6667\ttcp\t-\t-\t-\t-\tS0\t-\t-\t0\tS\t3\t180\t0\t0\t-\tMalicious\tC&C";
        let near = log(&[line, line]).unwrap();
        let mut far = near.clone();
        far[1].span = far[1].span.grown(Duration::ZERO);
        far[1].span.first = far[1].span.first + Duration::from_secs(301);
        far[1].span.last = far[1].span.first;
        assert_eq!((attacks(&near).len(), attacks(&far).len()), (1, 2));
        assert!(attacks(&near)[0].hosts.contains(&Name::read("198.51.100.7").unwrap()));
    }
}
