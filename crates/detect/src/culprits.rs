//! Who was found to attack, and what for: with that known, what the same host did before and does after reads otherwise.

use std::collections::BTreeMap;

use model::{Finding, FindingId, Host, Name, Severity, Timestamp};

use crate::attack::{Tactic, technique};
use crate::detectors::{DETECTORS, LEARNING, STORIES};
use crate::hosts::Addr;
use crate::incident::is_open;
use crate::rule::Kind;

/// So many are held; the one who was quiet for longest goes first.
pub(crate) const MAX_CULPRITS: usize = 4096;
/// So many of one's victims are remembered.
const MAX_VICTIMS: usize = 16;

/// Detectors whose findings say that a host can be reached, not that it does something.
const EXPOSED: &[&str] = &["remote-access"];
/// Detectors of those who tell others whom to ask for names.
const REDIRECTING: &[&str] = &["rogue-dhcp"];

/// A finding to which others lead, or from which they follow.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The finding.
    pub finding: FindingId,
    /// Its title.
    pub title: Name,
    /// When it was raised.
    pub raised: Timestamp,
}

/// Somebody of whom an open finding of high severity or worse says that it attacks.
#[derive(Debug)]
pub struct Culprit {
    host: Host,
    cause: Cause,
    /// The finding that says that it tells others to ask it for names.
    redirects: Option<Cause>,
    /// When it was last found to attack.
    last: Timestamp,
    victims: Vec<Addr>,
}

impl Culprit {
    /// What it is known for: the first such finding.
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Whether it was found to attack this one.
    pub fn attacked(&self, host: &Host) -> bool {
        Addr::of(host).is_some_and(|addr| self.victims.contains(&addr))
    }
}

/// Those who were found to attack.
#[derive(Default)]
pub(crate) struct Culprits {
    known: BTreeMap<Addr, Culprit>,
}

/// Whether nobody has said that a finding is a mistake or meant to be.
fn stands(finding: &Finding) -> bool {
    !finding.is_silenced()
}

/// Whether a finding says of its actor that it does something bad: that something is unusual, weak or open says
/// nothing of the kind, and neither does what was only told because of another finding.
fn is_act(finding: &Finding) -> bool {
    let id = &&*finding.detector;
    let rule = DETECTORS.iter().find(|rule| rule.id == *id);
    stands(finding)
        && ![LEARNING, STORIES, EXPOSED].iter().any(|others| others.contains(id))
        && rule.is_some_and(|rule| !rule.listens.contains(&Kind::Weakness))
}

/// Whether a finding makes its actor a culprit.
pub(crate) fn is_attack(finding: &Finding) -> bool {
    finding.severity >= Severity::High && is_act(finding)
}

/// Whether a finding says that something was taken out of the network.
pub(crate) fn is_theft(finding: &Finding) -> bool {
    let rule = DETECTORS.iter().find(|rule| rule.id == finding.detector);
    let mut tactics = rule
        .into_iter()
        .flat_map(|rule| rule.attack)
        .filter_map(|id| technique(id))
        .map(|known| known.tactic);
    finding.severity >= Severity::Medium && is_act(finding) && tactics.any(|one| one == Tactic::Exfiltration)
}

impl Culprits {
    /// Takes note of a finding that is new, seen again, or known from before.
    pub(crate) fn take(&mut self, finding: &Finding) {
        let Some(addr) = Addr::of(&finding.actor.host).filter(|_| is_attack(finding)) else { return };
        if self.known.len() >= MAX_CULPRITS
            && !self.known.contains_key(&addr)
            && let Some(quiet) = self.known.iter().min_by_key(|(addr, known)| (known.last, **addr))
        {
            let quiet = *quiet.0;
            self.known.remove(&quiet);
        }
        let make = || Cause { finding: finding.id, title: finding.title.clone(), raised: finding.raised };
        let fresh = || Culprit {
            host: finding.actor.host,
            cause: make(),
            redirects: None,
            last: finding.last,
            victims: Vec::new(),
        };
        let culprit = self.known.entry(addr).or_insert_with(fresh);
        if !is_open(culprit.last, finding.last) {
            // What it was known for is over: this is another attack.
            *culprit = fresh();
        } else if finding.raised < culprit.cause.raised {
            culprit.cause = make();
        }
        culprit.last = culprit.last.max(finding.last);
        if culprit.redirects.is_none() && REDIRECTING.contains(&&*finding.detector) {
            culprit.redirects = Some(make());
        }
        let victim = finding.victim.and_then(|victim| Addr::of(&victim.host));
        if let Some(victim) = victim
            && culprit.victims.len() < MAX_VICTIMS
            && !culprit.victims.contains(&victim)
        {
            culprit.victims.push(victim);
        }
    }

    /// Somebody's findings were judged: what is left of them counts.
    pub(crate) fn judge<'a>(&mut self, addr: Addr, findings: impl Iterator<Item = &'a Finding>) {
        if self.known.remove(&addr).is_none() && self.known.len() >= MAX_CULPRITS {
            return;
        }
        let mut own: Vec<_> =
            findings.filter(|finding| Addr::of(&finding.actor.host) == Some(addr)).collect();
        own.sort_unstable_by_key(|finding| (finding.raised, finding.id));
        own.into_iter().for_each(|finding| self.take(finding));
    }

    pub(crate) fn are_there(&self) -> bool {
        !self.known.is_empty()
    }

    /// What is known against a host now.
    pub(crate) fn get(&self, host: &Host, now: Timestamp) -> Option<&Culprit> {
        self.known.get(&Addr::of(host)?).filter(|culprit| is_open(culprit.last, now))
    }

    /// Why those who ask a host for names may have been told so by it.
    pub(crate) fn redirecting(&self, host: &Host, now: Timestamp) -> Option<&Cause> {
        let culprit = self.get(host, now)?;
        culprit.redirects.as_ref().filter(|_| culprit.host.ip == host.ip)
    }
}

#[cfg(test)]
mod tests {
    use model::{Judgement, Party, Scope, Slice, Verdict};

    use super::*;
    use crate::incident::QUIET_HOURS;

    fn finding(detector: &'static str, number: u32, hours: u64) -> Finding {
        let at = Timestamp::from_secs(hours * 3600);
        let actor = Host::from_ip(std::net::Ipv4Addr::from_bits(0x0a00_0001 + (number << 8)).into());
        Finding {
            id: FindingId::from_digest(u64::from(number)),
            detector: detector.into(),
            severity: Severity::High,
            title: "".into(),
            summary: "".into(),
            actor: Party { device: None, host: actor },
            victim: None,
            matter: "".into(),
            first: at,
            raised: at,
            last: at,
            count: 1,
            crossed: None,
            factors: Vec::new(),
            conversations: Vec::new(),
            evidence: Slice::Open,
            incident: None,
            because: Vec::new(),
            judgement: None,
        }
    }

    #[test]
    fn an_attack_makes_a_culprit_and_what_is_unusual_weak_or_open_does_not() {
        let at = Timestamp::from_secs(3600);
        let is_culprit = |finding: &Finding| {
            let mut culprits = Culprits::default();
            culprits.take(finding);
            culprits.get(&finding.actor.host, at).is_some()
        };
        assert!(is_culprit(&finding("controller-stop", 1, 1)));
        let less = Finding { severity: Severity::Medium, ..finding("controller-stop", 1, 1) };
        assert!(!is_culprit(&less));
        let others = ["behaviour", "remote-access", "default-credentials", "lead-up", "follow-up"];
        assert!(others.iter().all(|detector| !is_culprit(&finding(detector, 1, 1))));
        let theft = Finding { severity: Severity::Medium, ..finding("outbound-transfer", 1, 1) };
        assert!(is_theft(&theft) && !is_attack(&theft));
    }

    #[test]
    fn a_culprit_is_known_for_the_first_finding_until_it_is_judged_or_long_ago() {
        let mut culprits = Culprits::default();
        let mut first = finding("controller-stop", 1, 1);
        let second = Finding { id: FindingId::from_digest(99), ..finding("program-download", 1, 2) };
        // After a restart they come in another order.
        culprits.take(&second);
        culprits.take(&first);
        let host = first.actor.host;
        let at = |hours| Timestamp::from_secs(hours * 3600);
        assert_eq!(culprits.get(&host, at(3)).map(|known| known.cause().finding), Some(first.id));
        assert!(culprits.get(&host, at(2 + QUIET_HOURS)).is_none());
        first.judgement = Some(Judgement {
            verdict: Verdict::False,
            scope: Scope::Finding,
            reason: "".into(),
            by: None,
            declared: false,
        });
        let addr = Addr::of(&host).unwrap();
        culprits.judge(addr, [&first, &second].into_iter());
        assert_eq!(culprits.get(&host, at(3)).map(|known| known.cause().finding), Some(second.id));
        culprits.judge(addr, [&first].into_iter());
        assert!(!culprits.are_there());
    }

    #[test]
    fn those_who_were_quiet_for_longest_make_room() {
        let mut culprits = Culprits::default();
        for number in 0..=MAX_CULPRITS as u32 {
            culprits.take(&finding("controller-stop", number, 1 + u64::from(number.min(1))));
        }
        assert_eq!(culprits.known.len(), MAX_CULPRITS);
        let at = Timestamp::from_secs(5 * 3600);
        assert!(culprits.get(&finding("", 0, 0).actor.host, at).is_none());
    }
}
