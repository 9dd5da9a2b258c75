//! A device that accepts whoever comes from the Internet: see [`DETECTOR`].

use model::{FlowRecord, Role, Severity, TcpState, Timestamp, What};

use super::contacts::is_accepted;
use super::{roles, services};
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds devices that accept connections from the Internet at ports that are no public service.
pub(super) const DETECTOR: Rule = Rule {
    id: "exposed-device",
    title: "Device open to the Internet",
    severity: Severity::Medium,
    attack: &["T0883", "T1133", "T0822"],
    finds: "A camera, a controller or another device that does one thing accepts a connection that an external host began, \
            at a port that is no public service; or a device that is no computer accepts one of an external host that \
            had tried other ports of it in vain, and so was looking for what is open. Services for managing and \
            controlling are left to remote-access.",
    matters: "What answers one stranger answers all, and what nobody meant to offer nobody keeps safe. The telematics unit \
              of the Jeep let in whoever found its message bus at port 6667.",
    fix: "Close the port in the firewall, and switch off whatever made the router forward it (UPnP, a rule for a test). If \
          it has to be reached from outside, let in known addresses only, or a VPN.",
    thresholds: &[
        Threshold {
            name: "tried",
            about: "other ports of the device that the external host tried in vain within an hour",
            unit: "ports",
            usual: 2.0,
        },
        Threshold {
            name: "visitors",
            about: "so many external hosts that came straight to a port make it a public service",
            unit: "hosts",
            usual: 3.0,
        },
    ],
    listens: &[Kind::Identified, Kind::Ended],
    keeps: "the last 16 external hosts that failed at each watched host with 8 ports, and the visitors of 8 of its ports",
    start: || Box::<ExposedDevice>::default(),
};

const TRIED: usize = 0;
const VISITORS: usize = 1;

/// What is tried within so many seconds belongs together.
const TOGETHER: u64 = 3600;
const MAX_SEARCHERS: usize = 16;
const MAX_PORTS: usize = 8;
/// So many visitors of a port are told apart.
const MAX_VISITORS: usize = 64;

/// Things of which one may expect that they are reached from outside: players and telephones, by games and calls;
/// routers and gateways let in others.
const REACHED: &[Role] = &[Role::Router, Role::Gateway, Role::Media, Role::Phone];

/// Whether what is offered at a TCP port is meant for anybody, by the registry of IANA: mail, names, web, VPN and calls.
const fn is_public(port: u16) -> bool {
    matches!(
        port,
        25 | 53
            | 80
            | 110
            | 143
            | 443
            | 465
            | 587
            | 853
            | 993
            | 995
            | 1194
            | 1723
            | 5060
            | 5061
            | 8080
            | 8443
    )
}

/// An external host that tried ports in vain.
#[derive(Debug)]
struct Searcher {
    addr: Addr,
    ports: Vec<u16>,
    since: Timestamp,
}

/// Who comes to a device from outside.
#[derive(Debug, Default)]
struct Door {
    /// The one that was first seen last stands last.
    searchers: Vec<Searcher>,
    /// Digests of those that came straight to a port.
    visitors: Vec<(u16, Vec<u32>)>,
    /// The server for files that the device called last: data connections come back from it (RFC 959 clause 3.3).
    files: Option<Addr>,
}

impl Door {
    /// Somebody tried a port in vain.
    fn fails(&mut self, addr: Addr, port: u16, at: Timestamp) {
        self.searchers.retain(|known| at.since(known.since).as_secs() < TOGETHER);
        let place = self.searchers.iter().position(|known| known.addr == addr).unwrap_or_else(|| {
            if self.searchers.len() >= MAX_SEARCHERS {
                self.searchers.remove(0);
            }
            self.searchers.push(Searcher { addr, ports: Vec::new(), since: at });
            self.searchers.len() - 1
        });
        let ports = &mut self.searchers[place].ports;
        if ports.len() < MAX_PORTS && !ports.contains(&port) {
            ports.push(port);
        }
    }

    /// How many other ports somebody has tried in vain lately, and since when.
    fn tried(&self, addr: Addr, port: u16, at: Timestamp) -> (usize, Timestamp) {
        let is_his = |known: &&Searcher| known.addr == addr && at.since(known.since).as_secs() < TOGETHER;
        let others = |known: &Searcher| known.ports.iter().filter(|tried| **tried != port).count();
        self.searchers.iter().find(is_his).map_or((0, at), |known| (others(known), known.since.min(at)))
    }

    /// Somebody came straight to a port.
    fn visits(&mut self, addr: Addr, port: u16) {
        let place = self.visitors.iter().position(|known| known.0 == port).unwrap_or_else(|| {
            if self.visitors.len() >= MAX_PORTS {
                self.visitors.remove(0);
            }
            self.visitors.push((port, Vec::new()));
            self.visitors.len() - 1
        });
        let (known, digest) = (&mut self.visitors[place].1, addr.digest());
        if known.len() < MAX_VISITORS && !known.contains(&digest) {
            known.push(digest);
        }
    }

    fn visitors(&self, port: u16) -> usize {
        self.visitors.iter().find(|known| known.0 == port).map_or(0, |known| known.1.len())
    }
}

#[derive(Default)]
struct ExposedDevice {
    doors: PerHost<Door>,
}

impl ExposedDevice {
    fn conversation(&mut self, seen: &Seen<'_>, record: &FlowRecord, out: &mut Out<'_>) {
        let (client, server) = (&record.head.client.host, &record.head.server.host);
        let (Some(tcp), true, Some(addr)) = (&record.tcp, seen.server.is_somebody(), Addr::of(client)) else {
            return;
        };
        if !seen.site.is_external(client) || seen.site.is_external(server) {
            return;
        }
        let port = record.head.server.port;
        if matches!(tcp.state, TcpState::SynSent | TcpState::Refused) {
            self.doors.of(seen.server).fails(addr, port, record.first);
            return;
        }
        let is_told =
            services::industrial(&record.head).or_else(|| services::management(&record.head)).is_some();
        if is_told || is_public(port) || !is_accepted(record) {
            return;
        }
        let door = self.doors.of(seen.server);
        // What the device asked for itself.
        if record.head.client.port == 20 || door.files == Some(addr) {
            return;
        }
        let (tried, since) = door.tried(addr, port, record.first);
        let searches = tried as f64 >= out.limit(TRIED, server);
        let is_thing = seen.site.is_one_of(server, roles::THINGS) && !seen.site.is_one_of(server, REACHED);
        if !searches {
            door.visits(addr, port);
        }
        let is_meant = door.visitors(port) as f64 >= out.limit(VISITORS, server)
            || seen.site.is_one_of(server, roles::COMPUTERS);
        if !is_thing && (!searches || is_meant) {
            return;
        }
        let mut alarm = Alarm::about(*server)
            .since(record.first)
            .flow(record.head.id)
            .factor("accepted", client, "hosts of yours only")
            .factor("at", format_args!("tcp/{port}"), "public services");
        if searches {
            alarm = alarm.since(since).crossed(TRIED, tried as f64);
        }
        out.raise(alarm, || {
            let how = if searches { ", which was looking for open ports" } else { "" };
            format!("{server} accepted {client} in the Internet{how}, at tcp/{port}")
        });
    }
}

impl Detector for ExposedDevice {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        match seen.what {
            What::FlowIdentified(identified)
                if &*identified.protocol == "ftp" && seen.client.is_somebody() =>
            {
                self.doors.of(seen.client).files = Addr::of(&identified.flow.server.host);
            }
            What::FlowEnded(record) => self.conversation(seen, record, out),
            _ => {}
        }
    }

    fn forget(&mut self, who: Who) {
        self.doors.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{FlowIdentified, FlowRecord, Role, Transport, What};

    use super::DETECTOR;
    use crate::testing::{Story, answered, datagrams, head, opened, unanswered};

    const DEVICE: &str = "10.0.0.9";

    fn story() -> Story {
        Story::of(&DETECTOR).with_host(DEVICE)
    }

    fn from(client: &str, port: u16) -> FlowRecord {
        opened(answered(client, DEVICE, port, "dbus"))
    }

    /// Somebody outside tries a few ports in vain, and one that is open.
    fn search(story: Story) -> Story {
        let fails = |port| unanswered("203.0.113.7", DEVICE, port);
        story.flow(fails(6666)).flow(fails(22)).flow(fails(23)).flow(from("203.0.113.7", 6667))
    }

    #[test]
    fn whoever_looks_for_open_ports_and_finds_one_is_told_once() {
        let finding = search(search(story())).only();
        assert_eq!((finding.actor.to_string().as_str(), finding.count), (DEVICE, 2));
        // Who only knocks has found it as well.
        let fails = |port| unanswered("203.0.113.7", DEVICE, port);
        let mut knock = from("203.0.113.7", 6667);
        (knock.sent.payload, knock.received.payload) = (0, 0);
        assert_eq!(story().flow(fails(1)).flow(fails(2)).flow(knock).only().count, 1);
    }

    #[test]
    fn a_thing_is_told_when_anybody_outside_is_accepted() {
        let camera = || story().plays(DEVICE, Role::Camera);
        assert_eq!(camera().flow(from("203.0.113.7", 34_567)).only().count, 1);
        camera().flow(from("203.0.113.7", 443)).flow(from("10.0.0.5", 34_567)).silent();
    }

    #[test]
    fn services_that_many_use_computers_and_games_are_silent() {
        let mut many = story();
        for last in 1..9 {
            many = many.flow(from(&format!("203.0.114.{last}"), 6667));
        }
        search(many).silent();
        search(story().plays(DEVICE, Role::Workstation)).silent();
        story().plays(DEVICE, Role::Media).flow(from("203.0.113.7", 3074)).silent();
        story().flow(from("203.0.113.7", 51_413)).flow(unanswered("203.0.113.7", DEVICE, 22)).silent();
    }

    #[test]
    fn what_was_not_seen_from_the_beginning_or_was_asked_for_is_silent() {
        let camera = || story().plays(DEVICE, Role::Camera);
        camera()
            .flow(answered("203.0.113.7", DEVICE, 34_567, ""))
            .flow(datagrams("203.0.113.7", DEVICE, 34_567, 3000, 3000))
            .silent();
        let login = What::FlowIdentified(Box::new(FlowIdentified {
            flow: head(DEVICE, "203.0.113.7", 21, Transport::Tcp),
            protocol: "ftp".into(),
        }));
        camera().then(login).flow(from("203.0.113.7", 50_001)).silent();
        let mut active = from("203.0.113.8", 50_001);
        active.head.client.port = 20;
        camera().flow(active).silent();
    }

    #[test]
    fn what_was_tried_hours_ago_is_forgotten() {
        let fails = |port| unanswered("203.0.113.7", DEVICE, port);
        story().flow(fails(1)).flow(fails(2)).wait(3700).flow(from("203.0.113.7", 6667)).silent();
    }
}
