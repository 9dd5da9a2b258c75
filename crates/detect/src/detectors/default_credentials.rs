//! A password that everybody knows: see [`DETECTOR`].

use std::collections::BTreeSet;

use model::{FlowId, Host, Severity, Timestamp, Weakness, What};

use super::channel::digest_of;
use super::services;
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds logins with passwords with which devices are shipped.
pub(super) const DETECTOR: Rule = Rule {
    id: "default-credentials",
    title: "Default credentials",
    severity: Severity::High,
    attack: &["T1078.001", "T1110.001", "T0812", "T0891"],
    finds: "A login with a name and a password with which devices are shipped, or with an SNMP community that everybody \
            knows. If the service accepts it, the finding is about the service: medium, for its owner may be the one who logs \
            in; high if it lets in somebody outside, or somebody against whom other findings speak. If it refuses it, the \
            finding is about whoever tried: low for one password, which may be the owner's first; medium for several \
            passwords, or at several devices, for nobody who is meant to log in tries the passwords of several makers; \
            high if he is then let in.",
    matters: "The manual tells the password to everybody, and so do the lists that worms such as Mirai carry. Such a \
              device is taken over within minutes of being reached from the Internet.",
    fix: "Give the account another password, or switch it off. For SNMP use version 3.",
    thresholds: &[
        Threshold {
            name: "pairs",
            about: "different default names and passwords that one device refused within an hour",
            unit: "pairs",
            usual: 2.0,
        },
        Threshold {
            name: "devices",
            about: "devices that refused default names and passwords within an hour",
            unit: "devices",
            usual: 2.0,
        },
    ],
    listens: &[Kind::Weakness],
    keeps: "the last 32 different tries of each watched host",
    start: || Box::<DefaultCredentials>::default(),
};

const PAIRS: usize = 0;
const DEVICES: usize = 1;

/// Tries within so many seconds belong together.
const TOGETHER: u64 = 3600;
/// So many different tries of a host are remembered.
const MAX_TRIES: usize = 32;

/// A default credential that a device refused.
#[derive(Debug)]
struct Try {
    device: Addr,
    /// A digest of which one it was.
    pair: u64,
    at: Timestamp,
    flow: FlowId,
}

/// What of a host's tries were refused lately, the latest last.
#[derive(Debug, Default)]
struct Tries(Vec<Try>);

impl Tries {
    fn forget_until(&mut self, now: Timestamp) {
        self.0.retain(|tried| now.since(tried.at).as_secs() < TOGETHER);
    }

    /// One try more; the same one again only counts as the latest.
    fn add(&mut self, new: Try) {
        self.forget_until(new.at);
        self.0.retain(|tried| (tried.device, tried.pair) != (new.device, new.pair));
        if self.0.len() >= MAX_TRIES {
            self.0.remove(0);
        }
        self.0.push(new);
    }

    /// The most different ones at one device, and at how many devices.
    fn counts(&self) -> [f64; 2] {
        let devices: BTreeSet<_> = self.0.iter().map(|tried| tried.device).collect();
        let at = |device| self.0.iter().filter(|tried| tried.device == device).count();
        let most = devices.iter().map(|device| at(*device)).max().unwrap_or(0);
        [most as f64, devices.len() as f64]
    }

    /// The threshold that they cross, with what was seen.
    fn crossed(&self, client: &Host, out: &Out<'_>) -> Option<(usize, f64)> {
        let counts = self.counts();
        [PAIRS, DEVICES]
            .map(|which| (which, counts[which]))
            .into_iter()
            .find(|(which, seen)| *seen >= out.limit(*which, client))
    }
}

#[derive(Default)]
struct DefaultCredentials {
    tries: PerHost<Tries>,
}

impl DefaultCredentials {
    /// Somebody was refused; it matters more if he tried others, or elsewhere.
    fn refused(&mut self, weakness: &Weakness, protocol: &str, seen: &Seen<'_>, out: &mut Out<'_>) {
        let client = weakness.flow.endpoint(weakness.side).host;
        let server = weakness.flow.endpoint(weakness.side.other()).host;
        let account = &weakness.detail;
        let alarm = Alarm::about(client)
            .matter(&weakness.kind)
            .flow(weakness.flow.id)
            .severity(Severity::Low)
            .factor("account", account, "none of the known ones");
        if let (true, Some(device)) = (seen.client.is_somebody(), Addr::of(&server)) {
            let tries = self.tries.of(seen.client);
            let pair = digest_of(&[account.as_bytes()]);
            tries.add(Try { device, pair, at: seen.at, flow: weakness.flow.id });
            if let Some((which, count)) = tries.crossed(&client, out) {
                let [pairs, devices] = tries.counts();
                let flows: Vec<_> = tries.0.iter().map(|tried| tried.flow).collect();
                let since = tries.0.first().map_or(seen.at, |tried| tried.at);
                let alarm = alarm
                    .severity(Severity::Medium)
                    .since(since)
                    .flows(&flows)
                    .crossed(which, count)
                    .factor("known pairs at one device", pairs, "the right one")
                    .factor("devices that refused them", devices, "none");
                out.raise(alarm, || {
                    format!(
                        "{client} tried up to {pairs} names and passwords with which devices are shipped at each of \
                         {devices} devices within an hour, the last at {server} by {protocol}"
                    )
                });
                return;
            }
        }
        out.raise(alarm, || {
            format!("{client} tried a password with which devices are shipped, as {account} at {server} by {protocol}")
        });
    }

    /// Somebody was let in; it matters more if he had tried others before.
    fn accepted(&mut self, weakness: &Weakness, protocol: &str, seen: &Seen<'_>, out: &mut Out<'_>) {
        let server = weakness.flow.endpoint(weakness.side).host;
        let client = weakness.flow.endpoint(weakness.side.other()).host;
        let (account, flow) = (&weakness.detail, weakness.flow.id);
        // Whoever sets a device up logs in so for the first time.
        let is_intruder = seen.site.is_external(&client) || out.is_suspect(&client);
        let severity = if is_intruder { Severity::High } else { Severity::Medium };
        let alarm = Alarm::about(server)
            .matter(&weakness.kind)
            .flow(flow)
            .severity(severity)
            .factor("account", account, "a password of its own")
            .factor("first used by", client, "nobody");
        out.raise(alarm, || {
            format!(
                "{server} lets {account} in by {protocol} with a password with which such devices are shipped"
            )
        });
        let tries = seen.client.is_somebody().then(|| self.tries.get_mut(seen.client)).flatten();
        let Some(tries) = tries else { return };
        tries.forget_until(seen.at);
        let Some((which, count)) = tries.crossed(&client, out) else { return };
        let flows: Vec<_> = tries.0.iter().map(|tried| tried.flow).collect();
        let since = tries.0.first().map_or(seen.at, |tried| tried.at);
        let matter = format!("{protocol}.default-credential-tried");
        let alarm = Alarm::about(client)
            .matter(&matter)
            .since(since)
            .flows(&flows)
            .flow(flow)
            .crossed(which, count)
            .factor("account", account, "none of the known ones")
            .factor("let in by", server, "nobody");
        out.raise(alarm, || {
            format!(
                "{client} tried names and passwords with which devices are shipped until {server} let it in as \
                 {account} by {protocol}"
            )
        });
    }
}

impl Detector for DefaultCredentials {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Weakness(weakness) = seen.what else { return };
        let Some((protocol, kind)) = weakness.kind.split_once('.') else { return };
        if kind == "default-credential-tried" {
            self.refused(weakness, protocol, seen, out);
            return;
        }
        let whose = weakness.flow.endpoint(weakness.side).host;
        if !services::is_ours(seen.site, &whose) {
            return;
        }
        match kind {
            "default-credential" => self.accepted(weakness, protocol, seen, out),
            "default-community" => {
                let community = &weakness.detail;
                let severity = if &**community == "public" { Severity::Low } else { Severity::Medium };
                let alarm = Alarm::about(whose)
                    .matter(&weakness.kind)
                    .flow(weakness.flow.id)
                    .severity(severity)
                    .factor("community", community, "one that nobody knows");
                out.raise(alarm, || {
                    format!("{whose} answers to the SNMP community {community}, which everybody knows")
                });
            }
            _ => {}
        }
    }

    fn forget(&mut self, who: Who) {
        self.tries.forget(who);
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
        assert_eq!(finding.severity, Severity::Medium, "the owner may be the one");
    }

    #[test]
    fn a_device_that_lets_a_stranger_in_is_worse_off_than_one_that_lets_its_owner_in() {
        let used = |client| weakness(client, "10.0.0.9", 23, "telnet.default-credential", "root");
        let mut story = story().then(used("10.0.0.5"));
        assert_eq!(story.only().severity, Severity::Medium);
        story = story.wait(60).then(used("198.51.100.7"));
        assert_eq!(story.only().severity, Severity::High);
    }

    fn tried(server: &str, pair: u32) -> What {
        let detail = format!("root, known pair {pair}");
        let mut tried = weakness("10.0.0.5", server, 23, "telnet.default-credential-tried", &detail);
        if let What::Weakness(weakness) = &mut tried {
            weakness.side = Side::Client;
        }
        tried
    }

    fn story() -> Story {
        Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9")
    }

    #[test]
    fn one_refused_password_is_a_weakness_however_often_it_is_tried() {
        let mut story = story();
        for _ in 0..50 {
            story = story.wait(30).then(tried("10.0.0.9", 1));
        }
        // Another one hours later, as well.
        let finding = story.wait(7200).then(tried("10.0.0.9", 2)).only();
        assert_eq!((finding.actor.to_string().as_str(), finding.severity), ("10.0.0.5", Severity::Low));
    }

    #[test]
    fn several_passwords_or_devices_are_an_attack() {
        for (server, pair) in [("10.0.0.9", 2), ("10.0.0.10", 1)] {
            let finding = story().then(tried("10.0.0.9", 1)).wait(600).then(tried(server, pair)).only();
            assert_eq!(
                (finding.actor.to_string().as_str(), finding.severity),
                ("10.0.0.5", Severity::Medium)
            );
            assert_eq!(finding.conversations.len(), 1, "flows of stories without a number are one");
        }
    }

    #[test]
    fn who_is_let_in_after_several_has_found_it_and_who_is_after_one_has_not() {
        let used = || weakness("10.0.0.5", "10.0.0.9", 23, "telnet.default-credential", "root");
        let severity = |story: Story| {
            let findings = story.findings();
            findings
                .iter()
                .find(|finding| finding.actor.to_string() == "10.0.0.5")
                .map(|known| known.severity)
        };
        let owner = story().then(tried("10.0.0.9", 1)).then(used());
        assert_eq!(severity(owner), Some(Severity::Low));
        let guesser = story().then(tried("10.0.0.9", 1)).then(tried("10.0.0.9", 2)).then(used());
        assert_eq!(severity(guesser), Some(Severity::High));
        assert_eq!(severity(story().then(used())), None);
    }

    #[test]
    fn other_weaknesses_and_services_of_others_are_silent() {
        Story::of(&DETECTOR)
            .then(weakness("10.0.0.5", "10.0.0.9", 443, "tls.old-version", "TLS 1.0"))
            .then(weakness("10.0.0.5", "198.51.100.7", 80, "http.default-credential", "admin"))
            .silent();
    }
}
