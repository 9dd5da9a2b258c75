//! First contacts and how they end: what tells scanners from everybody else.
//!
//! Whoever knows whom he wants to talk to is nearly always answered; whoever guesses is not. This is the sequential
//! test of Jung, Paxson, Berger and Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing" (IEEE
//! Symposium on Security and Privacy, 2004): each first contact moves a likelihood ratio, and neither the time between
//! contacts nor their number matters, so that slow scans are found like quick ones. With their probabilities of
//! success, 0.8 for everybody and 0.2 for scanners, a failure weighs as much as a success, only the other way: the
//! logarithm of the ratio counts failures minus successes.

use std::collections::VecDeque;
use std::time::Duration;

use model::{FlowHead, FlowId, FlowRecord, Side, TcpFlags, TcpState, Timestamp, Transport};

use crate::rule::Threshold;

/// Whoever is there has answered within this time: half of that after which a sender takes its question for lost and asks
/// again (RFC 6298, rule 2.1; RFC 4861, section 10).
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// After so long it is known whether a question was answered, by the end of the conversation.
const ENDED: Duration = Duration::from_secs(6);
/// So many questions of a host are remembered while they wait for answers.
const ASKED: usize = 64;
/// So many ports are remembered at which a host was answered.
const PORTS: usize = 16;

/// How the balance comes down by itself, for who now and then tries in vain.
pub(super) const FORGIVEN_EVERY: Threshold = Threshold {
    name: "forgiven-every",
    about: "one failure is forgiven after so long",
    unit: "s",
    usual: 6.0 * 3600.0,
};

/// So many of the latest contacts of a host are remembered as known.
const KNOWN: usize = 256;
/// So many conversations are remembered as evidence until there is enough of it.
const SHOWN: usize = 16;

/// How a contact ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// Somebody answered and something was said.
    Answered,
    /// Nobody answered, the port was closed, or it was only knocked at.
    Failed,
}

impl Contact {
    /// How a conversation ended, if it tells anything: one that began and was seen from its beginning.
    pub(super) fn of(record: &FlowRecord) -> Option<Self> {
        match (&record.tcp, record.head.transport) {
            (Some(tcp), _) => match tcp.state {
                TcpState::Midstream => None,
                TcpState::SynSent | TcpState::Refused => Some(Self::Failed),
                // Open, and nobody had anything to say: whoever wanted to know has learnt it. If its beginning was not
                // seen, this is only its end.
                _ if record.sent.payload == 0 && record.received.payload == 0 => {
                    tcp.flags[Side::Client.index()].has(TcpFlags::SYN).then_some(Self::Failed)
                }
                _ => Some(Self::Answered),
            },
            (None, Transport::Udp | Transport::Icmp | Transport::Icmpv6) => {
                Some(if record.received.packets > 0 { Self::Answered } else { Self::Failed })
            }
            _ => None,
        }
    }
}

/// Whether a server accepted a TCP connection that was seen from its beginning, even if nothing was said then: its port
/// is open.
pub(super) fn is_accepted(record: &FlowRecord) -> bool {
    record.tcp.as_ref().is_some_and(|tcp| {
        let [client, server] = tcp.flags;
        client.has(TcpFlags::SYN) && server.has(TcpFlags::SYN | TcpFlags::ACK)
    })
}

/// The first contacts of one host.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    /// Digests of those that were contacted before, the latest last.
    known: VecDeque<u32>,
    /// Failures minus successes, not below nothing.
    balance: f64,
    /// Failed contacts since the balance was nothing.
    pub(super) failed: u32,
    /// The first of them.
    pub(super) since: Timestamp,
    last: Timestamp,
    /// Conversations that failed.
    pub(super) shown: Vec<FlowId>,
    /// Whom it asked, by what, when, and who was not heard of since; the latest last.
    asked: VecDeque<Asked>,
    /// Ports at which it was answered, the latest last.
    ports: Vec<u16>,
    /// Whether questions that wait for too long were told since the balance was nothing.
    is_told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    digest: u32,
    port: u16,
    at: Timestamp,
    flow: FlowId,
}

/// Contacts that failed, and questions that have waited for too long for an answer.
#[derive(Clone, Debug)]
pub(super) struct Failures {
    /// Failures minus successes, as if none of the questions were answered any more.
    pub(super) balance: f64,
    /// How many failed since the balance was nothing.
    pub(super) failed: u32,
    /// When the first and the last of them began.
    pub(super) since: Timestamp,
    pub(super) last: Timestamp,
    /// Conversations that failed.
    pub(super) shown: Vec<FlowId>,
}

impl Failures {
    /// How much time lies between two of them, in seconds, on average.
    pub(super) fn pace(&self) -> f64 {
        self.last.since(self.since).as_secs_f64() / f64::from(self.failed.max(2) - 1)
    }
}

impl Contacts {
    /// Takes a contact with whatever the digest stands for; failures minus successes if it was a first contact that
    /// failed. One failure is forgiven each `forgiven_every` seconds.
    pub(super) fn take(
        &mut self,
        digest: u32,
        contact: Contact,
        record: &FlowRecord,
        forgiven_every: f64,
    ) -> Option<f64> {
        self.answered(record.head.id);
        let port = record.head.server.port;
        if contact == Contact::Answered && !self.ports.contains(&port) {
            if self.ports.len() >= PORTS {
                self.ports.remove(0);
            }
            self.ports.push(port);
        }
        let when = (record.first, record.last);
        self.take_at(digest, contact, when, record.head.id, forgiven_every)
    }

    /// Takes a question for a conversation with whatever the digest stands for. What has failed, if with the questions that
    /// have waited for too long it comes to `limit`, once until all is forgiven: whoever looks for others quickly need not
    /// be waited for. Not where the host was answered at that port before: there it is cut off rather than curious.
    pub(super) fn ask(
        &mut self,
        digest: u32,
        head: &FlowHead,
        at: Timestamp,
        limit: f64,
    ) -> Option<Failures> {
        let port = head.server.port;
        if self.is_told || self.known.contains(&digest) || self.ports.contains(&port) {
            return None;
        }
        while self.asked.front().is_some_and(|first| at.since(first.at) >= ENDED) {
            self.asked.pop_front();
        }
        if self.asked.iter().any(|known| known.digest == digest) {
            return None;
        }
        if self.asked.len() >= ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { digest, port, at, flow: head.id });
        let is_late = |one: &&Asked| at.since(one.at) >= PATIENCE && !self.ports.contains(&one.port);
        let late: Vec<_> = self.asked.iter().filter(is_late).copied().collect();
        let balance = self.balance + late.len() as f64;
        let (first, last) = (late.first()?, late.last()?);
        if balance < limit {
            return None;
        }
        self.is_told = true;
        let (failed, since) = if self.balance > 0.0 { (self.failed, self.since) } else { (0, first.at) };
        let shown = self.shown.iter().copied().chain(late.iter().map(|one| one.flow)).take(SHOWN).collect();
        Some(Failures { balance, failed: failed + late.len() as u32, since, last: last.at, shown })
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, flow: FlowId) {
        self.asked.retain(|one| one.flow != flow);
    }

    /// The same for a contact that began and ended so, in a conversation.
    pub(super) fn take_at(
        &mut self,
        digest: u32,
        contact: Contact,
        (first, last): (Timestamp, Timestamp),
        flow: FlowId,
        forgiven_every: f64,
    ) -> Option<f64> {
        if self.known.contains(&digest) {
            return None;
        }
        if self.known.len() >= KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(digest);
        let passed = last.since(self.last).as_secs_f64();
        self.last = self.last.max(last);
        self.balance = (self.balance - passed / forgiven_every).max(0.0);
        match contact {
            Contact::Answered => {
                self.balance = (self.balance - 1.0).max(0.0);
                None
            }
            Contact::Failed => {
                if self.balance == 0.0 {
                    (self.failed, self.since, self.is_told) = (0, first, false);
                    self.shown.clear();
                }
                self.balance += 1.0;
                self.failed += 1;
                if self.shown.len() < SHOWN {
                    self.shown.push(flow);
                }
                Some(self.balance)
            }
        }
    }

    /// What has failed since the balance was nothing.
    pub(super) fn failures(&self) -> Failures {
        let Self { balance, failed, since, last, .. } = *self;
        Failures { balance, failed, since, last, shown: self.shown.clone() }
    }

    /// How much time lies between two failed contacts, in seconds, on average.
    pub(super) fn pace(&self) -> f64 {
        self.last.since(self.since).as_secs_f64() / f64::from(self.failed.max(2) - 1)
    }
}
