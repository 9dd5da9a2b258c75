use std::collections::BTreeMap;

use model::{Severity, Slice, Verdict};
use proptest::prelude::*;

use super::*;

/// Findings by their number, as somebody else holds them.
#[derive(Default)]
struct Held(BTreeMap<FindingId, Standing>);

impl Site for Held {
    fn standing(&self, finding: FindingId) -> Option<Standing> {
        self.0.get(&finding).copied()
    }

    fn is_external(&self, host: &Host) -> bool {
        host.ip.is_some_and(|ip| ip.to_string().starts_with("198."))
    }
}

fn id(number: u64) -> FindingId {
    FindingId::from_digest(number)
}

fn device(number: u64) -> DeviceId {
    format!("d{number:012x}").parse().unwrap()
}

const fn hours(hours: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + hours * 3_600)
}

fn finding(number: u64, who: u64, detector: &str, severity: Severity, at: Timestamp) -> Finding {
    let host = Host::from_ip("10.0.0.9".parse().unwrap());
    Finding {
        id: id(number),
        detector: detector.to_owned().into(),
        severity,
        title: "Something".into(),
        summary: "it did something".into(),
        actor: Party { device: Some(device(who)), host },
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

fn raised(finding: Finding) -> Event {
    Event {
        at: finding.raised,
        device: finding.actor.device,
        change: Change::FindingRaised { finding: finding.into() },
    }
}

/// Trust with what it has told, and those it asks.
#[derive(Default)]
struct Story {
    posture: Posture,
    held: Held,
    told: Vec<(u64, Access, Access)>,
}

impl Story {
    fn at(&mut self, at: Timestamp, mut events: Vec<Event>) {
        for event in &events {
            if let Change::FindingRaised { finding } = &event.change {
                self.held.0.insert(finding.id, Standing::from(&**finding));
            }
        }
        self.posture.observe(at, 0, &mut events, &self.held);
        self.hear(at, &events);
    }

    fn hear(&mut self, at: Timestamp, events: &[Event]) {
        for event in events {
            if let Change::TrustChanged { from, to, reasons } = &event.change {
                assert_eq!(reasons.is_empty(), *to == Access::Full, "{reasons:?}");
                assert!(event.at == at && event.device.is_some());
                self.told.push((at.since(hours(0)).as_secs() / 3_600, *from, *to));
            }
        }
    }

    fn says(&mut self, at: Timestamp, source: &str, state: State, expires: Option<Timestamp>) {
        let said =
            Statement { device: device(1), state, source: source.into(), reason: "so".into(), at, expires };
        let mut events = Vec::new();
        self.posture.state(at, said, &mut events, &self.held);
        self.hear(at, &events);
    }

    fn judge(&mut self, at: Timestamp, number: u64, verdict: Option<Verdict>) {
        self.held.0.get_mut(&id(number)).unwrap().verdict = verdict;
        self.posture.review();
        self.at(at, Vec::new());
    }

    fn access(&self) -> Access {
        self.posture.of(device(1)).access
    }
}

use Access::{Full, Limited, Quarantine};

#[test]
fn an_attacker_is_quarantined_at_once_and_comes_back_when_it_was_quiet_for_long_enough() {
    let mut story = Story::default();
    story.at(hours(0), Vec::new());
    story.at(hours(1), vec![raised(finding(1, 1, "host-scan", Severity::High, hours(1)))]);
    assert_eq!(story.told, [(1, Full, Quarantine)]);
    // It goes on for ten hours more: that is counted up, and not told again.
    story.held.0.get_mut(&id(1)).unwrap().last = hours(11);
    for hour in 2..=35 {
        story.at(hours(hour), Vec::new());
    }
    assert_eq!(story.told.len(), 1, "quiet for 24 hours at 35, on probation for one more");
    assert_eq!(story.posture.of(device(1)).rise, Some((hours(36), Full)));
    story.at(hours(36), Vec::new());
    assert_eq!(story.told, [(1, Full, Quarantine), (36, Quarantine, Full)]);
}

#[test]
fn verdicts_lift_at_once_and_taking_them_back_undoes_that() {
    let mut story = Story::default();
    story.at(hours(0), vec![raised(finding(1, 1, "host-scan", Severity::High, hours(0)))]);
    story.judge(hours(1), 1, Some(Verdict::Expected));
    assert_eq!(story.access(), Full);
    story.judge(hours(2), 1, None);
    assert_eq!(story.access(), Quarantine);
    story.judge(hours(3), 1, Some(Verdict::True));
    story.at(hours(1_000), Vec::new());
    assert_eq!(story.access(), Quarantine, "what is true does not go away by waiting");
    story.judge(hours(1_001), 1, Some(Verdict::False));
    assert_eq!(story.access(), Full);
}

#[test]
fn a_cause_that_remains_keeps_a_device_down_when_another_one_is_pardoned() {
    let mut story = Story::default();
    let scan = raised(finding(1, 1, "host-scan", Severity::High, hours(0)));
    let password = raised(finding(2, 1, "default-credentials", Severity::Medium, hours(0)));
    story.at(hours(0), vec![scan, password]);
    story.judge(hours(1), 1, Some(Verdict::False));
    assert_eq!(story.told, [(0, Full, Quarantine), (1, Quarantine, Limited)]);
    let assessment = story.posture.of(device(1));
    assert_eq!(assessment.worst().unwrap().state, State::DefaultPassword);
    assert_eq!(assessment.reasons.len(), 1);
}

#[test]
fn absent_attestation_costs_nothing_a_failed_one_quarantines_and_only_a_good_one_lifts_that() {
    let mut story = Story::default();
    story.at(hours(0), Vec::new());
    assert_eq!(story.posture.of(device(1)).aspects[1].state, State::Absent);
    assert_eq!(story.access(), Full);
    story.says(hours(1), "attestation", State::Verified, Some(hours(5)));
    assert_eq!(story.access(), Full);
    story.at(hours(5), Vec::new());
    assert_eq!((story.access(), story.posture.of(device(1)).aspects[1].state), (Limited, State::Stale));
    story.says(hours(6), "attestation", State::Failed, Some(hours(7)));
    story.at(hours(500), Vec::new());
    assert_eq!(story.access(), Quarantine);
    story.says(hours(501), "attestation", State::Verified, None);
    assert_eq!(story.access(), Quarantine, "on probation");
    story.at(hours(502), Vec::new());
    assert_eq!(story.access(), Full);
}

#[test]
fn of_statements_of_one_source_the_latest_holds_and_of_several_sources_the_worst() {
    let mut story = Story::default();
    story.says(hours(2), "a", State::Exploited, None);
    story.says(hours(1), "a", State::Current, None);
    assert_eq!(story.access(), Limited, "what is older does not replace what is newer");
    story.says(hours(3), "b", State::Current, None);
    assert_eq!(story.posture.of(device(1)).aspects[2].state, State::Exploited);
    story.says(hours(4), "a", State::Current, None);
    assert_eq!(story.posture.of(device(1)).aspects[2].state, State::Current);
}

#[test]
fn context_weighs_what_neither_state_would_alone() {
    let mut story = Story::default();
    story.says(hours(1), "advisories", State::Vulnerable, None);
    assert_eq!(story.access(), Full);
    story.at(hours(2), vec![raised(finding(1, 1, "exposed-device", Severity::Medium, hours(2)))]);
    assert_eq!(story.access(), Limited);
    story.says(hours(3), "advisories", State::Exploited, None);
    assert_eq!(story.access(), Quarantine);
}

#[test]
fn every_row_of_the_table_holds_when_its_states_do_and_the_least_access_is_what_counts() {
    for mask in 0_u32..1 << State::ALL.len() {
        // All sets of at most three states.
        if mask.count_ones() > 3 {
            continue;
        }
        let states: Vec<_> =
            State::ALL.into_iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|x| x.1).collect();
        let mut story = Story::default();
        for (number, state) in states.iter().enumerate() {
            story.says(hours(1), &number.to_string(), *state, None);
        }
        let holds = |wanted: &State| {
            let is_proven = *wanted == State::New && states.contains(&State::Proven);
            states.contains(wanted) && !is_proven
        };
        let least = RULES.iter().filter(|rule| rule.when.iter().all(holds)).map(|rule| rule.access).max();
        // Proving who one is lifts what being new had cost, but not at once.
        let settled = story.posture.of(device(1)).rise.map_or(story.access(), |(_, access)| access);
        assert_eq!(settled, least.unwrap_or_default(), "{states:?}");
    }
}

#[test]
fn both_who_claim_one_address_are_limited_and_strangers_in_the_internet_are_not_judged() {
    let mut story = Story::default();
    let mut conflict = finding(1, 1, "address-conflict", Severity::Medium, hours(0));
    conflict.victim = Some(Party { device: Some(device(2)), ..conflict.actor });
    let mut stranger = finding(2, 3, "host-scan", Severity::Critical, hours(0));
    stranger.actor.host = Host::from_ip("198.51.100.7".parse().unwrap());
    story.at(hours(0), vec![raised(conflict), raised(stranger)]);
    assert_eq!([1, 2, 3].map(|number| story.posture.of(device(number)).access), [Limited, Limited, Full]);
}

#[test]
fn what_is_told_only_because_of_another_finding_and_what_is_harmless_costs_nothing() {
    let mut follows = finding(1, 1, "follow-up", Severity::High, hours(0));
    follows.because = vec![id(7)];
    assert_eq!(says(&follows), None);
    assert_eq!(says(&finding(1, 1, "new-peer", Severity::Low, hours(0))), None);
    let mut tried = finding(1, 1, "default-credentials", Severity::Medium, hours(0));
    assert_eq!(says(&tried), Some(State::DefaultPassword));
    tried.crossed = Some(model::Crossed {
        threshold: "default-credentials.pairs".into(),
        limit: 2.0,
        seen: 3.0,
        unit: "pairs".into(),
        set_for: None,
    });
    assert_eq!(says(&tried), Some(State::Suspicious));
}

#[test]
fn evidence_and_texts_are_bounded_and_what_weighs_most_stays() {
    let mut story = Story::default();
    story.at(hours(0), vec![raised(finding(0, 1, "host-scan", Severity::High, hours(0)))]);
    for number in 1..100 {
        story.at(hours(0), vec![raised(finding(number, 1, "weak-tls", Severity::Low, hours(0)))]);
    }
    story.says(hours(0), &"ä".repeat(MAX_TEXT), State::Vulnerable, None);
    let evidence: Vec<_> =
        story.posture.of(device(1)).aspects.into_iter().flat_map(|judged| judged.evidence).collect();
    assert_eq!(evidence.len(), MAX_EVIDENCE);
    assert!(evidence.iter().all(|one| one.source.len() <= MAX_TEXT));
    assert_eq!(story.access(), Quarantine);
}

#[test]
fn devices_are_bounded_and_those_that_are_trusted_least_are_remembered() {
    let mut story = Story::default();
    for number in 0..MAX_DEVICES as u64 + 3 {
        let severity = if number == 0 { Severity::High } else { Severity::Medium };
        story.at(hours(0), vec![raised(finding(number, number, "host-scan", severity, hours(0)))]);
    }
    assert_eq!((story.posture.devices.len(), story.posture.take_forgotten()), (MAX_DEVICES, 3));
    assert_eq!(story.posture.of(device(0)).access, Quarantine);
    assert_eq!(story.posture.order.len(), MAX_DEVICES);
}

#[test]
fn two_that_turn_out_to_be_one_are_trusted_as_the_lesser_of_them() {
    let mut story = Story::default();
    story.at(hours(0), vec![raised(finding(1, 2, "host-scan", Severity::High, hours(0)))]);
    let merged =
        Event { at: hours(1), device: Some(device(1)), change: Change::DeviceMerged { gone: device(2) } };
    story.at(hours(1), vec![merged]);
    assert_eq!((story.access(), story.posture.of(device(2)).access), (Quarantine, Full));
}

#[test]
fn other_bytes_are_nothing_that_was_saved() {
    for bytes in [&b""[..], b"\x02{}", b"\x01", b"\x01[]", b"\x01{\"began\":null}"] {
        assert_eq!(Posture::restore(bytes).save(), None);
    }
}

proptest! {
    #[test]
    fn a_restart_at_any_moment_changes_nothing(
        steps in prop::collection::vec((0_u64..30, 0_usize..6, 0_u64..4, any::<u8>()), 1..40),
        cut in 0_usize..40,
    ) {
        let mut stories = [Story::default(), Story::default()];
        let mut now = 0;
        for (number, (wait, kind, who, choice)) in steps.into_iter().enumerate() {
            now += wait;
            for (which, story) in stories.iter_mut().enumerate() {
                if which == 1 && number == cut {
                    story.posture = story.posture.save().map(|saved| Posture::restore(&saved)).unwrap_or_default();
                }
                let severity = Severity::ALL[usize::from(choice) % 5];
                let detector = ["host-scan", "exposed-device", "default-credentials"][usize::from(choice) % 3];
                let state = State::ALL[usize::from(choice) % State::ALL.len()];
                let number = u64::from(choice % 7);
                let expires = (who > 1).then(|| hours(now + 9));
                match kind {
                    0 => story.at(hours(now), vec![raised(finding(number, who, detector, severity, hours(now)))]),
                    1 => {
                        story.says(hours(now), "somebody", state, expires);
                        story.at(hours(now), Vec::new());
                    }
                    2 if story.held.0.contains_key(&id(number)) => {
                        story.judge(hours(now), number, [None, Some(Verdict::False)][usize::from(choice) % 2]);
                    }
                    _ => story.at(hours(now), Vec::new()),
                }
                // Nothing is left to do: whatever is due lies ahead.
                prop_assert!(story.posture.due.first().is_none_or(|(due, _)| *due > hours(now)));
            }
        }
        for story in &mut stories {
            story.posture.review();
            story.at(hours(now), Vec::new());
        }
        prop_assert_eq!(&stories[0].told, &stories[1].told);
        prop_assert_eq!(stories[0].posture.save(), stories[1].posture.save());
    }
}
