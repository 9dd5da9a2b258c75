//! What follows an attack: see [`DETECTOR`].

use std::collections::VecDeque;

use model::{FlowId, FlowRecord, Host, Severity, Transport, What};

use super::acts::{Act, Deed, Journal};
use super::contacts::Contact;
use super::habit::is_new as began_lately;
use super::suspicion::span;
use crate::culprits::Cause;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule};
use crate::table::Table;

/// Tells what somebody goes on to do once he is found to attack.
pub(super) const DETECTOR: Rule = Rule {
    id: "follow-up",
    title: "What followed an attack",
    severity: Severity::Medium,
    attack: &["T0846", "T0888", "T0845", "T0801", "T0855", "T0886", "T1021", "T1557"],
    finds: "While an open finding of high severity says that a host attacks, what it goes on to do and what no other detector \
            tells: identification of controllers, programs taken out, commands, sessions, files, conversations by industrial \
            protocols. Told is what it does to those whom it attacked, and what it never did to others in a watch that was \
            longer before it was found than since; packets to closed and silent ports of its victims, too. Of a host that was \
            found to give out false addresses: who asks it for names, and then opens pages there.",
    matters: "An attack goes on after it was found: what it reaches decides what must be cut off, stopped and put right.",
    fix: "Cut the host off. What is named here has been touched by it: check set points, programs and passwords there, and treat \
          what was asked of a false resolver as read by others.",
    thresholds: &[],
    listens: &[Kind::Ended, Kind::Operation],
    keeps: "48 kinds of acts of the last day by each of 2048 hosts; 1024 hosts whose further acts are told, with 8 findings of each \
            that name a victim and one for all others; 1024 pairs of a false resolver and whoever asks it",
    start: || Box::<FollowUp>::default(),
};

/// Of each host so many findings name a victim,
const NAMED: usize = 8;
/// and so many of them the same kind of act.
const NAMED_OF_A_KIND: usize = 3;
/// So many of the latest conversations of each are remembered as told.
const FLOWS: usize = 16;
/// So many hosts are remembered as told of.
const ACTORS: usize = 1024;
/// Fewer hosts that do not answer are no search: a device may be switched off.
const SEARCH: usize = 3;

/// So many who ask false resolvers are remembered.
const ASKERS: usize = 1024;

/// The matter of what is done to those who ask a false resolver.
const REDIRECTED: &str = "names";

struct FollowUp {
    did: Journal,
    /// What was told, by actor.
    told: Table<Addr, Told>,
    /// Who asked which false resolver.
    askers: Table<(Addr, Addr), ()>,
}

/// What was told of somebody.
#[derive(Default)]
struct Told {
    /// Which kinds of act to whom are findings of their own.
    named: Vec<(&'static str, u32)>,
    /// The latest conversations that showed an act.
    flows: VecDeque<FlowId>,
}

impl Default for FollowUp {
    fn default() -> Self {
        Self { did: Journal::default(), told: Table::new(ACTORS), askers: Table::new(ASKERS) }
    }
}

impl Detector for FollowUp {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let watch = self.did.begin(seen.at);
        if out.has_culprits() {
            self.redirected(seen, out);
        }
        let Some(act) = Act::of(seen) else {
            if out.has_culprits()
                && let What::FlowEnded(record) = seen.what
            {
                self.in_vain(seen, record, out);
            }
            return;
        };
        let Some((entry, is_whole)) = self.did.take(act.who, &act, act.whom) else { return };
        if !out.has_culprits() {
            return;
        }
        let Some(culprit) = out.culprit(act.who) else { return };
        let cause = culprit.cause().clone();
        if act.first < cause.raised || out.is_told(act.who) {
            return;
        }
        // What it did to its victim all along is no part of the attack, what it had begun shortly before is.
        // At the beginning of a watch everything is new: what it never did counts as long as it was watched for longer
        // before it was found than since.
        let is_new = is_whole && entry.met >= cause.raised && began_lately(cause.raised, watch, entry.met);
        let is_unusual = is_whole && began_lately(entry.met, watch, cause.raised);
        let is_to_victim = culprit.attacked(act.whom) && (!act.deed.is_routine() || is_unusual);
        let is_search = act.deed != Deed::Look || entry.in_vain() >= SEARCH;
        if !(is_new || is_to_victim) || !is_search {
            return;
        }
        // That two talk is no news where one attacked the other, or where what it asked for is told by another detector.
        let is_talk = act.deed == Deed::Talk;
        if is_talk && (culprit.attacked(act.whom) || out.names_both(act.who, act.whom)) {
            return;
        }
        // What was asked in a conversation tells more than its end.
        let told = Addr::of(act.who).and_then(|addr| self.told.get(&addr));
        if act.deed.is_conversation() && told.is_some_and(|told| told.flows.contains(&act.flow)) {
            return;
        }
        let whom = Some(act.whom).filter(|_| act.deed != Deed::Look);
        let alarm = Alarm::about(*act.who).flow(act.flow).since(act.first);
        let words = || format!("{}, {}", act.told(entry), after(&cause, seen));
        tell(&mut self.told, (act.who, whom), act.deed.name(), (alarm, &cause), out, words);
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.did.keep())
    }

    fn restore(&mut self, learnt: &[u8]) {
        if let Some(did) = from_bytes(learnt) {
            self.did.take_back(did);
        }
    }
}

/// How long after something was found.
fn after(cause: &Cause, seen: &Seen<'_>) -> String {
    let after = span(seen.at.since(cause.raised).as_secs());
    format!("{after} after it was found: {} ({})", cause.title, cause.finding)
}

impl FollowUp {
    /// Somebody asks a host for names that was found to tell others so, or opens a page there afterwards.
    fn redirected(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let (flow, began, asks) = match seen.what {
            What::Operation(operation) if operation.protocol == "dns" => (&operation.flow, seen.at, true),
            What::FlowEnded(record)
                if matches!(record.head.server.port, 80 | 443)
                    && record.head.transport == Transport::Tcp
                    && record.received.payload > 0 =>
            {
                (&record.head, record.first, false)
            }
            _ => return,
        };
        let (actor, victim) = (flow.server.host, flow.client.host);
        let Some(cause) = out.redirecting(&actor).filter(|cause| began >= cause.raised).cloned() else {
            return;
        };
        let (Some(resolver), Some(asker)) = (Addr::of(&actor), Addr::of(&victim)) else { return };
        if asks {
            self.askers.entry((resolver, asker), || ());
        } else if self.askers.get(&(resolver, asker)).is_none() {
            return;
        }
        let alarm = Alarm::about(actor).flow(flow.id).since(began);
        let words = || format!("{victim} asks {actor} for names, {}", after(&cause, seen));
        tell(&mut self.told, (&actor, Some(&victim)), REDIRECTED, (alarm, &cause), out, words);
    }

    /// Somebody sends to a port of a victim where nobody answers.
    fn in_vain(&mut self, seen: &Seen<'_>, record: &FlowRecord, out: &mut Out<'_>) {
        let (actor, victim) = (&record.head.client.host, &record.head.server.host);
        let Some(culprit) = out.culprit(actor).filter(|culprit| culprit.attacked(victim)) else { return };
        let cause = culprit.cause().clone();
        let is_failed = Contact::of(record) == Some(Contact::Failed) && record.head.server.port != 0;
        if !is_failed || record.first < cause.raised || out.is_told(actor) {
            return;
        }
        let alarm = Alarm::about(*actor).flow(record.head.id).since(record.first);
        let port = format!("{}/{}", record.head.transport, record.head.server.port);
        let words =
            || format!("{actor} sent to {port} of {victim}, which did not answer, {}", after(&cause, seen));
        tell(&mut self.told, (actor, Some(victim)), "silent ports", (alarm, &cause), out, words);
    }
}

/// Tells of an act, by itself if there is room for one more finding of the actor.
fn tell(
    told: &mut Table<Addr, Told>,
    (actor, victim): (&Host, Option<&Host>),
    deed: &'static str,
    (alarm, cause): (Alarm<'_>, &Cause),
    out: &mut Out<'_>,
    words: impl FnOnce() -> String,
) {
    let Some(addr) = Addr::of(actor) else { return };
    let (Told { named, flows }, _) = told.entry(addr, Told::default);
    if let Some(flow) = alarm.flow.filter(|flow| !flows.contains(flow)) {
        if flows.len() >= FLOWS {
            flows.pop_front();
        }
        flows.push_back(flow);
    }
    let key = (deed, victim.and_then(Addr::of).map_or(0, Addr::digest));
    let of_a_kind = named.iter().filter(|(known, _)| *known == deed).count();
    let is_named = named.contains(&key);
    let has_room = named.len() < NAMED && of_a_kind < NAMED_OF_A_KIND;
    if has_room && !is_named {
        named.push(key);
    }
    let alarm = alarm.part_of(cause.finding);
    let alarm = match victim {
        _ if !(has_room || is_named) => alarm.matter("to others"),
        Some(victim) => alarm.matter(deed).to(*victim),
        None => alarm.matter(deed),
    };
    out.raise(alarm, words);
}

#[cfg(test)]
mod tests {
    use model::{
        Finding, Judgement, OperationKind, Outcome, Record, Role, Scope, Severity, Side, Value, Verdict,
    };

    use super::{DETECTOR, NAMED};
    use crate::detectors::{controller_stop, lateral_movement, rogue_dhcp, suspicious_reading};
    use crate::testing::{On, Story, answered, datagrams, operation};

    const CONTROLLER: &str = "10.0.0.30";

    /// A controller of a building that always talks to another, and then begins to manage a third.
    fn attacked() -> Story {
        let story = Story::of_all(&[&DETECTOR, &lateral_movement::DETECTOR])
            .with_host(CONTROLLER)
            .plays(CONTROLLER, Role::BuildingController);
        let story = (2..40).fold(story, |story, last| story.with_host(&format!("10.0.0.{last}")));
        let story = story.flow(answered(CONTROLLER, "10.0.0.9", 502, "modbus")).wait(3600);
        story.flow(answered(CONTROLLER, "10.0.0.2", 3389, "rdp")).wait(60)
    }

    fn told(story: &Story) -> Vec<Finding> {
        let mut findings = story.findings();
        findings.retain(|finding| finding.detector == DETECTOR.id);
        findings
    }

    #[test]
    fn what_an_attacker_never_did_before_is_told_and_counted_up() {
        let mut story = attacked();
        for _ in 0..5 {
            story = story
                .flow(answered(CONTROLLER, "10.0.0.9", 502, "modbus"))
                .flow(answered(CONTROLLER, "10.0.0.10", 502, "modbus"))
                .wait(10);
        }
        let found = told(&story);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].severity, found[0].count), (Severity::Medium, 5));
        let whole = &story.findings()[0];
        assert_eq!(
            &*found[0].summary,
            format!(
                "{CONTROLLER} turned to 10.0.0.10 by Modbus, 60 s after it was found: Lateral movement ({})",
                whole.id
            )
        );
        assert_eq!(found[0].incident, whole.incident);
    }

    #[test]
    fn at_the_beginning_of_a_watch_nothing_is_said_to_be_new() {
        let story = Story::of_all(&[&DETECTOR, &lateral_movement::DETECTOR]).with_host(CONTROLLER);
        let story = story.plays(CONTROLLER, Role::BuildingController).with_host("10.0.0.2").wait(5);
        let story = story.flow(answered(CONTROLLER, "10.0.0.2", 3389, "rdp")).wait(30);
        story.with_host("10.0.0.9").flow(answered(CONTROLLER, "10.0.0.9", 502, "modbus")).only();
    }

    #[test]
    fn one_attacker_gives_few_findings() {
        let mut story = attacked();
        for last in 3..30 {
            let host = format!("10.0.0.{last}");
            story = story.flow(answered(CONTROLLER, &host, 502, "modbus")).wait(5);
            story = story.flow(answered(CONTROLLER, &host, 102, "s7comm")).wait(5);
            for kind in [OperationKind::Identify, OperationKind::Write, OperationKind::ProgramUpload] {
                story = story.asks(operation(CONTROLLER, &host, "modbus", kind, "x", Outcome::Done)).wait(5);
            }
        }
        assert_eq!(told(&story).len(), NAMED + 1);
    }

    #[test]
    fn nobody_is_followed_who_was_not_found_to_attack_or_of_whom_that_was_a_mistake() {
        let story = Story::of_all(&[&DETECTOR, &lateral_movement::DETECTOR]).with_host(CONTROLLER);
        let story = story.flow(answered(CONTROLLER, "10.0.0.2", 502, "modbus")).wait(3600);
        story.flow(answered(CONTROLLER, "10.0.0.3", 502, "modbus")).silent();
        let mut story = attacked();
        let id = story.only().id;
        let mistake = Judgement {
            verdict: Verdict::False,
            scope: Scope::Finding,
            reason: "".into(),
            by: None,
            declared: false,
        };
        assert!(story.detect().judge(id, Some(mistake)));
        let story = story.flow(answered(CONTROLLER, "10.0.0.10", 502, "modbus"));
        assert_eq!(told(&story).len(), 0);
        // Judged anew, it goes on.
        let mut story = story;
        assert!(story.detect().judge(id, None));
        assert_eq!(told(&story.flow(answered(CONTROLLER, "10.0.0.11", 502, "modbus"))).len(), 1);
    }

    #[test]
    fn what_another_detector_tells_is_not_told_again_and_silent_ports_of_a_victim_are() {
        let stop = |story: Story| {
            let stop =
                operation("203.0.113.9", "10.0.0.9", "s7comm", OperationKind::Stop, "stop", Outcome::Done);
            story.asks(stop.at_port(102)).wait(10)
        };
        let story = Story::of_all(&[&DETECTOR, &controller_stop::DETECTOR]);
        let story = stop(stop(stop(story.with_host("10.0.0.9"))));
        assert_eq!((story.findings().len(), told(&story).len()), (1, 0), "{:#?}", story.findings());
        let mut relay = datagrams("203.0.113.9", "10.0.0.9", 50_000, 18, 0);
        relay.received.packets = 0;
        let story = story.flow(relay);
        let found = told(&story);
        assert_eq!(found.len(), 1, "{:#?}", story.findings());
        assert!(
            found[0].summary.contains("sent to udp/50000 of 10.0.0.9, which did not answer"),
            "{found:#?}"
        );
    }

    #[test]
    fn one_who_goes_on_to_read_is_told_once() {
        let story = Story::of_all(&[&DETECTOR, &lateral_movement::DETECTOR, &suspicious_reading::DETECTOR]);
        let story = story.with_host(CONTROLLER).plays(CONTROLLER, Role::BuildingController);
        let story = (2..12).fold(story, |story, last| story.with_host(&format!("10.0.0.{last}")));
        let story = story.flow(answered(CONTROLLER, "10.0.0.9", 502, "modbus")).wait(3600);
        let story = story.flow(answered(CONTROLLER, "10.0.0.2", 3389, "rdp")).wait(60);
        let kind = OperationKind::Read;
        let read = operation(CONTROLLER, "10.0.0.10", "modbus", kind, "read-coils", Outcome::Done);
        let story = story.asks(read).wait(5).flow(answered(CONTROLLER, "10.0.0.10", 502, "modbus"));
        let found: Vec<_> = story.findings().iter().map(|finding| finding.detector.clone()).collect();
        assert_eq!(found, ["lateral-movement", "suspicious-reading"]);
        // Whom it turned to without asking for anything that is read is told of here.
        let story = story.wait(5).flow(answered(CONTROLLER, "10.0.0.11", 502, "modbus"));
        assert_eq!(told(&story).len(), 1);
    }

    #[test]
    fn who_asks_a_false_resolver_is_told() {
        let text = |text: &str| Value::Text(text.into());
        let offer = |story: Story, server: &str, resolver: &str| {
            let lease = Record(vec![
                ("xid".into(), Value::Unsigned(7)),
                ("address".into(), text("10.0.0.50")),
                ("router".into(), text(resolver)),
                ("resolver".into(), text(resolver)),
            ]);
            let mut offer =
                operation("0.0.0.0", server, "dhcp", OperationKind::Publish, "offer", Outcome::Done);
            offer.from = Side::Server;
            story.asks(offer.on("00:1b:00:00:00:01").writing(Value::Record(lease)))
        };
        let asks = |story: Story| {
            let name =
                operation("10.0.0.50", "10.0.0.66", "dns", OperationKind::Discover, "query-a", Outcome::Done);
            story.wait(5).asks(name.on("www.example"))
        };
        let story = Story::of_all(&[&DETECTOR, &rogue_dhcp::DETECTOR]);
        let story = story.with_host("10.0.0.1").with_host("10.0.0.66").with_host("10.0.0.50");
        let mut story = asks(story);
        for _ in 0..2 {
            story = offer(offer(story, "10.0.0.1", "10.0.0.1"), "10.0.0.66", "10.0.0.66");
        }
        assert_eq!(told(&story).len(), 0);
        // A page that is opened by one who did not ask for it there is another matter.
        let story = story.wait(5).flow(answered("10.0.0.51", "10.0.0.66", 443, "tls"));
        let story = asks(asks(story)).wait(5).flow(answered("10.0.0.50", "10.0.0.66", 443, "tls"));
        let found = told(&story);
        assert_eq!((found.len(), found[0].count), (1, 3), "{found:#?}");
        assert!(found[0].summary.starts_with("10.0.0.50 asks 10.0.0.66 for names"), "{found:#?}");
    }
}
