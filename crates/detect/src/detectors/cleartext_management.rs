//! Passwords that anybody on the way can read: see [`DETECTOR`].

use model::{Host, OperationKind, Outcome, Severity, What};

use super::services;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds services that take passwords in the clear.
pub(super) const DETECTOR: Rule = Rule {
    id: "cleartext-management",
    title: "Passwords in the clear",
    severity: Severity::Low,
    attack: &["T1040", "T0842", "T1552"],
    finds: "A login over a protocol that does not hide the password: Telnet, FTP, HTTP or RTSP with a basic login or a \
            form, MQTT without TLS.",
    matters: "Whoever can watch the network, by a mirrored port, a false ARP answer or a stolen laptop, knows the \
              password.",
    fix: "Use SSH, HTTPS or MQTT over TLS, and switch the old service off. Where the device knows nothing better, let \
          only the hosts reach it that must.",
    thresholds: &[],
    listens: &[Kind::Operation, Kind::Weakness],
    keeps: "nothing",
    start: || Box::new(CleartextManagement),
};

struct CleartextManagement;

impl Detector for CleartextManagement {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let (protocol, client, server, flow) = match seen.what {
            What::Operation(operation)
                if operation.kind == OperationKind::Authenticate && operation.outcome == Outcome::Done =>
            {
                let is_clear = match &*operation.protocol {
                    "telnet" | "ftp" => true,
                    "http" | "rtsp" => matches!(&*operation.name, "basic" | "form"),
                    _ => false,
                };
                if !is_clear {
                    return;
                }
                let asked = seen.asked(operation);
                (&*operation.protocol, asked.asker.host, asked.asked.host, operation.flow.id)
            }
            What::Weakness(weakness) if weakness.kind == "mqtt.cleartext-login" => {
                let server: Host = weakness.flow.endpoint(weakness.side).host;
                ("mqtt", weakness.flow.endpoint(weakness.side.other()).host, server, weakness.flow.id)
            }
            _ => return,
        };
        if !services::is_ours(seen.site, &server) {
            return;
        }
        let alarm = Alarm::about(server).matter(protocol).flow(flow).factor(
            "login by",
            protocol,
            "an encrypted protocol",
        );
        out.raise(alarm, || {
            format!("{server} takes passwords by {protocol}, which hides nothing; {client} sent one")
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind::Authenticate, Outcome};

    use super::DETECTOR;
    use crate::testing::{Story, operation, weakness};

    #[test]
    fn a_service_that_takes_passwords_in_the_clear_is_told_once() {
        let mut story = Story::of(&DETECTOR);
        for last in 1..9 {
            let client = format!("10.0.0.{last}");
            story =
                story.asks(operation(&client, "10.0.0.9", "telnet", Authenticate, "login", Outcome::Done));
        }
        assert_eq!(story.only().count, 8);
        let story = story.then(weakness("10.0.0.1", "10.0.0.9", 1883, "mqtt.cleartext-login", ""));
        assert_eq!(story.findings().len(), 2);
    }

    #[test]
    fn hashed_logins_and_refused_ones_are_silent() {
        Story::of(&DETECTOR)
            .asks(operation("10.0.0.1", "10.0.0.9", "http", Authenticate, "digest", Outcome::Done))
            .asks(operation("10.0.0.1", "10.0.0.9", "smb", Authenticate, "session-setup", Outcome::Done))
            .asks(operation("10.0.0.1", "10.0.0.9", "telnet", Authenticate, "login", Outcome::Refused))
            .asks(operation("10.0.0.1", "198.51.100.9", "http", Authenticate, "form", Outcome::Done))
            .silent();
    }
}
