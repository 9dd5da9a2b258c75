//! A device calls somebody outside who does not answer, again and again: see [`DETECTOR`].

use std::collections::VecDeque;

use model::{FlowId, Severity, TcpState, Timestamp, What};

use super::roles;
use crate::hosts::{Addr, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds bots that look for their master.
pub(super) const DETECTOR: Rule = Rule {
    id: "unanswered-calls",
    title: "Calls for a master who does not answer",
    severity: Severity::Medium,
    attack: &["T1095", "T1571", "T0869"],
    finds: "A device on which nobody works tries to connect to one TCP port of an external host at least fifty times \
            within an hour, gets no answer, and goes on for longer than that without waiting any longer between its \
            attempts. Ports at which makers run their services (web, MQTT, push messages, mail) are left out.",
    matters: "Programs that are meant to last wait longer after each failure (exponential back-off). Bots do not: Mirai \
              tries again every one to ten seconds, for as long as it lives, when its master has been shut down.",
    fix: "Find out what the address belongs to. If it is not the maker's, take the device off the network and set it up \
          anew with current firmware and another password. If it is, ask the maker why it does not answer.",
    thresholds: &[
        Threshold {
            name: "attempts",
            about: "attempts to connect without an answer within an hour",
            unit: "attempts",
            usual: 50.0,
        },
        Threshold {
            name: "lasting",
            about: "for so long the attempts go on at least",
            unit: "s",
            usual: 600.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "the attempts of the last hour, by quarters, of the 4096 pairs of a device and a service that failed last",
    start: || Box::new(UnansweredCalls { services: Table::new(MAX_SERVICES) }),
};

const ATTEMPTS: usize = 0;
const LASTING: usize = 1;

const MAX_SERVICES: usize = 4096;
const MAX_SHOWN: usize = 16;
/// Attempts are counted in spans of so many seconds; the last four of them are looked at.
const SPAN: u64 = 900;
const SPANS: usize = 4;
/// The latest attempts whose pauses are compared with those between all.
const RECENT: usize = 9;
/// Whoever waits ever longer has waited so many times longer lately.
const BACKED_OFF: f64 = 2.0;

/// Ports at which services for devices are offered, by the registry of IANA: web, mail, time over TLS, MQTT, AMQP, CoAP,
/// XMPP, and the push services of Apple and Google. Services come and go, and devices outlive them.
const OFFERED: [u16; 20] = [
    25, 53, 80, 110, 143, 443, 465, 587, 853, 993, 995, 1883, 4460, 5222, 5223, 5228, 5671, 5684, 8080, 8883,
];

struct Calls {
    /// When the first attempt was made, and the last.
    since: Timestamp,
    last: Timestamp,
    /// The span that goes on, and the attempts in it and in those before.
    span: u64,
    failed: [u32; SPANS],
    /// All attempts, and when the latest were made.
    all: u32,
    recent: VecDeque<Timestamp>,
    shown: Vec<FlowId>,
}

impl Calls {
    fn new(at: Timestamp) -> Self {
        let (span, failed) = (at.as_secs() / SPAN, [0; SPANS]);
        Self { since: at, last: at, span, failed, all: 0, recent: VecDeque::new(), shown: Vec::new() }
    }

    fn fail(&mut self, at: Timestamp, flow: FlowId) {
        let span = at.as_secs() / SPAN;
        let gone = span.saturating_sub(self.span).min(SPANS as u64) as usize;
        if gone > 0 {
            self.failed.rotate_right(gone);
            self.failed[..gone].fill(0);
            self.span = span;
        }
        self.failed[0] += 1;
        self.last = self.last.max(at);
        self.all = self.all.saturating_add(1);
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(flow);
        }
    }

    /// The attempts of the last hour.
    fn lately(&self) -> f64 {
        self.failed.iter().map(|count| f64::from(*count)).sum()
    }

    /// Whether it waits longer and longer: between the latest attempts much longer than between all of them.
    fn backs_off(&self) -> bool {
        let pause = |from: Timestamp, attempts: f64| self.last.since(from).as_secs_f64() / attempts.max(1.0);
        let recent = self.recent.front().map_or(0.0, |first| pause(*first, self.recent.len() as f64 - 1.0));
        recent > BACKED_OFF * pause(self.since, f64::from(self.all) - 1.0)
    }
}

struct UnansweredCalls {
    services: Table<(Who, Addr, u16), Calls>,
}

impl Detector for UnansweredCalls {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (client, server) = (&record.head.client.host, &record.head.server);
        let Some(tcp) = record.tcp.filter(|_| seen.client.is_somebody()) else { return };
        if !matches!(tcp.state, TcpState::SynSent | TcpState::Refused) || OFFERED.contains(&server.port) {
            return;
        }
        let site = seen.site;
        if !site.is_external(&server.host)
            || site.is_external(client)
            || site.is_one_of(client, roles::COMPUTERS)
        {
            return;
        }
        let Some(addr) = Addr::of(&server.host) else { return };
        let at = record.first;
        let key = (seen.client, addr, server.port);
        let (calls, _) = self.services.entry(key, || Calls::new(at));
        // After a pause of an hour it is another matter.
        if at.since(calls.last).as_secs() >= SPAN * SPANS as u64 {
            *calls = Calls::new(at);
        }
        calls.fail(at, record.head.id);
        let (count, lasted) = (calls.lately(), at.since(calls.since));
        if count < out.limit(ATTEMPTS, client)
            || lasted.as_secs_f64() < out.limit(LASTING, client)
            || calls.backs_off()
        {
            return;
        }
        let matter = server.port.to_string();
        let alarm = Alarm::about(*client)
            .to(server.host)
            .matter(&matter)
            .since(calls.since)
            .flows(&calls.shown)
            .flow(record.head.id)
            .crossed(ATTEMPTS, count)
            .factor("attempts within an hour", count, "a handful, ever more seldom");
        let minutes = lasted.as_secs() / 60;
        out.raise(alarm, || {
            format!("{client} has tried for {minutes} minutes to reach {server}, which does not answer, {count:.0} times in the last hour")
        });
    }

    fn forget(&mut self, who: Who) {
        for ((client, ..), calls) in self.services.iter_mut() {
            if *client == who {
                *calls = Calls::new(Timestamp::EPOCH);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Role;

    use super::DETECTOR;
    use crate::testing::{Story, answered, unanswered};

    #[test]
    fn a_bot_without_a_master_is_told_once() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for number in 0..2000 {
            story = story.wait(2 + number % 7).flow(unanswered("10.0.0.5", "203.0.113.66", 48_101));
            if number % 9 == 0 {
                story = story.flow(answered("10.0.0.5", "203.0.113.66", 48_101, "irc"));
            }
        }
        let finding = story.only();
        assert_eq!(finding.victim.unwrap().to_string(), "203.0.113.66");
        assert!(finding.last.since(finding.first).as_secs() > 5000, "from the first attempt on");
        assert!((600..900).contains(&finding.raised.since(finding.first).as_secs()));
    }

    #[test]
    fn who_waits_ever_longer_and_who_calls_its_maker_is_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.6");
        story = story.plays("10.0.0.6", Role::Workstation);
        let mut pause = 1;
        for number in 0..1000_u64 {
            // Twice as long after each eight attempts, and at most an hour.
            if number % 8 == 7 {
                pause = (pause * 2).min(3600);
            }
            story = story.wait(pause).flow(unanswered("10.0.0.5", "203.0.113.1", 6668));
        }
        for _ in 0..1000 {
            story = story
                .wait(5)
                .flow(unanswered("10.0.0.5", "203.0.113.2", 8883))
                .flow(unanswered("10.0.0.5", "10.0.0.9", 9100))
                .flow(unanswered("10.0.0.6", "203.0.113.3", 6668));
        }
        story.silent();
    }

    #[test]
    fn a_short_outage_is_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for _ in 0..90 {
            story = story.wait(5).flow(unanswered("10.0.0.5", "203.0.113.1", 6668));
        }
        story.silent();
    }
}
