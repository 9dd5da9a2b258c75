//! Naming and management protocols on real captures, with tshark as the judge.

use std::collections::BTreeMap;
use std::path::Path;

use dissect::proto::{Emit, Input, Opening, Told, Verdict, Wants, Yield, by_id};
use model::{Endpoint, FlowHead, FlowId, Host, Reach, Record, Side, Timestamp, Transport, Value};

/// What a datagram is sent with, and its bytes.
struct Datagram {
    source: (String, u16),
    destination: (String, u16),
    payload: Vec<u8>,
    /// The fields that tshark was asked for.
    told: Vec<String>,
}

/// The datagrams of a capture that pass `filter`, with `fields` as tshark sees them.
fn datagrams(tshark: &Path, capture: &Path, filter: &str, fields: &[&str]) -> Vec<Datagram> {
    let filter = format!("udp && !icmp && !icmpv6 && ({filter})");
    let own = ["ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "udp.srcport", "udp.dstport", "udp.payload"];
    let mut arguments = vec!["-r", capture.to_str().expect("paths are text"), "-Y", &filter, "-T", "fields"];
    arguments.extend(own.iter().chain(fields).flat_map(|field| ["-e", field]));
    let text = testkit::output(tshark, &arguments).expect("tshark runs");
    let one = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let either = |four: usize| columns[four].to_owned() + columns[four + 1];
        let payload = columns[6];
        let byte = |at| u8::from_str_radix(&payload[at..at + 2], 16).expect("hexadecimal");
        Datagram {
            source: (either(0), columns[4].parse().expect("a port")),
            destination: (either(2), columns[5].parse().expect("a port")),
            payload: (0..payload.len()).step_by(2).map(byte).collect(),
            told: columns[own.len()..].iter().map(|text| (*text).to_owned()).collect(),
        }
    };
    text.lines().map(one).collect()
}

fn endpoint((host, port): &(String, u16)) -> Endpoint {
    Endpoint { host: Host { mac: None, ip: host.parse().ok() }, port: *port }
}

/// Reads the datagrams as protocol `id` and returns the one message of each, by kind and fields.
fn messages(id: &str, datagrams: &[Datagram]) -> Vec<(String, Record)> {
    let protocol = by_id(id).expect("a known protocol");
    let mut flows = BTreeMap::new();
    let mut messages = Vec::new();
    for datagram in datagrams {
        let key = (datagram.source.clone(), datagram.destination.clone());
        let back = (key.1.clone(), key.0.clone());
        let from = if flows.contains_key(&back) { Side::Server } else { Side::Client };
        let key = if from == Side::Server { back } else { key };
        let head = FlowHead {
            id: FlowId(0),
            transport: Transport::Udp,
            vlan: None,
            client: endpoint(&key.0),
            server: endpoint(&key.1),
            client_reach: Reach::Near,
            server_reach: Reach::Near,
        };
        let bytes = &datagram.payload;
        let (client_port, server_port) = (head.client.port, head.server.port);
        let opening = Opening { bytes, from, client_port, server_port, stream: false };
        assert_ne!((protocol.probe)(&opening), Verdict::No, "{id} is refused: {:?}", datagram.told);
        let (parser, told) = flows.entry(key).or_insert_with(|| ((protocol.start)(), Told::default()));
        let mut found = Vec::new();
        let mut out = Emit::new(&head, Wants { messages: true, judged: true }, told, &mut found);
        parser.parse(&Input { bytes, from, at: Timestamp::EPOCH, cut: 0 }, &mut out);
        let mut said = found.into_iter().filter_map(|item| match item {
            Yield::Message { kind, fields, .. } => Some((kind.into_owned(), fields)),
            _ => None,
        });
        messages.push(said.next().expect("every datagram is a message"));
    }
    messages
}

fn text(fields: &Record, name: &str) -> String {
    match fields.get(name) {
        None => String::new(),
        Some(Value::Text(text)) => text.to_string(),
        Some(Value::Unsigned(number)) => number.to_string(),
        Some(other) => panic!("{name} is {other:?}"),
    }
}

fn count(fields: &Record, name: &str) -> String {
    fields.get(name).and_then(Value::as_list).map_or(0, <[_]>::len).to_string()
}

/// Checks that what `ours` makes of each message is what tshark says, on every capture.
fn agree(
    test: &str,
    id: &str,
    captures: &[&str],
    filter: &str,
    fields: &[&str],
    ours: fn(&str, &Record) -> Vec<String>,
    theirs: fn(&str) -> String,
) {
    let Some(tshark) = testkit::peer(test, "tshark") else { return };
    for capture in captures {
        let Some(path) = testkit::corpus(test, capture) else { return };
        let datagrams = datagrams(&tshark, &path, filter, fields);
        assert!(!datagrams.is_empty(), "{capture} has no {id}");
        for (datagram, (kind, fields)) in datagrams.iter().zip(messages(id, &datagrams)) {
            let told: Vec<String> = datagram.told.iter().map(|text| theirs(text)).collect();
            assert_eq!(ours(&kind, &fields), told, "{capture} {kind}");
        }
    }
}

const HUE: &str = "iot_sentinel/captures_IoT-Sentinel/HueBridge/Setup-A-5-STA.pcap";

#[test]
fn dns_names_codes_and_answers_agree() {
    agree(
        "dns_names_codes_and_answers_agree",
        "dns",
        &[HUE, "suricata_verify/tests/dns/dns-sshfp/dns-sshfp.pcap"],
        "dns && udp.port == 53",
        &["dns.qry.name", "dns.flags.response", "dns.count.answers", "dns.count.auth_rr"],
        |kind, fields| {
            let response = if kind == "response" { "1" } else { "0" };
            let sections = [count(fields, "answers"), count(fields, "authority")];
            [vec![text(fields, "query"), response.into()], sections.into()].concat()
        },
        str::to_lowercase,
    );
}

#[test]
fn multicast_dns_sections_agree() {
    agree(
        "multicast_dns_sections_agree",
        "mdns",
        &[HUE],
        "mdns",
        &["dns.flags.response", "dns.count.queries", "dns.count.answers"],
        |kind, fields| {
            let response = if kind == "response" { "1" } else { "0" };
            vec![response.into(), count(fields, "questions"), count(fields, "answers")]
        },
        str::to_owned,
    );
}

#[test]
fn dhcp_options_agree() {
    agree(
        "dhcp_options_agree",
        "dhcp",
        &[HUE, "zeek_traces/Traces/dhcp/dhcp_discover_param_req_and_client_id.pcap"],
        "dhcp",
        &["dhcp.option.hostname", "dhcp.option.request_list_item", "dhcp.option.vendor_class_id"],
        |_, fields| {
            ["host-name", "parameter-request-list", "vendor-class"].map(|name| text(fields, name)).into()
        },
        str::to_owned,
    );
}

#[test]
fn ntp_headers_agree() {
    agree(
        "ntp_headers_agree",
        "ntp",
        &[HUE],
        "ntp",
        &["ntp.flags.vn", "ntp.flags.mode", "ntp.stratum"],
        |_, fields| ["version", "mode", "stratum"].map(|name| text(fields, name)).into(),
        str::to_owned,
    );
}

#[test]
fn snmp_requests_and_objects_agree() {
    agree(
        "snmp_requests_and_objects_agree",
        "snmp",
        &["zeek_traces/Traces/snmp/snmpv1_get.pcap", "zeek_traces/Traces/snmp/snmpv2_get_next.pcap"],
        "snmp",
        &["snmp.request_id", "snmp.name"],
        |_, fields| {
            let bindings = fields.get("variable-bindings").and_then(Value::as_list).unwrap_or_default();
            let names = bindings.iter().map(|binding| match binding {
                Value::Record(binding) => text(binding, "name"),
                other => panic!("a binding is {other:?}"),
            });
            vec![text(fields, "request-id"), names.collect::<Vec<_>>().join(",")]
        },
        str::to_owned,
    );
}
