//! Conversations of devices at home as Cisco's Joy writes them (NEMEA-SIoT, CESNET).
//!
//! Files lie in folders by device. Where a device has a folder of anomalies, its other files are clean and
//! are watched first. Elsewhere all is watched at once; a scan among the annotated kinds is an attack.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{TcpState, Transport, Volume};
use serde_json::Value;

use crate::accuracy::label::{Span, Unit, bursts, epoch};
use crate::accuracy::made::{self, LoggedFlow, Pair, begin_after, write_flows};
use crate::accuracy::trial::{Prepare, Set, Trial, files, text};
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "nemea_siot",
    unit: "flows",
    caution: "Sittings of minutes that are months apart; where there is no folder of anomalies, only scans \
              count as attacks.",
    trials,
};

const PAUSE: Duration = Duration::from_secs(60);

/// The files of one device.
#[derive(Clone, Debug, Default, PartialEq)]
struct Device {
    normal: Vec<PathBuf>,
    anomalous: Vec<PathBuf>,
}

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let root = data.join("annotated-data-sets");
    let prepare_one = |device: Device| Box::new(move |folder: &Path| prepare(folder, &device)) as Prepare;
    Ok(devices(&root, files(&root, ".json")?).into_values().map(prepare_one).collect())
}

/// Files by device: the first folder below the root.
fn devices(root: &Path, files: Vec<PathBuf>) -> BTreeMap<String, Device> {
    let mut devices = BTreeMap::<String, Device>::new();
    for path in files {
        let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().to_lowercase();
        let device = below.split('/').next().unwrap_or_default().to_owned();
        let device = devices.entry(device).or_default();
        if below.contains("anomal") { device.anomalous.push(path) } else { device.normal.push(path) }
    }
    devices
}

fn prepare(folder: &Path, device: &Device) -> Result<Trial, Failure> {
    let mut trial = Trial { tolerance: Duration::from_secs(10), ..Trial::default() };
    let normal = read_all(&device.normal, false)?;
    let mut watched = normal;
    let mut from = 0;
    if !device.anomalous.is_empty() {
        let path = folder.join(format!("clean{}", made::ENDING));
        write_flows(&path, &watched, 0)?;
        trial.clean.push(path);
        trial.watched.extend(sittings(&watched));
        trial.units.extend(watched.iter().enumerate().map(|(number, flow)| flow.unit(number)));
        from = watched.len();
        let end = made::span(&watched).map(|span| span.last).unwrap_or_default();
        watched = read_all(&device.anomalous, true)?;
        begin_after(&mut watched, end);
    }
    let path = folder.join(format!("watched{}", made::ENDING));
    write_flows(&path, &watched, from)?;
    trial.attacked.push(path);
    trial.watched.extend(sittings(&watched));
    let units: Vec<Unit> = watched.iter().zip(from..).map(|(flow, number)| flow.unit(number)).collect();
    trial.attacks = bursts("anomaly", &units, PAUSE);
    trial.units.extend(units);
    Ok(trial)
}

/// When something was watched: months pass between sittings.
fn sittings(flows: &[LoggedFlow]) -> Vec<Span> {
    crate::accuracy::label::union(flows.iter().map(|flow| flow.span.grown(PAUSE)).collect())
}

fn read_all(paths: &[PathBuf], anomalous: bool) -> Result<Vec<LoggedFlow>, Failure> {
    let mut flows = Vec::new();
    for path in paths {
        for line in text(path)?.lines().filter(|line| !line.trim().is_empty()) {
            let value: Value = serde_json::from_str(line)?;
            // The first line of a file of Joy's may tell how it was run.
            if value["sa"].is_string() {
                flows.push(
                    read_flow(&value, anomalous).map_err(|reason| Failure(format!("{reason}: {line}")))?,
                );
            }
        }
    }
    flows.sort_by_key(|flow| flow.span);
    Ok(flows)
}

fn read_flow(value: &Value, anomalous: bool) -> Result<LoggedFlow, String> {
    let ip = |name: &str| -> Result<IpAddr, String> {
        value[name].as_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("no address {name}"))
    };
    let port =
        |name: &str| value[name].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let time = |name: &str| epoch(&value[name].to_string());
    // Joy counts payload; a frame has at least Ethernet, IP and UDP headers besides.
    let volume = |way: &str| {
        let packets = value[format!("num_pkts_{way}")].as_u64().unwrap_or_default();
        let payload = value[format!("bytes_{way}")].as_u64().unwrap_or_default();
        Volume { packets, bytes: payload + packets * 42, payload }
    };
    let (sent, received) = (volume("out"), volume("in"));
    let transport = match value["pr"].as_u64() {
        Some(6) => Transport::Tcp,
        Some(17) => Transport::Udp,
        Some(1) => Transport::Icmp,
        Some(other) => Transport::Ip(u8::try_from(other).map_err(|_| "no IP protocol")?),
        None => return Err("no IP protocol".into()),
    };
    let kind = value["flow_type"].as_str().unwrap_or_default();
    let is_attack = anomalous || kind.to_lowercase().contains("scan");
    Ok(LoggedFlow {
        pair: Pair { transport, client: (ip("sa")?, port("sp")), server: (ip("da")?, port("dp")) },
        span: Span { first: time("time_start")?, last: time("time_end")?.max(time("time_start")?) },
        sent,
        received,
        protocol: ["dns", "tls", "http", "dhcp"].into_iter().find(|name| !value[*name].is_null()),
        tcp: (transport == Transport::Tcp).then(|| tcp_state(received)),
        attack: is_attack.then(|| "anomaly".to_owned()),
    })
}

/// Joy tells no state; who was answered with bytes had a connection.
fn tcp_state(received: Volume) -> TcpState {
    match (received.packets, received.payload) {
        (0, _) => TcpState::SynSent,
        (_, 0) => TcpState::Refused,
        _ => TcpState::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_of_joys_is_read_with_its_annotation() {
        let value = serde_json::json!({"sa": "10.0.0.1", "da": "10.0.0.2", "pr": 6, "sp": 1000, "dp": 80,
            "time_start": 10.25, "time_end": 11.5, "num_pkts_out": 2, "bytes_out": 8,
            "flow_type": "Local Client TCP Scan"});
        let flow = read_flow(&value, false).unwrap();
        assert_eq!(flow.span.first, model::Timestamp::from_micros(10_250_000));
        assert_eq!((flow.sent.bytes, flow.tcp), (92, Some(TcpState::SynSent)));
        assert!(flow.attack.is_some());
        let normal = serde_json::json!({"sa": "10.0.0.1", "da": "224.0.0.251", "pr": 2, "sp": null,
            "dp": null, "time_start": 1, "time_end": 1, "num_pkts_out": 1, "bytes_out": 8, "dns": []});
        let flow = read_flow(&normal, false).unwrap();
        assert_eq!((flow.pair.transport, flow.protocol, flow.attack), (Transport::Ip(2), Some("dns"), None));
        assert!(read_flow(&normal, true).unwrap().attack.is_some());
        assert!(read_flow(&serde_json::json!({"sa": "10.0.0.1"}), false).is_err());
    }

    #[test]
    fn files_are_of_devices_and_normal_or_not() {
        let paths = ["r/cam/anomaly/a.json", "r/cam/normal/b.json", "r/lamp/c.json"].map(PathBuf::from);
        let devices = devices(Path::new("r"), paths.to_vec());
        let counts: Vec<_> =
            devices.values().map(|device| (device.anomalous.len(), device.normal.len())).collect();
        assert_eq!(counts, [(1, 1), (0, 1)]);
    }
}
