//! Spanning tree: bridge protocol data units of IEEE 802.1D clause 9 and IEEE 802.1Q clause 14, and
//! Cisco's per-VLAN form of them.

use model::{Confidence, MacAddr, Role};
use serde::Serialize;

use super::{Alone, Carrier, Emit, Input, Opening, Protocol, Reader, Short, Verdict};

/// STP, RSTP and MSTP: who the bridges are and which of them is the root.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "stp",
    name: "Spanning Tree Protocol",
    spec: "IEEE 802.1D-2004 clause 9, IEEE 802.1Q-2022 clause 14",
    carriers: &[Carrier::Llc(0x42), Carrier::Snap([0, 0, 0x0c], 0x010b)],
    probe,
    start: || Box::new(Alone(read)),
};

/// A bridge's priority and address (IEEE 802.1D clause 9.2.5).
#[derive(Serialize)]
struct BridgeId {
    priority: u16,
    mac: MacAddr,
}

impl BridgeId {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self { priority: reader.be16()?, mac: MacAddr(reader.array()?) })
    }
}

/// The fields of a configuration or rapid spanning tree unit (clauses 9.3.1 and 9.3.3).
#[derive(Serialize)]
struct Configuration {
    version: u8,
    topology_change: bool,
    root: BridgeId,
    root_path_cost: u32,
    bridge: BridgeId,
    port: u16,
    /// In 1/256 s, as the other times.
    message_age: u16,
    max_age: u16,
    hello_time: u16,
    forward_delay: u16,
}

#[derive(Serialize)]
struct TopologyChange {
    version: u8,
}

const CONFIGURATION: u8 = 0x00;
const RAPID: u8 = 0x02;
const TOPOLOGY_CHANGE: u8 = 0x80;

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        [0, 0, 0..=4, CONFIGURATION | RAPID | TOPOLOGY_CHANGE, ..] => Verdict::Yes,
        _ => Verdict::No,
    }
}

fn read(input: &Input<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
    let from = input.from;
    let mut reader = Reader::new(input.bytes);
    let ([0, 0], version, kind) = (reader.array()?, reader.u8()?, reader.u8()?) else { return Ok(()) };
    match kind {
        TOPOLOGY_CHANGE => out.message(from, "topology-change", &TopologyChange { version }),
        CONFIGURATION | RAPID => {
            let unit = Configuration {
                version,
                topology_change: reader.u8()? & 1 != 0,
                root: BridgeId::read(&mut reader)?,
                root_path_cost: reader.be32()?,
                bridge: BridgeId::read(&mut reader)?,
                port: reader.be16()?,
                message_age: reader.be16()?,
                max_age: reader.be16()?,
                hello_time: reader.be16()?,
                forward_delay: reader.be16()?,
            };
            out.message(from, "configuration", &unit);
            if unit.bridge.mac.is_station() {
                let bridge = format!("bridge {}", unit.bridge.mac);
                out.fact(from, model::Attribute::Identifier, bridge, "stp.bridge", Confidence::STRONG);
            }
        }
        _ => return Ok(()),
    }
    // Nobody but a bridge sends these; computers and controllers that bridge do so too, but rarely.
    out.role(from, Role::Switch, "stp.bpdu", Confidence::STRONG);
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::Side::Client;

    use super::*;
    use crate::testing::{any_bytes_are_survived, converse};

    #[test]
    fn a_bridge_names_itself_and_the_root() {
        let unit = [
            0, 0, 2, 2, 0x3c, 0x10, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0x4e, 0x20, 0x80, 0, 2, 0, 0, 0, 0, 2, 0x80,
            1, 1, 0, 20, 0, 2, 0, 15, 0, 0,
        ];
        insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &unit)]), @r#"
        client configuration {"version":2,"topology_change":false,"root":{"priority":4096,"mac":"02:00:00:00:00:01"},"root_path_cost":20000,"bridge":{"priority":32768,"mac":"02:00:00:00:00:02"},"port":32769,"message_age":256,"max_age":5120,"hello_time":512,"forward_delay":3840}
        fact 192.0.2.10 identifier = "bridge 02:00:00:00:00:02" (stp.bridge, 75%)
        fact 192.0.2.10 role = "switch" (stp.bpdu, 75%)
        "#);
    }

    #[test]
    fn a_topology_change_is_told() {
        let text = converse(&PROTOCOL, &[(Client, &[0, 0, 0, 0x80])]);
        assert!(text.starts_with("client topology-change {\"version\":0}\n"), "{text}");
    }

    any_bytes_are_survived!(PROTOCOL, |_, (kind, bytes)| [&[0, 0, 2, *kind][..], bytes].concat());
}
