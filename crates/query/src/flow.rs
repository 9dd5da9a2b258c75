//! What can be asked of conversations.

use model::{EndReason, FlowRecord, TcpState};

use crate::device::{field, text};
use crate::expr::{Datum, Field, Fields, Kind};

/// The fields of a conversation.
pub static FLOW: &[Field] = &[
    field("id", &["flow"], Kind::Text, "its id"),
    field("ip", &["address"], Kind::Address, "the network address of either end"),
    field("client", &[], Kind::Address, "the network address of the end that opened it"),
    field("server", &[], Kind::Address, "the network address of the end that was asked"),
    field("mac", &[], Kind::Text, "the link-layer address of either end"),
    field("protocol", &[], Kind::Text, "its protocol; the transport where none was recognised"),
    field("transport", &[], Kind::Text, "what carries it: tcp, udp, icmp, ether-88b8"),
    field("port", &[], Kind::Number, "the port of the end that was asked"),
    field("client-port", &[], Kind::Number, "the port of the end that opened it"),
    field("vlan", &[], Kind::Number, "its VLAN"),
    field("packets", &[], Kind::Number, "packets both ways"),
    field("bytes", &[], Kind::Size, "bytes both ways"),
    field("sent", &[], Kind::Size, "bytes that the end sent that opened it"),
    field("received", &[], Kind::Size, "bytes that the end sent that was asked"),
    field("state", &[], Kind::Text, "of TCP: established, closed, refused, reset, syn-sent and so on"),
    field("end", &[], Kind::Text, "why its record was closed: finished, idle, active, evicted or source-end"),
    field("seen", &["last"], Kind::Age, "when it was last seen"),
    field("first", &[], Kind::Age, "when it began"),
];

const fn state(state: TcpState) -> &'static str {
    match state {
        TcpState::SynSent => "syn-sent",
        TcpState::SynReceived => "syn-received",
        TcpState::Established => "established",
        TcpState::Closing => "closing",
        TcpState::Closed => "closed",
        TcpState::Reset => "reset",
        TcpState::Refused => "refused",
        TcpState::Midstream => "midstream",
    }
}

const fn end(end: EndReason) -> &'static str {
    match end {
        EndReason::Finished => "finished",
        EndReason::Idle => "idle",
        EndReason::Active => "active",
        EndReason::Evicted => "evicted",
        EndReason::SourceEnd => "source-end",
    }
}

impl Fields for FlowRecord {
    fn any(&self, field: Option<&str>, test: &mut dyn FnMut(Datum<'_>) -> bool) -> bool {
        let mut buffer = String::new();
        let [client, server] = [&self.head.client, &self.head.server];
        let Some(field) = field else {
            return ["id", "ip", "mac", "protocol", "transport"]
                .iter()
                .any(|field| self.any(Some(field), test));
        };
        match field {
            "id" => text(self.head.id, &mut buffer, test),
            "ip" => [client, server].iter().any(|end| end.host.ip.is_some_and(|ip| test(Datum::Address(ip)))),
            "client" => client.host.ip.is_some_and(|ip| test(Datum::Address(ip))),
            "server" => server.host.ip.is_some_and(|ip| test(Datum::Address(ip))),
            "mac" => [client, server]
                .iter()
                .any(|end| end.host.mac.is_some_and(|mac| text(mac, &mut buffer, test))),
            "protocol" => match &self.protocol {
                Some(protocol) => test(Datum::Text(protocol)),
                None => text(self.head.transport, &mut buffer, test),
            },
            "transport" => text(self.head.transport, &mut buffer, test),
            "port" => test(Datum::Number(server.port.into())),
            "client-port" => test(Datum::Number(client.port.into())),
            "vlan" => self.head.vlan.is_some_and(|vlan| test(Datum::Number(vlan.into()))),
            "packets" => test(Datum::Number(self.sent.packets.saturating_add(self.received.packets))),
            "bytes" => test(Datum::Number(self.sent.bytes.saturating_add(self.received.bytes))),
            "sent" => test(Datum::Number(self.sent.bytes)),
            "received" => test(Datum::Number(self.received.bytes)),
            "state" => self.tcp.is_some_and(|tcp| test(Datum::Text(state(tcp.state)))),
            "end" => test(Datum::Text(end(self.end))),
            "seen" => test(Datum::Moment(self.last)),
            _ => test(Datum::Moment(self.first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{
        Endpoint, FlowHead, FlowId, Host, MacAddr, Reach, TcpFlags, TcpStats, Timestamp, Transport, Volume,
    };

    use super::*;
    use crate::parse;

    #[test]
    fn conversations_are_selected_by_their_ends_and_what_passed() {
        let end = |ip: &str, port| Endpoint {
            host: Host { ip: ip.parse().ok(), mac: Some(MacAddr([2, 0, 0, 0, 0, 1])) },
            port,
        };
        let tcp = TcpStats {
            state: TcpState::Refused,
            rtt_ns: None,
            retransmitted: [0; 2],
            missing: [0; 2],
            flags: [TcpFlags(0); 2],
        };
        let flow = FlowRecord {
            head: FlowHead {
                id: FlowId(7),
                transport: Transport::Tcp,
                vlan: Some(12),
                client: end("10.0.0.5", 50_000),
                server: end("10.1.0.6", 502),
                client_reach: Reach::Near,
                server_reach: Reach::Near,
            },
            first: Timestamp::from_secs(100),
            last: Timestamp::from_secs(200),
            sent: Volume { packets: 1, bytes: 60, payload: 0 },
            received: Volume { packets: 1, bytes: 54, payload: 0 },
            protocol: None,
            tcp: Some(tcp),
            end: EndReason::Finished,
        };
        let holds = |text: &str| parse(text, FLOW).unwrap().matches(&flow, Timestamp::from_secs(300));
        for text in [
            "client:10.0.0.5",
            "server:10.1.0.0/16",
            "ip:10.1.0.6",
            "port=502",
            "client-port>49151",
            "protocol:tcp",
            "state:refused",
            "end:finished",
            "bytes<1kB",
            "packets=2",
            "vlan=12",
            "seen<2m",
            "first>2m",
            "mac:02:00:00:00:00:01",
            "10.1.0.6",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in ["server:10.0.0.5", "protocol:modbus", "state:established", "bytes>1kB"] {
            assert!(!holds(text), "{text}");
        }
        crate::device::tests::shows_all(&flow, FLOW);
    }
}
