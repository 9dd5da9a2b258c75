//! A device that has no business in the Internet goes there: see [`DETECTOR`].

use std::net::IpAddr;

use model::{Host, Severity, Timestamp, What};

use super::roles;
use crate::hosts::{PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds controllers and their like that talk to the Internet.
pub(super) const DETECTOR: Rule = Rule {
    id: "internet-access",
    title: "Controller in the Internet",
    severity: Severity::Low,
    attack: &["T0883", "T0869", "T1071"],
    finds: "A controller, a remote terminal, a panel, a medical device or a till talks to an external host. If it never \
            did so in the time it has been known, that is worse.",
    matters: "What reaches out can be reached: for updates nobody checked, or for a stranger's commands. IEC 62443-3-3 \
              (SR 5.2) wants such traffic denied unless it is allowed.",
    fix: "Find out what the other address belongs to. If the device needs it, let it reach this one address through a \
          firewall; if not, close the way out.",
    thresholds: &[Threshold {
        name: "known-for",
        about: "a device that is known for so long and was never in the Internet does something new",
        unit: "s",
        usual: 86_400.0,
    }],
    listens: &[Kind::Ended],
    keeps: "when each watched host was in the Internet first",
    start: || Box::<InternetAccess>::default(),
};

const KNOWN_FOR: usize = 0;

/// Whether two public addresses lie so near to each other that one organisation has them: some number their plants so.
fn are_neighbours(one: &Host, other: &Host) -> bool {
    match (one.ip, other.ip) {
        (Some(IpAddr::V4(one)), Some(IpAddr::V4(other))) => one.octets()[..2] == other.octets()[..2],
        (Some(IpAddr::V6(one)), Some(IpAddr::V6(other))) => one.segments()[..3] == other.segments()[..3],
        _ => false,
    }
}

#[derive(Default)]
struct InternetAccess {
    first: PerHost<Option<Timestamp>>,
}

impl Detector for InternetAccess {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        if are_neighbours(client, server)
            || !record.answered()
            || !seen.client.is_somebody()
            || !seen.site.is_external(server)
        {
            return;
        }
        let Some(known) = seen.site.glance(client) else { return };
        // Whoever asks for the time or a name says nothing.
        let is_harmless = matches!(record.protocol.as_deref(), Some("ntp" | "dns"));
        let first = self.first.of(seen.client);
        if !is_harmless && first.is_none() {
            *first = Some(record.first);
        }
        if !seen.site.is_one_of(client, roles::UNCONNECTED) {
            return;
        }
        let after = first.map_or(0.0, |first| first.since(known.first).as_secs_f64());
        let is_new = after >= out.limit(KNOWN_FOR, client);
        let (severity, role) = match (is_harmless, is_new) {
            (true, _) => (Severity::Info, known.role),
            (false, false) => (Severity::Low, known.role),
            (false, true) => (Severity::Medium, known.role),
        };
        let role = role.unwrap_or("device");
        let protocol = record.protocol.as_deref().unwrap_or("an unknown protocol");
        let mut alarm = Alarm::about(*client)
            .flow(record.head.id)
            .severity(severity)
            .factor("external host", record.head.server, "none")
            .factor("protocol", protocol, "none");
        if is_new {
            alarm = alarm.crossed(KNOWN_FOR, after);
        }
        out.raise(alarm, || {
            let new = if is_new { ", which it never did before" } else { "" };
            format!("{client}, a {role}, talks to {} in the Internet by {protocol}{new}", record.head.server)
        });
    }

    fn forget(&mut self, who: Who) {
        self.first.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{Role, Severity};

    use super::DETECTOR;
    use crate::testing::{Story, answered, datagrams};

    #[test]
    fn a_controller_that_was_never_outside_is_worse_than_one_that_always_was() {
        let out = || answered("10.0.0.5", "203.0.113.7", 443, "tls");
        let controller = || Story::of(&DETECTOR).with_host("10.0.0.5").plays("10.0.0.5", Role::Plc);
        let always = controller().flow(out()).wait(86_400 * 3).flow(out());
        assert_eq!((always.only().severity, always.only().count), (Severity::Low, 2));
        assert_eq!(controller().wait(86_400 * 3).flow(out()).only().severity, Severity::Medium);
    }

    #[test]
    fn others_and_inner_services_are_silent_and_clocks_are_harmless() {
        let mut clock = datagrams("10.0.0.5", "203.0.113.7", 123, 48, 48);
        clock.protocol = Some("ntp".into());
        let story = Story::of(&DETECTOR)
            .with_host("10.0.0.5")
            .with_host("10.0.0.6")
            .plays("10.0.0.5", Role::Plc)
            .plays("10.0.0.6", Role::Workstation)
            .with_host("198.51.100.5")
            .plays("198.51.100.5", Role::Plc)
            .flow(answered("10.0.0.5", "10.0.0.2", 443, "tls"))
            .flow(answered("198.51.100.5", "198.51.3.9", 102, "s7comm"))
            .flow(answered("10.0.0.6", "203.0.113.7", 443, "tls"));
        story.silent();
        assert_eq!(story.flow(clock).only().severity, Severity::Info);
    }
}
