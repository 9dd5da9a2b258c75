//! Somebody comes in from the Internet: see [`DETECTOR`].

use model::{FlowRecord, OperationKind, Outcome, Severity, Transport, What};

use super::contacts::is_accepted;
use super::{roles, services};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds services for managing and controlling that are reached from the Internet, and tools for remote access.
pub(super) const DETECTOR: Rule = Rule {
    id: "remote-access",
    title: "Access from the Internet",
    severity: Severity::Medium,
    attack: &["T0822", "T1133", "T0883", "T1219"],
    finds: "An external host is answered or accepted by a service for managing devices or controlling machines, or logs in \
            to any; or a device calls the service of a tool for remote access.",
    matters: "What answers one stranger answers all. Search engines list such services, and most attacks on plants began \
              with one.",
    fix: "Close the port in the firewall. Whoever must come in uses a VPN with a second factor, and is let in when \
          somebody expects it.",
    thresholds: &[],
    listens: &[Kind::Ended, Kind::Operation],
    keeps: "nothing",
    start: || Box::new(RemoteAccess),
};

struct RemoteAccess;

/// The tool for remote access whose relays a conversation goes to, by its port (of its maker's documents).
fn tool(record: &FlowRecord) -> Option<&'static str> {
    Some(match (record.head.transport, record.head.server.port) {
        (Transport::Tcp | Transport::Udp, 5938) => "TeamViewer",
        (Transport::Tcp, 6568) => "AnyDesk",
        (Transport::Tcp | Transport::Udp, 21_115..=21_119) => "RustDesk",
        (Transport::Tcp, 4899) => "Radmin",
        _ => return None,
    })
}

impl RemoteAccess {
    fn conversation(seen: &Seen<'_>, record: &FlowRecord, out: &mut Out<'_>) {
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        // Who only knocks at an open port, and says nothing, has found it.
        if record.received.payload == 0 && !is_accepted(record) {
            return;
        }
        match (seen.site.is_external(client), seen.site.is_external(server)) {
            (true, false) if seen.server.is_somebody() => {
                let industrial = services::industrial(&record.head);
                let Some(service) = industrial.or_else(|| services::management(&record.head)) else { return };
                let severity = if industrial.is_some() { Severity::High } else { Severity::Medium };
                let alarm = Alarm::about(*server)
                    .matter(service)
                    .since(record.first)
                    .flow(record.head.id)
                    .severity(severity)
                    .factor("answered", client, "hosts of yours only");
                out.raise(alarm, || format!("{server} answers {client} in the Internet by {service}"));
            }
            (false, true) if seen.client.is_somebody() && record.received.payload > 0 => {
                let Some(tool) = tool(record) else { return };
                let is_thing = seen.site.is_one_of(client, roles::UNCONNECTED);
                let alarm = Alarm::about(*client)
                    .matter(tool)
                    .flow(record.head.id)
                    .severity(if is_thing { Severity::Medium } else { Severity::Low })
                    .factor("tool", tool, "none");
                out.raise(alarm, || {
                    format!("{client} can be operated from outside by {tool}, whose relay {server} it calls")
                });
            }
            _ => {}
        }
    }
}

impl Detector for RemoteAccess {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        match seen.what {
            What::FlowEnded(record) => Self::conversation(seen, record, out),
            What::Operation(operation)
                if operation.kind == OperationKind::Authenticate && operation.outcome == Outcome::Done =>
            {
                let asked = seen.asked(operation);
                let (client, server) = (asked.asker.host, asked.asked.host);
                if !seen.site.is_external(&client)
                    || seen.site.is_external(&server)
                    || !asked.whom.is_somebody()
                {
                    return;
                }
                let protocol = &operation.protocol;
                let matter = format!("login by {protocol}");
                let alarm = Alarm::about(server)
                    .matter(&matter)
                    .flow(operation.flow.id)
                    .severity(Severity::High)
                    .factor("let in", client, "hosts of yours only");
                out.raise(alarm, || format!("{server} let {client} in from the Internet by {protocol}"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind::Authenticate, Outcome, Severity};

    use super::DETECTOR;
    use crate::testing::{Story, answered, opened, operation, unanswered};

    #[test]
    fn what_is_reached_from_outside_is_told_once_for_each_service() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9");
        for last in 1..20 {
            let client = format!("203.0.113.{last}");
            story = story
                .flow(answered(&client, "10.0.0.9", 22, "ssh"))
                .flow(answered(&client, "10.0.0.9", 502, "modbus"))
                .flow(unanswered(&client, "10.0.0.9", 3389));
        }
        let findings = story.findings();
        assert_eq!(findings.len(), 2);
        assert!(findings.iter().any(|finding| finding.severity == Severity::High));
        let login = operation("203.0.113.1", "10.0.0.9", "http", Authenticate, "form", Outcome::Done);
        assert_eq!(story.asks(login).findings().len(), 3);
    }

    #[test]
    fn an_open_port_is_found_by_who_only_knocks() {
        let mut knock = opened(answered("203.0.113.1", "10.0.0.9", 23, ""));
        (knock.sent.payload, knock.received.payload) = (0, 0);
        assert_eq!(Story::of(&DETECTOR).with_host("10.0.0.9").flow(knock).only().severity, Severity::Medium);
    }

    #[test]
    fn public_services_and_inner_administrators_are_silent() {
        Story::of(&DETECTOR)
            .with_host("10.0.0.9")
            .with_host("10.0.0.5")
            .flow(answered("203.0.113.1", "10.0.0.9", 443, "tls"))
            .flow(answered("10.0.0.5", "10.0.0.9", 22, "ssh"))
            .flow(answered("10.0.0.5", "203.0.113.1", 22, "ssh"))
            .asks(operation("10.0.0.5", "10.0.0.9", "telnet", Authenticate, "login", Outcome::Done))
            .silent();
    }
}
