//! Somebody guesses passwords: see [`DETECTOR`].

use std::time::Duration;

use model::{EndReason, FlowId, FlowRecord, Host, Name, OperationKind, Outcome, Severity, Timestamp, What};

use super::few::Few;
use crate::hosts::{Addr, PerHost, Who};
use crate::judge::{Alarm, Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds hosts that guess passwords of a service.
pub(super) const DETECTOR: Rule = Rule {
    id: "brute-force",
    title: "Password guessing",
    severity: Severity::High,
    attack: &["T1110.001", "T1110"],
    finds: "A host is refused by a service again and again, quicker than people type. Where logins are encrypted (SSH, \
            Remote Desktop, VNC), many short conversations of one size are counted instead. If it is let in after \
            that, the password was guessed.",
    matters: "Cameras, routers and controllers mostly fall to guessed passwords; worms try a list within seconds.",
    fix: "Take the host that guesses off the network, or find out which of its programs has an old password. Give the \
          service another password, and let it lock out whoever fails. If a password was guessed, look at the victim \
          as broken into.",
    thresholds: &[
        Threshold {
            name: "failures",
            about: "logins refused by one service, of which one is forgiven every half minute",
            unit: "logins",
            usual: 8.0,
        },
        Threshold {
            name: "conversations",
            about: "short encrypted conversations with one service, of which one is forgiven every half minute",
            unit: "conversations",
            usual: 20.0,
        },
    ],
    listens: &[Kind::Operation, Kind::Ended],
    keeps: "the last 32 services that refused each watched host, with 16 conversations of each, and 4 victims",
    start: || Box::<BruteForce>::default(),
};

const FAILURES: usize = 0;
const CONVERSATIONS: usize = 1;

/// So many services are remembered for each host.
const MAX_SERVICES: usize = 32;
/// So many conversations are remembered for each.
const MAX_SHOWN: usize = 16;

/// One failure is forgiven after so long. A program with an old password that asks every half minute or slower is not
/// told; nobody guesses that slowly from one host against one service.
const FORGIVEN: Duration = Duration::from_secs(30);

/// Login conversations have at most so many packets from the client. Hellemans et al., "SSHCure: A Flow-Based SSH
/// Intrusion Detection System" (AIMS 2012), found 11 to 51 while passwords are guessed; whoever got in and works needs
/// more, whoever runs one command needs about 30.
const LOGIN_PACKETS: u64 = 25;
/// And last at most so long.
const LOGIN_TIME: Duration = Duration::from_secs(30);
/// Protocols that encrypt their logins.
const ENCRYPTED: [&str; 3] = ["ssh", "rdp", "rfb"];

#[derive(Debug)]
struct Service {
    server: Addr,
    port: u16,
    protocol: Name,
    /// Failures that are not forgiven.
    balance: f64,
    failed: u32,
    since: Timestamp,
    last: Timestamp,
    shown: Vec<FlowId>,
}

impl Service {
    /// One more failure; how many are not forgiven.
    fn fails(&mut self, at: Timestamp, flow: FlowId) -> f64 {
        let forgiven = at.since(self.last).as_secs_f64() / FORGIVEN.as_secs_f64();
        self.balance = (self.balance - forgiven).max(0.0);
        if self.balance == 0.0 {
            (self.failed, self.since) = (0, at);
            self.shown.clear();
        }
        self.balance += 1.0;
        self.failed += 1;
        self.last = at;
        if self.shown.len() < MAX_SHOWN && !self.shown.contains(&flow) {
            self.shown.push(flow);
        }
        self.balance
    }
}

#[derive(Debug, Default)]
struct Guesser {
    /// The one that refused last stands last.
    services: Vec<Service>,
    few: Few,
}

impl Guesser {
    fn service(&mut self, server: Addr, port: u16, protocol: &Name) -> &mut Service {
        let known = |service: &Service| {
            service.server == server && service.port == port && service.protocol == *protocol
        };
        let service = match self.services.iter().position(known) {
            Some(place) => self.services.remove(place),
            None => {
                if self.services.len() >= MAX_SERVICES {
                    self.services.remove(0);
                }
                let protocol = protocol.clone();
                let (since, last) = (Timestamp::EPOCH, Timestamp::EPOCH);
                Service { server, port, protocol, balance: 0.0, failed: 0, since, last, shown: Vec::new() }
            }
        };
        let place = self.services.len();
        self.services.push(service);
        &mut self.services[place]
    }
}

#[derive(Default)]
struct BruteForce {
    guessers: PerHost<Guesser>,
}

/// What became of one attempt.
struct Attempt<'a> {
    who: Who,
    client: &'a Host,
    server: &'a Host,
    port: u16,
    protocol: &'a Name,
    flow: FlowId,
    at: Timestamp,
    threshold: usize,
    /// Whether the client got in.
    is_in: bool,
}

impl BruteForce {
    fn attempt(&mut self, attempt: Attempt<'_>, out: &mut Out<'_>) {
        let Attempt { who, client, server, port, protocol, flow, at, threshold, is_in } = attempt;
        let (true, Some(addr)) = (who.is_somebody(), Addr::of(server)) else { return };
        if is_in && self.guessers.get(who).is_none() {
            return;
        }
        let guesser = self.guessers.of(who);
        let service = guesser.service(addr, port, protocol);
        let limit = out.limit(threshold, client);
        let was_guessing = service.balance >= limit && at.since(service.last) < FORGIVEN * limit as u32;
        let balance = if is_in { std::mem::take(&mut service.balance) } else { service.fails(at, flow) };
        // Whoever knows the password after a few mistakes is no guesser.
        if balance < limit || is_in && !was_guessing {
            return;
        }
        let (failed, since) = (service.failed, service.since);
        let seconds = at.since(since).as_secs_f64();
        let shown = service.shown.clone();
        let is_named = guesser.few.names(addr.digest());
        let what = if threshold == FAILURES { "logins that were refused" } else { "short conversations" };
        let matter = format!("{protocol}:{port}");
        let mut alarm = Alarm::about(*client)
            .matter(if is_named { &matter } else { protocol })
            .since(since)
            .flows(&shown)
            .flow(flow)
            .crossed(threshold, balance)
            .factor(what, failed, "one or two")
            .factor("within", format_args!("{seconds:.0} s"), "does not matter");
        if is_named {
            alarm = alarm.to(*server);
        }
        if is_in {
            alarm = alarm.severity(Severity::Critical);
        }
        out.raise(alarm, || {
            let end = if is_in { ", and was then let in: the password was guessed" } else { "" };
            format!(
                "{client} tried to log in to {server} by {protocol} {failed} times within {seconds:.0} s{end}"
            )
        });
    }
}

/// Whether a conversation is as short as a login that fails. `None` if it tells nothing.
fn is_short(record: &FlowRecord) -> Option<bool> {
    let spoke = record.sent.payload > 0 && record.received.payload > 0;
    let is_short = record.sent.packets <= LOGIN_PACKETS && record.duration() <= LOGIN_TIME;
    (spoke && record.end != EndReason::Active || !is_short).then_some(is_short)
}

impl Detector for BruteForce {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        match seen.what {
            // Passwords of controllers are another detector's.
            What::Operation(operation)
                if operation.kind == OperationKind::Authenticate && !is_industrial(&operation.protocol) =>
            {
                let is_in = match operation.outcome {
                    Outcome::Done => true,
                    Outcome::Refused => false,
                    Outcome::Asked => return,
                };
                let asked = seen.asked(operation);
                let attempt = Attempt {
                    who: asked.who,
                    client: &asked.asker.host,
                    server: &asked.asked.host,
                    port: asked.asked.port,
                    protocol: &operation.protocol,
                    flow: operation.flow.id,
                    at: seen.at,
                    threshold: FAILURES,
                    is_in,
                };
                self.attempt(attempt, out);
            }
            What::FlowEnded(record) => {
                let Some(protocol) = record.protocol.as_ref().filter(|name| ENCRYPTED.contains(&&***name))
                else {
                    return;
                };
                let Some(is_short) = is_short(record) else { return };
                let attempt = Attempt {
                    who: seen.client,
                    client: &record.head.client.host,
                    server: &record.head.server.host,
                    port: record.head.server.port,
                    protocol,
                    flow: record.head.id,
                    at: seen.at,
                    threshold: CONVERSATIONS,
                    is_in: !is_short,
                };
                self.attempt(attempt, out);
            }
            _ => {}
        }
    }

    fn forget(&mut self, who: Who) {
        self.guessers.forget(who);
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome, Severity};

    use super::DETECTOR;
    use crate::testing::{On, Story, answered, operation};

    fn login(story: Story, server: &str, outcome: Outcome) -> Story {
        let login = operation("10.0.0.5", server, "telnet", OperationKind::Authenticate, "login", outcome);
        story.wait(2).asks(login.at_port(23))
    }

    #[test]
    fn a_guessed_password_is_worse_than_guessing() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        for _ in 0..12 {
            story = login(story, "10.0.0.9", Outcome::Refused);
        }
        assert_eq!(story.only().severity, Severity::High);
        let finding = login(story, "10.0.0.9", Outcome::Done).only();
        assert_eq!(finding.severity, Severity::Critical);
        assert!(finding.summary.contains("guessed"), "{}", finding.summary);
    }

    #[test]
    fn a_worm_gives_few_findings() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5");
        for last in 10..40 {
            for _ in 0..10 {
                story = login(story, &format!("10.0.0.{last}"), Outcome::Refused);
            }
        }
        assert_eq!(story.findings().len(), 5);
    }

    #[test]
    fn mistyped_passwords_expired_nonces_and_old_passwords_are_silent() {
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        for _ in 0..50 {
            story = login(story.wait(5), "10.0.0.9", Outcome::Refused);
            story = login(story, "10.0.0.9", Outcome::Refused);
            story = login(story, "10.0.0.9", Outcome::Done);
            // A recorder that was not told the new password.
            story = login(story.wait(30), "10.0.0.10", Outcome::Refused);
        }
        story.silent();
    }

    #[test]
    fn ssh_is_judged_by_the_shape_of_its_conversations() {
        let ssh = |packets, seconds| {
            let mut record = answered("10.0.0.5", "10.0.0.9", 22, "ssh");
            record.sent.packets = packets;
            record.last = record.first + std::time::Duration::from_secs(seconds);
            record
        };
        let mut work = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        for _ in 0..60 {
            // Somebody works there, and a monitor looks in every minute.
            work = work.wait(1).flow(ssh(400, 600)).wait(59).flow(ssh(14, 1));
        }
        work.silent();
        let mut attack = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        for _ in 0..60 {
            attack = attack.wait(3).flow(ssh(14, 3));
        }
        assert_eq!(attack.only().matter.as_ref(), "ssh:22");
    }
}
