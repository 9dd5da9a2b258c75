//! A password that everybody knows: see [`DETECTOR`].

use model::{Severity, What};

use super::services;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds logins with passwords with which devices are shipped.
pub(super) const DETECTOR: Rule = Rule {
    id: "default-credentials",
    title: "Default credentials",
    severity: Severity::High,
    attack: &["T1078.001", "T0812", "T0891"],
    finds: "A login with a name and a password with which devices are shipped, or with an SNMP community that everybody \
            knows. If the service accepts it, the finding is about the service; if it refuses it, about whoever tried.",
    matters: "The manual tells the password to everybody, and so do the lists that worms such as Mirai carry. Such a \
              device is taken over within minutes of being reached from the Internet.",
    fix: "Give the account another password, or switch it off. For SNMP use version 3.",
    thresholds: &[],
    listens: &[Kind::Weakness],
    keeps: "nothing",
    start: || Box::new(DefaultCredentials),
};

struct DefaultCredentials;

impl Detector for DefaultCredentials {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Weakness(weakness) = seen.what else { return };
        let Some((protocol, kind)) = weakness.kind.split_once('.') else { return };
        let account = &weakness.detail;
        let whose = weakness.flow.endpoint(weakness.side).host;
        let other = weakness.flow.endpoint(weakness.side.other()).host;
        if !services::is_ours(seen.site, &whose) && kind != "default-credential-tried" {
            return;
        }
        let alarm = Alarm::about(whose).matter(&weakness.kind).flow(weakness.flow.id);
        match kind {
            "default-credential" => out.raise(
                alarm.factor("account", account, "a password of its own").factor("first used by", other, "nobody"),
                || format!("{whose} lets {account} in by {protocol} with a password with which such devices are shipped"),
            ),
            "default-community" => {
                let severity = if &**account == "public" { Severity::Low } else { Severity::Medium };
                let alarm = alarm.severity(severity).factor("community", account, "one that nobody knows");
                out.raise(alarm, || format!("{whose} answers to the SNMP community {account}, which everybody knows"));
            }
            "default-credential-tried" => {
                let alarm = alarm.severity(Severity::Low).factor("account", account, "none of the known ones");
                out.raise(alarm, || {
                    format!("{whose} tried a password with which devices are shipped, as {account} at {other} by {protocol}")
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Severity, Side, What};

    use super::DETECTOR;
    use crate::testing::{Story, weakness};

    #[test]
    fn whoever_is_wrong_is_told_once() {
        let used = |client| weakness(client, "10.0.0.9", 23, "telnet.default-credential", "root");
        let finding = Story::of(&DETECTOR).then(used("10.0.0.5")).then(used("10.0.0.6")).only();
        assert_eq!((finding.actor.to_string().as_str(), finding.count), ("10.0.0.9", 2));
        assert_eq!(finding.severity, Severity::High);
        let mut tried = weakness("10.0.0.5", "10.0.0.9", 23, "telnet.default-credential-tried", "root");
        if let What::Weakness(weakness) = &mut tried {
            weakness.side = Side::Client;
        }
        let finding = Story::of(&DETECTOR).then(tried).only();
        assert_eq!((finding.actor.to_string().as_str(), finding.severity), ("10.0.0.5", Severity::Low));
    }

    #[test]
    fn other_weaknesses_and_services_of_others_are_silent() {
        Story::of(&DETECTOR)
            .then(weakness("10.0.0.5", "10.0.0.9", 443, "tls.old-version", "TLS 1.0"))
            .then(weakness("10.0.0.5", "198.51.100.7", 80, "http.default-credential", "admin"))
            .silent();
    }
}
