//! A loopback address is on the link: see [`DETECTOR`].

use model::{Endpoint, Host, MacAddr, Severity, What};

use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds packets that no host may send.
pub(super) const DETECTOR: Rule = Rule {
    id: "loopback-on-link",
    title: "Loopback address on the link",
    severity: Severity::Low,
    attack: &["T0866"],
    finds: "A frame on a link bears a loopback address (127.0.0.0/8, ::1) as its sender's or its receiver's, which must \
            never appear outside a host (RFC 1122, clause 3.2.1.3; RFC 4291, clause 2.5.3). What a host says to itself \
            on its loopback interface does not count.",
    matters: "Such packets are forged: by a tool for injecting packets that missed, or by an attack on services that \
              trust whoever calls from their own host. Else it is a defect.",
    fix: "Find the port of the switch from which the frame came, and what is connected there. Let hosts drop packets with \
          such addresses.",
    thresholds: &[],
    listens: &[Kind::Ended],
    keeps: "nothing",
    start: || Box::new(LoopbackOnLink),
};

struct LoopbackOnLink;

fn is_loopback(end: &Endpoint) -> bool {
    end.host.ip.is_some_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether an end has a link-layer address: on the loopback interface it has none, or one of zeros.
fn is_on_link(end: &Endpoint) -> bool {
    end.host.mac.is_some_and(|mac| mac != MacAddr([0; 6]))
}

impl Detector for LoopbackOnLink {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let ends = [&record.head.client, &record.head.server];
        if !ends.into_iter().any(is_loopback) || !ends.into_iter().any(is_on_link) {
            return;
        }
        let [client, server] = ends;
        // Of whom it is, only the link-layer address can tell, if that is not made up, too.
        let sender = client.host.mac.filter(|mac| mac.is_station() && is_on_link(client));
        let alarm = Alarm::about(sender.map_or(Host::default(), Host::from_mac)).flow(record.head.id).factor(
            "packets",
            record.sent.packets + record.received.packets,
            "none",
        );
        out.raise(alarm, || format!("a packet from {client} to {server} was on the link"));
    }
}

#[cfg(test)]
mod tests {
    use model::{FlowRecord, MacAddr};

    use super::DETECTOR;
    use crate::testing::{Story, mac_of, unanswered};

    fn packet(client: &str, server: &str, macs: [Option<MacAddr>; 2]) -> FlowRecord {
        let mut record = unanswered(client, server, 80);
        [record.head.client.host.mac, record.head.server.host.mac] = macs;
        record
    }

    #[test]
    fn forged_packets_are_told_with_their_sender_where_it_is_known() {
        let sender = mac_of("10.0.0.66".parse().unwrap());
        let story = || Story::of(&DETECTOR).with_host("10.0.0.66").with_host("10.0.0.9");
        let stray = packet("127.0.0.1", "127.0.0.1", [Some(MacAddr([0; 6])), Some(MacAddr::BROADCAST)]);
        assert_eq!(story().flow(stray).only().actor.host, model::Host::default());
        for [client, server] in [["127.0.0.1", "10.0.0.9"], ["10.0.0.66", "127.0.0.1"], ["::1", "::1"]] {
            let finding = story().flow(packet(client, server, [Some(sender), None])).only();
            assert_eq!(finding.actor.host.mac, Some(sender));
        }
    }

    #[test]
    fn what_a_host_says_to_itself_is_silent() {
        let zero = Some(MacAddr([0; 6]));
        Story::of(&DETECTOR)
            .flow(packet("127.0.0.1", "127.0.0.1", [zero, zero]))
            .flow(packet("127.0.0.1", "127.0.0.53", [None, None]))
            .flow(unanswered("10.0.0.5", "10.0.0.9", 80))
            .silent();
    }
}
