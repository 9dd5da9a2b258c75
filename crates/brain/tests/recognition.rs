//! Real captures with the results of other programs: what those recognise must be recognised here, too,
//! must be on the devices, and nothing else may be taken for a protocol that it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brain::{Brain, Limits, Settings};
use capture::{Batch, Step};
use dissect::proto::{Wants, by_id};
use flow::Engine;
use model::{Transport, What};

mod common;

use common::Captured;

/// The two ends of a conversation, in order.
type Ends = [(IpAddr, u16); 2];

/// What was seen in a capture.
#[derive(Default)]
struct Seen {
    /// By the ends of conversations: all protocols that were recognised there, one in the other included.
    conversations: BTreeMap<(Transport, Ends), BTreeSet<String>>,
    /// The protocols of all devices.
    devices: BTreeSet<String>,
}

fn see(path: &Path) -> Seen {
    let mut engine =
        Engine::<Captured>::new(flow::Limits::default(), Wants { messages: false, judged: true }, 1, 7);
    let mut observations = Vec::new();
    let name = path.to_str().expect("corpus paths are text");
    let mut source = capture::open(name, &capture::Options::default()).expect("captures can be opened");
    loop {
        let mut batch = Batch::new();
        match source.next_batch(&mut batch) {
            Ok(Step::Batch) => {}
            // A capture that is cut short is judged by what it holds.
            _ => break,
        }
        while engine.in_flight() >= engine.capacity() {
            engine.collect(&mut observations);
        }
        engine.submit(&Arc::new(Captured(batch)));
    }
    while engine.in_flight() > 0 {
        engine.collect(&mut observations);
    }
    while engine.finish(&mut observations) {}
    let (mut seen, mut brain, mut events) =
        (Seen::default(), Brain::new(Limits::default(), Settings::default()), Vec::new());
    let mut last = None;
    for observation in &observations {
        brain.observe(observation, &mut events);
        last = Some(observation.at);
        let (head, protocol) = match &observation.what {
            What::FlowIdentified(identified) => (identified.flow, Some(&identified.protocol)),
            What::FlowEnded(record) => (record.head, record.protocol.as_ref()),
            _ => continue,
        };
        let (Some(client), Some(server)) = (head.client.host.ip, head.server.host.ip) else { continue };
        let mut ends = [(client, head.client.port), (server, head.server.port)];
        ends.sort_unstable();
        let protocols = seen.conversations.entry((head.transport, ends)).or_default();
        protocols.extend(protocol.map(|protocol| protocol.to_string()));
    }
    // Time goes on behind the end of a capture, so that those who wait to be believed are judged.
    if let Some(last) = last {
        brain.tick(last + std::time::Duration::from_secs(60), &mut events);
    }
    let devices = brain.inventory().devices();
    seen.devices = devices.flat_map(|device| device.protocols).map(|name| name.to_string()).collect();
    seen
}

/// Differences found so far; a test fails with all of them.
#[derive(Default)]
struct Differences {
    text: String,
    compared: usize,
}

impl Differences {
    fn check(&mut self, agreed: bool, what: impl FnOnce() -> String) {
        self.compared += 1;
        if !agreed {
            self.text += &what();
            self.text.push('\n');
        }
    }

    fn conclude(self, at_least: usize) {
        assert!(self.text.is_empty(), "{}", self.text);
        assert!(self.compared >= at_least, "only {} expectations were compared", self.compared);
        eprintln!("{} expectations", self.compared);
    }
}

/// nDPI's names for what is recognised here, each with what it is called here.
const NDPI_NAMES: &[(&str, &[&str])] = &[
    ("AMQP", &["amqp"]),
    ("BACnet", &["bacnet"]),
    ("COAP", &["coap"]),
    ("DHCP", &["dhcp"]),
    ("DHCPV6", &["dhcpv6"]),
    ("DNP3", &["dnp3"]),
    ("HART-IP", &["hart-ip"]),
    ("DNS", &["dns"]),
    ("DTLS", &["dtls"]),
    ("DoH_DoT", &["tls", "quic", "http2"]),
    ("EthernetIP", &["enip"]),
    ("FTP_CONTROL", &["ftp"]),
    ("HTTP", &["http", "http2"]),
    ("HTTP_Connect", &["http-connect"]),
    ("ICMP", &["icmp"]),
    ("ICMPV6", &["icmpv6"]),
    ("IEC60870", &["iec104"]),
    ("IGMP", &["igmp"]),
    ("IPSec", &["ike"]),
    ("IRC", &["irc"]),
    ("LDAP", &["ldap"]),
    ("LLMNR", &["llmnr"]),
    ("MDNS", &["mdns"]),
    ("MQTT", &["mqtt"]),
    ("Modbus", &["modbus"]),
    ("NTP", &["ntp"]),
    ("NetBIOS", &["nbns", "nbdgm", "smb"]),
    ("QUIC", &["quic"]),
    ("RDP", &["rdp", "tls"]),
    ("RTSP", &["rtsp"]),
    ("S7Comm", &["s7comm"]),
    ("S7CommPlus", &["s7comm-plus"]),
    ("SIP", &["sip"]),
    ("SMBv1", &["smb", "nbdgm"]),
    ("SMBv23", &["smb"]),
    // Applications that nDPI names by where they go; what carries them is TLS.
    ("ApplePush", &["tls"]),
    ("SMTPS", &["tls"]),
    ("SMTP", &["smtp"]),
    ("SNMP", &["snmp"]),
    ("SOCKS", &["socks"]),
    ("SSDP", &["ssdp"]),
    ("SSH", &["ssh"]),
    ("STUN", &["stun"]),
    ("Syslog", &["syslog"]),
    ("TFTP", &["tftp"]),
    ("TLS", &["tls"]),
    ("TPLINK_SHP", &["tplink-smarthome"]),
    ("Telnet", &["telnet"]),
    ("UMAS", &["modbus"]),
    ("VNC", &["rfb"]),
    ("WebSocket", &["websocket"]),
    ("WireGuard", &["wireguard"]),
];

/// Where the results of nDPI are not followed: capture, nDPI's name, why.
const NDPI_DIFFERENCES: &[(&str, &str, &str)] = &[
    ("coap_mqtt.pcap", "Dropbox", "nDPI goes by the port; the datagrams are CoAP requests"),
    ("wa_voice.pcap", "SRTP", "the media follow STUN in the same conversation, which is what is named here"),
    ("rsh-syslog-false-positive.pcap", "Syslog", "a remote shell, as the name of the capture says"),
    ("NTPv4.pcap", "NTP", "one unanswered datagram from behind a router proves no device"),
];

/// One conversation as nDPI prints it.
struct Verdict {
    ends: Option<Ends>,
    transport: Option<Transport>,
    /// Its names, from the outermost to the innermost.
    names: Vec<String>,
    /// Whether its content told, rather than its port or address.
    by_content: bool,
}

/// An end as nDPI prints it: `192.0.2.1:80`, `[2001:db8::1]:80`.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.rsplit_once(':')?;
    Some((ip.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?))
}

/// The conversations in a result of nDPI: lines of a number, the transport, the ends and remarks in brackets.
fn verdicts(result: &str) -> Vec<Verdict> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        words.next()?.parse::<u32>().ok()?;
        let transport = match words.next()? {
            "TCP" => Some(Transport::Tcp),
            "UDP" => Some(Transport::Udp),
            _ => None,
        };
        let (one, _arrow, other) = (words.next()?, words.next()?, words.next()?);
        let ends = end(one).zip(end(other)).map(|(one, other)| {
            let mut ends = [one, other];
            ends.sort_unstable();
            ends
        });
        let remark = |name: &str| line.split(name).nth(1)?.split(']').next();
        // Numbers, a slash and the names; what carries the conversation in a tunnel may stand before them.
        let names = remark("[proto: ")?.rsplit_once('/')?.1;
        let by_content = remark("[Confidence: ").is_some_and(|how| how.starts_with("DPI"));
        Some(Verdict { ends, transport, names: names.split('.').map(str::to_owned).collect(), by_content })
    };
    result.lines().filter_map(line).collect()
}

/// What we call what nDPI calls so, as far as it is known here.
fn ours(name: &str) -> impl Iterator<Item = &'static str> {
    let known = NDPI_NAMES.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, ids)| ids);
    known.iter().copied().filter(|id| by_id(id).is_some())
}

/// The results of nDPI with their captures, each capture once: those of the usual configuration first.
fn ndpi_results(root: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut configurations: Vec<PathBuf> =
        std::fs::read_dir(root).expect("a folder").flatten().map(|entry| entry.path()).collect();
    configurations.sort_by_key(|path| (!path.ends_with("default"), path.clone()));
    let mut results = BTreeMap::new();
    for configuration in configurations {
        let Ok(entries) = std::fs::read_dir(configuration.join("result")) else { continue };
        for result in entries.flatten().map(|entry| entry.path()) {
            let Some(name) = result.file_name().and_then(|name| name.to_str()?.strip_suffix(".out")) else {
                continue;
            };
            let folders =
                [&configuration, &root.join("default")].map(|folder| folder.join("pcap").join(name));
            if let Some(capture) = folders.into_iter().find(|path| path.exists()) {
                results.entry(capture).or_insert(result);
            }
        }
    }
    results
}

#[test]
fn conversations_and_devices_carry_what_ndpi_recognises_and_nothing_else() {
    let Some(root) = testkit::corpus("conversations_and_devices_carry_what_ndpi_recognises", "ndpi/cfgs")
    else {
        return;
    };
    let mut differences = Differences::default();
    for (capture, result) in ndpi_results(&root) {
        let seen = see(&capture);
        let file = capture.file_name().unwrap().to_str().unwrap();
        for verdict in verdicts(&std::fs::read_to_string(&result).expect("results are text")) {
            let excused = |name: &String| {
                NDPI_DIFFERENCES.iter().any(|(capture, known, _)| (*capture, *known) == (file, &**name))
            };
            let unknown = verdict.names == ["Unknown"];
            if !(verdict.by_content || unknown) || verdict.names.iter().any(excused) {
                continue;
            }
            let names = verdict.names.join(".");
            let expected: BTreeSet<&str> = verdict.names.iter().flat_map(|name| ours(name)).collect();
            let is_expected = |found: &BTreeSet<String>| found.iter().any(|id| expected.contains(&**id));
            let mut found = None;
            if let (Some(ends), Some(transport)) = (verdict.ends, verdict.transport) {
                found = seen.conversations.get(&(transport, ends));
                if found.is_none() {
                    // Broken packets make conversations for some and none for others.
                    assert!(file.contains("fuzz"), "{file}: no conversation {transport} {ends:?}");
                    continue;
                }
            }
            if !expected.is_empty() {
                differences.check(is_expected(&seen.devices), || {
                    format!("{file}: no device carries {names}, only {:?}", seen.devices)
                });
            }
            let Some(found) = found else { continue };
            let agreed = if expected.is_empty() { found.is_empty() } else { is_expected(found) };
            differences.check(agreed, || {
                let (transport, ends) = (verdict.transport, verdict.ends);
                format!("{file}: {transport:?} {ends:?} is {names}, not {found:?}")
            });
        }
    }
    differences.conclude(900);
}

/// Where the expectations of Suricata are not followed: test, protocol, why.
const SURICATA_DIFFERENCES: &[(&str, &str, &str)] = &[
    ("smtp-tls-protodetect", "smtp", "each side speaks another protocol, which is made up"),
    ("dns-truncated-rname", "dns", "a query of 16 KiB on another port is given up before its end"),
];

/// What a test of Suricata expects: application protocols, by their names there.
fn suricata_expectations(test: &str) -> BTreeSet<&str> {
    let mut expected = BTreeSet::new();
    for filter in test.split("- filter:").skip(1) {
        let value = |line: &'static str| {
            filter.lines().filter_map(move |known| known.trim().strip_prefix(line)).map(|value| {
                value
                    .trim_start_matches(['_', 't', 'c', 's'])
                    .trim_start_matches(':')
                    .trim()
                    .trim_matches('"')
            })
        };
        if value("count:").any(|count| count == "0") {
            continue;
        }
        expected.extend(value("event_type:").chain(value("app_proto:")));
    }
    expected
}

/// The capture of a test of Suricata: the one that it names, or the one in its folder.
fn suricata_capture(folder: &Path, test: &str) -> Option<PathBuf> {
    let named = test.lines().find_map(|line| line.strip_prefix("pcap:"));
    match named {
        Some(named) => Some(folder.join(named.trim())).filter(|path| path.exists()),
        None => {
            let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
            let mut captures: Vec<PathBuf> = files
                .filter(|path| path.extension().is_some_and(|end| end.to_string_lossy().starts_with("pcap")))
                .collect();
            captures.sort();
            captures.into_iter().next()
        }
    }
}

#[test]
fn devices_carry_what_the_tests_of_suricata_expect() {
    let Some(root) =
        testkit::corpus("devices_carry_what_the_tests_of_suricata_expect", "suricata_verify/tests")
    else {
        return;
    };
    let (mut differences, mut open) = (Differences::default(), vec![root]);
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path());
        open.extend(entries.filter(|path| path.is_dir()));
        let Ok(test) = std::fs::read_to_string(folder.join("test.yaml")) else { continue };
        let Some(capture) = suricata_capture(&folder, &test) else { continue };
        let name = folder.file_name().unwrap().to_str().unwrap();
        let expected: Vec<&str> = suricata_expectations(&test)
            .into_iter()
            .filter(|id| by_id(id).is_some())
            .filter(|id| !SURICATA_DIFFERENCES.iter().any(|(test, known, _)| (test, known) == (&name, id)))
            .collect();
        if expected.is_empty() {
            continue;
        }
        let seen = see(&capture);
        for id in expected {
            // What is DNS for Suricata has several names here.
            let found = match id {
                "dns" => ["dns", "mdns", "llmnr"].iter().any(|id| seen.devices.contains(*id)),
                "http" => ["http", "http2"].iter().any(|id| seen.devices.contains(*id)),
                _ => seen.devices.contains(id),
            };
            differences.check(found, || format!("{name}: no device carries {id}, only {:?}", seen.devices));
        }
    }
    differences.conclude(60);
}

/// Folders of captures that are named for their protocol, and what it is called here.
const NAMED_FOLDERS: &[(&str, &str)] = &[
    ("zeek_traces/Traces/dhcp", "dhcp"),
    ("zeek_traces/Traces/dnp3", "dnp3"),
    ("zeek_traces/Traces/icmp", "icmp"),
    ("zeek_traces/Traces/ntp", "ntp"),
    ("zeek_traces/Traces/snmp", "snmp"),
    ("zeek_traces/Traces/ssh", "ssh"),
    ("icsnpp/bacnet", "bacnet"),
    ("icsnpp/dnp3", "dnp3"),
    ("icsnpp/enip", "enip"),
    ("icsnpp/modbus", "modbus"),
    ("icsnpp/s7comm", "s7comm"),
];

#[test]
fn devices_carry_the_protocol_that_their_capture_is_named_for() {
    let mut differences = Differences::default();
    for (folder, protocol) in NAMED_FOLDERS {
        let Some(root) =
            testkit::corpus("devices_carry_the_protocol_that_their_capture_is_named_for", folder)
        else {
            return;
        };
        for capture in testkit::captures(&root) {
            let file = capture.file_name().unwrap().to_str().unwrap();
            // Zeek refuses this one, too: a datagram of 73 bytes that begins like NTP.
            if file == "ntp-no-extensions-mac.pcap" {
                continue;
            }
            let protocol = if file.starts_with("icmp6") { "icmpv6" } else { protocol };
            let devices = see(&capture).devices;
            differences.check(devices.contains(protocol), || {
                format!("{folder}/{file}: no device carries {protocol}, only {devices:?}")
            });
        }
    }
    differences.conclude(60);
}
