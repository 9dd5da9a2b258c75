//! Internet group management: versions 1 (RFC 1112), 2 (RFC 2236) and 3 (RFC 3376).

use std::net::{IpAddr, Ipv4Addr};

use model::{Confidence, Role};
use serde::Serialize;

use super::{Alone, Carrier, Emit, Input, Opening, Protocol, Reader, Short, Verdict};

/// IGMP: who wants to receive which groups.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "igmp",
    name: "Internet Group Management Protocol",
    spec: "RFC 1112, RFC 2236, RFC 3376",
    carriers: &[Carrier::Ip(2)],
    probe,
    start: || Box::new(Alone(read)),
};

/// More group records than this are not read: a packet of 1,500 bytes holds 185.
const MAX_RECORDS: usize = 200;

/// Types of message.
mod kind {
    pub(super) const QUERY: u8 = 0x11;
    pub(super) const REPORT_V1: u8 = 0x12;
    pub(super) const REPORT_V2: u8 = 0x16;
    pub(super) const LEAVE: u8 = 0x17;
    pub(super) const REPORT_V3: u8 = 0x22;
}

#[derive(Serialize)]
struct Query {
    version: u8,
    /// Which group; absent where all are asked for.
    group: Option<Ipv4Addr>,
}

#[derive(Serialize)]
struct Report {
    version: u8,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    /// RFC 3376 clause 4.2.12; older versions only ever join.
    change: &'static str,
    group: Ipv4Addr,
}

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        [
            kind::QUERY | kind::REPORT_V1 | kind::REPORT_V2 | kind::LEAVE | kind::REPORT_V3,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            ..,
        ] => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn read(input: &Input<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    let from = input.from;
    let mut reader = Reader::new(input.bytes);
    let [number, code, _, _] = reader.array()?;
    match number {
        kind::QUERY => {
            let group = Some(Ipv4Addr::from(reader.array()?)).filter(|group| !group.is_unspecified());
            // RFC 3376 clause 7.1: longer queries are version 3; version 1 leaves the code at 0.
            let version = match (input.bytes.len(), code) {
                (12.., _) => 3,
                (_, 0) => 1,
                _ => 2,
            };
            out.message(from, "query", &Query { version, group });
            // RFC 3376 clause 6: multicast routers query. Switches that do it in their place may have
            // no address (RFC 4541 clause 2.1.1).
            if matches!(out.host(from).ip, Some(IpAddr::V4(ip)) if !ip.is_unspecified()) {
                out.role(from, Role::Router, "igmp.query", Confidence::LIKELY);
            }
        }
        kind::REPORT_V1 | kind::REPORT_V2 | kind::LEAVE => {
            let version = if number == kind::REPORT_V1 { 1 } else { 2 };
            let change = if number == kind::LEAVE { "leave" } else { "join" };
            let groups = vec![Group { change, group: Ipv4Addr::from(reader.array()?) }];
            out.message(from, change, &Report { version, groups });
        }
        kind::REPORT_V3 => {
            reader.skip(2)?;
            let count = usize::from(reader.be16()?).min(MAX_RECORDS);
            let mut groups = Vec::new();
            for _ in 0..count {
                let [kind, auxiliary] = reader.array()?;
                let sources = reader.be16()?;
                let group = Ipv4Addr::from(reader.array()?);
                reader.skip(usize::from(sources) * 4 + usize::from(auxiliary) * 4)?;
                groups.push(Group { change: record_name(kind, sources), group });
            }
            out.message(from, "report", &Report { version: 3, groups });
        }
        _ => {}
    }
    Ok(())
}

/// RFC 3376 clause 4.2.12. To exclude no source is to join, to include none is to leave.
const fn record_name(kind: u8, sources: u16) -> &'static str {
    match (kind, sources) {
        (2 | 4, 0) => "join",
        (1 | 3, 0) => "leave",
        (1 | 3, _) => "include",
        (2 | 4, _) => "exclude",
        (5, _) => "allow",
        (6, _) => "block",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use model::Side::{Client, Server};

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse};

    #[test]
    fn a_querier_is_a_router_and_reports_name_groups() {
        let query = [0x11, 100, 0, 0, 0, 0, 0, 0];
        let report_v2 = [0x16, 0, 0, 0, 239, 255, 255, 250];
        let leave = [0x17, 0, 0, 0, 239, 255, 255, 250];
        // One group joined without sources, one with a source blocked.
        let report_v3 =
            [0x22, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 224, 0, 0, 251, 6, 0, 0, 1, 239, 1, 1, 1, 192, 0, 2, 9];
        let packets: [(_, &[u8]); 4] =
            [(Client, &query), (Server, &report_v2), (Server, &leave), (Server, &report_v3)];
        insta::assert_snapshot!(converse(&PROTOCOL, &packets), @r#"
        client query {"version":2}
        fact 192.0.2.10 role = "router" (igmp.query, 50%)
        server join {"version":2,"groups":[{"change":"join","group":"239.255.255.250"}]}
        server leave {"version":2,"groups":[{"change":"leave","group":"239.255.255.250"}]}
        server report {"version":3,"groups":[{"change":"join","group":"224.0.0.251"},{"change":"block","group":"239.1.1.1"}]}
        "#);
    }

    #[test]
    fn a_report_that_ends_too_early_is_told() {
        let short = [0x22, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 224, 0, 0, 251];
        assert_eq!(converse(&PROTOCOL, &[(Client, &short)]), "anomaly client truncated: 16 bytes\n");
    }

    const KINDS: [u8; 6] = [0x11, 0x12, 0x16, 0x17, 0x22, 0];

    any_bytes_are_survived!(PROTOCOL, |_, (choice, bytes)| {
        [&[KINDS[usize::from(*choice) % KINDS.len()]][..], bytes].concat()
    });
}
