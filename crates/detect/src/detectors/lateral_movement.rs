//! Somebody goes on from host to host: see [`DETECTOR`].

use std::collections::VecDeque;

use model::{Role, Severity, Timestamp, Transport, What};

use super::services;
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that begin to manage others.
pub(super) const DETECTOR: Rule = Rule {
    id: "lateral-movement",
    title: "Lateral movement",
    severity: Severity::High,
    attack: &["T0866", "T0886", "T1021", "T1570"],
    finds: "A host turns to services by which others are managed (SMB, RDP, SSH, Telnet, VNC, WinRM) of several hosts of \
            which it was no client before. For controllers, cameras, printers, tills and their like, which manage \
            nobody, a few attempts or one session at a command line or desktop are enough; for computers it takes more, and \
            some time in which they did not.",
    matters: "Whoever has got into one device goes on from there. In 2013 thieves went from the computer of a firm that \
              maintained air conditioning to the tills of a retailer by nothing else.",
    fix: "Find out who works at the host that does it. If nobody does, cut it off from the others, change the passwords \
          that were used from it, and look at how it was reached: the incident shows what came before.",
    thresholds: &[
        Threshold {
            name: "by-device",
            about: "hosts of which a device that manages nobody becomes a client within ten minutes",
            unit: "hosts",
            usual: 3.0,
        },
        Threshold {
            name: "by-computer",
            about: "hosts of which another becomes a client within ten minutes, with a session",
            unit: "hosts",
            usual: 4.0,
        },
        Threshold {
            name: "settled-after",
            about: "what a host does in so long after it was first seen is taken as usual for it",
            unit: "s",
            usual: 300.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "128 hosts that each watched host has managed, and its 16 latest new ones",
    start: || Box::<LateralMovement>::default(),
};

const BY_DEVICE: usize = 0;
const BY_COMPUTER: usize = 1;
const SETTLED: usize = 2;

/// New ones count together within this, in nanoseconds.
const WINDOW: u64 = 600 * 1_000_000_000;
/// So many hosts are remembered as known.
const KNOWN: usize = 128;
/// So many new ones are remembered.
const RECENT: usize = 16;

/// Devices store files by it, too.
const SMB: u16 = 445;
/// Roles of devices that manage nobody.
const DEVICES: &[Role] = &[
    Role::Plc,
    Role::Rtu,
    Role::Ied,
    Role::FieldDevice,
    Role::BuildingController,
    Role::Camera,
    Role::SmartDevice,
    Role::Printer,
    Role::Media,
    Role::Phone,
    Role::Medical,
    Role::PointOfSale,
];

#[derive(Default)]
struct LateralMovement {
    clients: PerHost<Client>,
}

#[derive(Default)]
struct Client {
    since: Option<Timestamp>,
    known: VecDeque<u32>,
    /// New ones: when, and whether there was a session.
    recent: VecDeque<(Timestamp, bool)>,
}

impl Detector for LateralMovement {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        if !seen.client.is_somebody() {
            return;
        }
        let service = services::management(&record.head).filter(|_| record.head.transport == Transport::Tcp);
        let Some(service) = service else {
            // Only who is watched for a while can be said to do something new.
            if self.clients.get(seen.client).is_none() {
                self.clients.of(seen.client).since = Some(seen.at);
            }
            return;
        };
        let (actor, target) = (&record.head.client.host, &record.head.server.host);
        let Some(addr) = Addr::of(target) else { return };
        let client = self.clients.of(seen.client);
        let since = *client.since.get_or_insert(record.first);
        let session = record.sent.payload > 0 && record.received.payload > 0;
        // Who was knocked at is let in anew.
        let digest = addr.digest() ^ u32::from(session);
        if client.known.contains(&digest) || seen.site.is_external(target) || seen.site.is_external(actor) {
            return;
        }
        if client.known.len() >= KNOWN {
            client.known.pop_front();
        }
        client.known.push_back(digest);
        let is_device = seen.site.is_one_of(actor, DEVICES);
        let is_settled = record.first.since(since).as_secs_f64() >= out.limit(SETTLED, actor);
        if !(is_device || is_settled && session) {
            return;
        }
        client.recent.retain(|(at, _)| seen.at.as_nanos().saturating_sub(at.as_nanos()) < WINDOW);
        if client.recent.len() >= RECENT {
            client.recent.pop_front();
        }
        client.recent.push_back((record.first, session));
        let (count, first) = (client.recent.len(), client.recent.front().map_or(record.first, |(at, _)| *at));
        let at_once = is_device && session && record.head.server.port != SMB;
        let threshold = if is_device { BY_DEVICE } else { BY_COMPUTER };
        if !at_once && (count as f64) < out.limit(threshold, actor) {
            return;
        }
        let role = seen.site.glance(actor).and_then(|known| known.role).filter(|_| is_device);
        let severity = if is_device { Severity::High } else { Severity::Medium };
        let mut alarm = Alarm::about(*actor).since(first).flow(record.head.id).severity(severity).factor(
            "hosts that it did not manage before",
            count,
            "none",
        );
        if !at_once {
            alarm = alarm.crossed(threshold, count as f64);
        }
        out.raise(alarm, || {
            let what = role.map_or_else(String::new, |role| format!(", a {role},"));
            match count {
                1 => format!("{actor}{what} opened a session with {target} by {service}"),
                _ => format!(
                    "{actor}{what} turned to {count} hosts that it did not manage before, the last {target} by {service}"
                ),
            }
        });
    }

    fn forget(&mut self, who: Who) {
        self.clients.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{Role, Severity};

    use super::DETECTOR;
    use crate::testing::{Story, answered, unanswered};

    const CONTROLLER: &str = "10.0.0.30";

    fn with_controller() -> Story {
        Story::of(&DETECTOR).with_host(CONTROLLER).plays(CONTROLLER, Role::BuildingController)
    }

    #[test]
    fn a_device_that_begins_to_manage_others_is_found() {
        let mut story = with_controller();
        for last in 1..=3 {
            story = story.wait(1).flow(unanswered(CONTROLLER, &format!("10.0.0.{last}"), 445));
        }
        let finding = story.only();
        assert_eq!((finding.severity, finding.crossed.unwrap().seen), (Severity::High, 3.0));
        let session = with_controller().flow(answered(CONTROLLER, "10.0.0.2", 3389, "rdp"));
        assert!(session.only().summary.contains("a building-controller, opened a session with 10.0.0.2"));
    }

    #[test]
    fn a_computer_that_turns_to_many_is_found_if_it_never_did() {
        let mut story =
            Story::of(&DETECTOR).with_host("10.0.0.5").flow(answered("10.0.0.5", "10.0.0.9", 80, "http"));
        story = story.wait(3600);
        for last in 1..=4 {
            story = story.wait(10).flow(answered("10.0.0.5", &format!("10.0.0.{}", 100 + last), 445, "smb"));
        }
        assert_eq!(story.only().severity, Severity::Medium);
    }

    #[test]
    fn who_always_managed_them_and_who_stores_files_is_left_alone() {
        // An administrator's station: its hosts are known from the beginning.
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for round in 0..3 {
            for last in 1..=20 {
                story = story.flow(answered("10.0.0.5", &format!("10.0.0.{}", 100 + last), 22, "ssh"));
            }
            story = story.wait(3600 * (round + 1));
        }
        story.silent();
        // A controller that stores its logs on a share.
        let mut story = with_controller();
        for _ in 0..5 {
            story = story.wait(600).flow(answered(CONTROLLER, "10.0.0.9", 445, "smb"));
        }
        story.silent();
    }
}
