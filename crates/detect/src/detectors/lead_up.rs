//! What led to an attack: see [`DETECTOR`].

use std::cmp::Reverse;

use model::{Finding, Host, Severity, Timestamp};

use super::acts::{Act, Acts, Deed, Entry, Group, Journal, REMEMBERED};
use super::habit::is_new;
use crate::culprits::is_theft;
use crate::hosts::Addr;
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule};
use crate::table::Table;

/// Tells, once somebody is found to attack, what he did before, and how he came in.
pub(super) const DETECTOR: Rule = Rule {
    id: "lead-up",
    title: "What came before an attack",
    severity: Severity::Medium,
    attack: &["T0846", "T0888", "T0845", "T0801", "T0886", "T1021", "T1133"],
    finds: "Once another detector has found that a host attacks (of high severity, and more than that something is unusual), \
            what that host did before and what was harmless until then: searches in vain for controllers and management \
            services, identification of controllers, programs taken out of them, commands, sessions with other hosts, files \
            fetched and brought, what a device on which nobody works took from the Internet, as far as it did so to the same victim within the last hour or began to within the last day; \
            and who was in session with that host itself before: the way in. Once files are found to go out, who had \
            brought files to that host within the last hour. What it always did, and who always came, is told with low severity.",
    matters: "Most steps of an attack are what people do every day. Which of them belonged to it shows only in the end, and \
              whoever cleans up has to know them all: the way in, and every host that was looked at on the way.",
    fix: "Read the incident from its beginning. Find out who used the host at these times, or through it, and close the way \
          in; look at every host that is named for what was left there.",
    thresholds: &[],
    listens: &[Kind::Ended, Kind::Operation],
    keeps: "48 kinds of acts of the last day by each of 2048 hosts, and as many to each of 2048 hosts; 1024 hosts whose story is \
            told, with at most 6 findings of what each did, 3 ways in and 4 hosts that brought files",
    start: || Box::<LeadUp>::default(),
};

/// What a host did to the victim of its attack counts for so long, in seconds: one piece of work.
const BEFORE: u64 = 3600;
/// Of each host so many kinds of acts are told,
const DEEDS: usize = 6;
/// so many others who were in session with it,
const WAYS_IN: usize = 3;
/// and so many who brought files to it.
const BRINGERS: usize = 4;
/// Fewer hosts that do not answer are no search: a device may be switched off.
const SEARCH: usize = 3;
/// So many hosts are remembered as told.
const TOLD: usize = 1024;

struct LeadUp {
    /// What hosts did.
    did: Journal,
    /// What was done to hosts, as far as it gives a hold on them.
    came: Journal,
    /// Whose story was told, of an attack and of a theft, and when.
    told: Table<(Addr, bool), Timestamp>,
}

impl Default for LeadUp {
    fn default() -> Self {
        Self { did: Journal::default(), came: Journal::default(), told: Table::new(TOLD) }
    }
}

impl Detector for LeadUp {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        self.did.begin(seen.at);
        let Some(act) = Act::of(seen) else { return };
        if out.is_told(act.who) {
            return;
        }
        self.did.take(act.who, &act, act.whom);
        if act.deed.enters() || act.deed == Deed::Bring {
            self.came.take(act.whom, &act, act.who);
        }
    }

    fn found(&mut self, finding: &Finding, out: &mut Out<'_>) {
        let culprit = &finding.actor.host;
        let is_theft = is_theft(finding);
        let Some(addr) = Addr::of(culprit) else { return };
        if is_theft && self.is_first((addr, true), finding.raised) {
            self.tell_who_brought(culprit, finding, out);
        }
        if finding.severity >= Severity::High && self.is_first((addr, false), finding.raised) {
            self.tell_deeds(culprit, finding, out);
            self.tell_way_in(culprit, finding, out);
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&(self.did.keep(), self.came.keep()))
    }

    fn restore(&mut self, learnt: &[u8]) {
        if let Some((did, came)) = from_bytes(learnt) {
            self.did.take_back(did);
            self.came.take_back(came);
        }
    }
}

impl LeadUp {
    /// Whether nothing was told of a host for as long as is remembered. It is now.
    fn is_first(&mut self, whose: (Addr, bool), now: Timestamp) -> bool {
        let before = self.told.get(&whose).copied();
        let is_first = before.is_none_or(|then| now.since(then).as_secs() >= REMEMBERED);
        if is_first {
            *self.told.entry(whose, || now).0 = now;
        }
        is_first
    }

    /// What a host did before it was found to attack.
    fn tell_deeds(&self, culprit: &Host, finding: &Finding, out: &mut Out<'_>) {
        let (Some(acts), now) = (self.did.get(culprit), finding.raised) else { return };
        let victim = finding.victim.and_then(|victim| Addr::of(&victim.host));
        let is_to_victim = |entry: &Entry| victim.is_some() && Addr::of(&entry.other) == victim;
        let is_unusual = |entry: &Entry| self.is_unusual(acts, entry, now);
        let is_part = |entry: &&Entry| {
            let is_search = entry.deed != Deed::Look || entry.in_vain() >= SEARCH;
            // Of the conversation in which it was found only what prepares the attack is news.
            let prepares = matches!(entry.deed, Deed::Identify | Deed::Upload);
            let is_news = prepares || !entry.flows.iter().any(|flow| finding.conversations.contains(flow));
            let is_recent = now.since(entry.last).as_secs() < BEFORE;
            let is_close = is_recent && is_to_victim(entry) && !entry.deed.is_routine();
            is_search && is_news && (is_unusual(entry) || is_close)
        };
        let mut entries: Vec<&Entry> = acts.within(REMEMBERED, now).filter(is_part).collect();
        // What is asked in a conversation tells more than that there was one.
        let asked = entries.iter().filter(|entry| !entry.deed.is_conversation());
        let asked: Vec<_> = asked.flat_map(|entry| &entry.flows).copied().collect();
        entries
            .retain(|entry| !entry.deed.is_routine() || !entry.flows.iter().all(|flow| asked.contains(flow)));
        entries.sort_by_key(|entry| (entry.deed, entry.first, entry.other));
        for entries in entries.chunk_by(|one, other| one.deed == other.deed).take(DEEDS) {
            let whom = entries.iter().find(|entry| is_to_victim(entry)).unwrap_or(&entries[0]).other;
            let group = Group { who: culprit, deed: entries[0].deed, entries: entries.to_vec() };
            let is_unusual = entries.iter().any(|entry| is_unusual(entry));
            let flows = group.flows();
            let mut alarm = Alarm::about(*culprit)
                .matter(group.deed.name())
                .part_of(finding.id)
                .since(group.first())
                .until(group.last())
                .times(group.times())
                .severity(severity(is_unusual))
                .flows(&flows);
            if group.deed != Deed::Look {
                alarm = alarm.to(whom);
            }
            out.raise(alarm, || format!("{} it was found: {}", group.told(&whom, now), because(finding)));
        }
    }

    /// Whether something began so lately that it is unlike what is usual for the host.
    fn is_unusual(&self, acts: &Acts, entry: &Entry, now: Timestamp) -> bool {
        acts.is_whole(now) && is_new(entry.met, self.did.watch(now), now)
    }

    /// Who was in session with a host before it was found to attack.
    fn tell_way_in(&self, culprit: &Host, finding: &Finding, out: &mut Out<'_>) {
        let (Some(acts), now, site) = (self.came.get(culprit), finding.raised, out.site()) else { return };
        if site.is_external(culprit) {
            return;
        }
        let ways = acts.within(REMEMBERED, now).filter(|entry| entry.deed.enters());
        let mut ways: Vec<(bool, &Entry)> = ways
            .map(|entry| (site.is_external(&entry.other) || self.is_unusual(acts, entry, now), entry))
            .collect();
        // Whoever comes from outside, or never came before, is likelier to be the one than whoever always comes, and
        // programs that ask pages for values come all the time.
        let is_one_likely = ways.iter().any(|(likely, _)| *likely);
        let always_comes = |entry: &Entry| {
            !is_one_likely && entry.deed == Deed::Session && now.since(entry.last).as_secs() < BEFORE
        };
        ways.retain(|(likely, entry)| *likely || always_comes(entry));
        ways.retain(|(_, entry)| !out.names_both(&entry.other, culprit));
        tell_who_came(ways, (WAYS_IN, None, "way in"), (culprit, finding), out);
    }

    /// Who brought files to a host before it was found to send them out.
    fn tell_who_brought(&self, thief: &Host, finding: &Finding, out: &mut Out<'_>) {
        let (Some(acts), now) = (self.came.get(thief), finding.raised) else { return };
        let carries = |entry: &&Entry| {
            entry.brings
                && (entry.deed == Deed::Bring || entry.deed == Deed::Session && entry.by.contains("SMB"))
        };
        let brought = acts.within(BEFORE, now).filter(carries);
        let brought = brought.map(|entry| (self.is_unusual(acts, entry, now), entry)).collect();
        tell_who_came(brought, (BRINGERS, Some(Deed::Bring), "files brought"), (thief, finding), out);
    }
}

/// What a host always does is told for the story's sake; what is unlike it is to be looked at.
const fn severity(is_unusual: bool) -> Severity {
    if is_unusual { Severity::Medium } else { Severity::Low }
}

/// Tells who came to a host, at most so many: first those who never came before, then those who came last.
fn tell_who_came(
    mut came: Vec<(bool, &Entry)>,
    (most, deed, matter): (usize, Option<Deed>, &str),
    (host, finding): (&Host, &Finding),
    out: &mut Out<'_>,
) {
    came.sort_by_key(|(is_unusual, entry)| (Reverse(*is_unusual), Reverse(entry.last), entry.other));
    let mut named: Vec<(bool, Host)> = Vec::new();
    for (is_unusual, entry) in &came {
        if named.len() < most && !named.iter().any(|(_, known)| *known == entry.other) {
            named.push((*is_unusual, entry.other));
        }
    }
    for (is_unusual, who) in &named {
        let entries: Vec<_> =
            came.iter().map(|(_, entry)| *entry).filter(|entry| entry.other == *who).collect();
        let group = Group { who, deed: deed.unwrap_or(entries[0].deed), entries };
        let flows = group.flows();
        let alarm = Alarm::about(*who)
            .to(*host)
            .matter(matter)
            .part_of(finding.id)
            .since(group.first())
            .until(group.last())
            .times(group.times())
            .severity(severity(*is_unusual))
            .flows(&flows);
        out.raise(alarm, || {
            format!("{} {host} was found: {}", group.told(host, finding.raised), because(finding))
        });
    }
}

/// Because of what it is told.
fn because(finding: &Finding) -> String {
    format!("{} ({})", finding.title, finding.id)
}

#[cfg(test)]
mod tests {
    use model::{Finding, OperationKind, Outcome, Role, Severity};

    use super::{BRINGERS, DEEDS, DETECTOR, WAYS_IN};
    use crate::detectors::{lateral_movement, outbound_transfer};
    use crate::testing::{On, Story, answered, operation, unanswered};

    const CONTROLLER: &str = "10.0.0.30";
    const VENDOR: &str = "203.0.113.9";
    const SERVER: &str = "10.0.0.6";

    fn controller() -> Story {
        let story = Story::of_all(&[&DETECTOR, &lateral_movement::DETECTOR, &outbound_transfer::DETECTOR]);
        let story = story.with_host(CONTROLLER).plays(CONTROLLER, Role::BuildingController);
        let story = (2..20).fold(story, |story, last| story.with_host(&format!("10.0.0.{last}")));
        story.flow(answered("10.0.0.5", "10.0.0.9", 80, "http")).wait(7200)
    }

    fn prepares(story: Story) -> Story {
        let story = story.flow(answered(VENDOR, CONTROLLER, 443, "tls")).wait(60);
        let story = (2..6).fold(story, |story, last| {
            story.flow(unanswered(CONTROLLER, &format!("10.0.0.{last}"), 502)).wait(1)
        });
        let identify = |whom| {
            operation(
                CONTROLLER,
                whom,
                "modbus",
                OperationKind::Identify,
                "read-device-identification",
                Outcome::Done,
            )
        };
        story.asks(identify("10.0.0.8")).asks(identify("10.0.0.7")).wait(30)
    }

    fn attacks(story: Story) -> Story {
        story.flow(answered(CONTROLLER, "10.0.0.2", 3389, "rdp"))
    }

    fn told(story: &Story) -> Vec<Finding> {
        let mut findings = story.findings();
        findings.retain(|finding| finding.detector == DETECTOR.id);
        findings.sort_by_key(|finding| finding.first);
        findings
    }

    #[test]
    fn what_was_done_before_and_who_came_in_are_told_once_somebody_attacks() {
        let mut story = prepares(controller());
        story.silent();
        story = attacks(attacks(story));
        let whole =
            story.findings().into_iter().find(|finding| finding.detector == "lateral-movement").unwrap();
        let found = told(&story);
        let summaries: Vec<&str> = found.iter().map(|finding| &*finding.summary).collect();
        let because = format!("Lateral movement ({})", whole.id);
        assert_eq!(
            summaries,
            [
                format!(
                    "{VENDOR} was in session with {CONTROLLER} by HTTPS, 94 s before {CONTROLLER} was found: {because}"
                ),
                format!(
                    "{CONTROLLER} looked for Modbus in vain at 4 hosts, from 34 s to 31 s before it was found: {because}"
                ),
                format!(
                    "{CONTROLLER} asked 10.0.0.7 and another what it is and holds by read-device-identification (modbus), \
                     30 s before it was found: {because}"
                ),
            ]
        );
        assert!(found.iter().all(|finding| finding.severity == Severity::Medium));
        assert_eq!(found.iter().map(|finding| finding.count).collect::<Vec<_>>(), [1, 4, 2]);
        assert!(
            found.iter().all(|finding| finding.last < finding.raised && finding.incident == whole.incident)
        );
        let incidents: Vec<_> = story.detect().incidents().collect();
        assert_eq!((incidents.len(), incidents[0].first), (1, found[0].first));
        assert_eq!((incidents[0].severity, &*incidents[0].stage), (Severity::High, "lateral movement"));
        assert!(incidents[0].title.starts_with("Lateral movement"), "{}", incidents[0].title);
    }

    #[test]
    fn what_is_told_because_of_a_finding_makes_nobody_suspicious() {
        let mut story = attacks(prepares(controller()));
        let vendor = told(&story)[0].actor.host;
        assert!(story.detect().suspects(&vendor).is_none());
        assert_eq!(vendor.to_string(), VENDOR);
    }

    #[test]
    fn what_is_usual_is_not_told_or_told_low() {
        let mut story = controller();
        for _ in 0..48 {
            // Its data are read from a page, an administrator looks after it, and it reads a meter.
            story = story
                .flow(answered("10.0.0.4", CONTROLLER, 80, "http"))
                .flow(answered("10.0.0.5", CONTROLLER, 22, "ssh"))
                .flow(answered(CONTROLLER, "10.0.0.8", 502, "modbus"))
                .wait(1200);
        }
        let story = attacks(story);
        let found = told(&story);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!((found[0].severity, found[0].actor.to_string().as_str()), (Severity::Low, "10.0.0.5"));
    }

    #[test]
    fn one_attack_is_told_with_few_findings() {
        let mut story = controller();
        for last in 2..18 {
            let host = format!("10.0.0.{last}");
            story = story.flow(answered(&host, CONTROLLER, 22, "ssh"));
            for kind in [
                OperationKind::Identify,
                OperationKind::ProgramUpload,
                OperationKind::Write,
                OperationKind::Stop,
            ] {
                story = story.asks(operation(CONTROLLER, &host, "modbus", kind, "x", Outcome::Done));
            }
            story = story
                .flow(answered(CONTROLLER, &host, 502, "modbus"))
                .flow(unanswered(CONTROLLER, &host, 102));
        }
        let found = told(&attacks(story.wait(10)));
        assert!(found.len() <= DEEDS + WAYS_IN, "{found:#?}");
        assert_eq!(found.iter().filter(|finding| &*finding.matter == "way in").count(), WAYS_IN);
    }

    fn steals(story: Story) -> Story {
        let put =
            operation(SERVER, "198.51.100.9", "ftp", OperationKind::TransferFile, "stor", Outcome::Done);
        story.wait(5).asks(put.on("cards.zip"))
    }

    #[test]
    fn who_brought_files_is_told_once_they_are_stolen() {
        let mut story = controller().with_host("10.0.0.19");
        for last in 10..17 {
            let mut brings = answered(&format!("10.0.0.{last}"), SERVER, 445, "smb");
            brings.sent.payload = 100_000;
            // And one who only reads.
            story = story.flow(brings).flow(answered("10.0.0.19", SERVER, 445, "smb")).wait(1);
        }
        let found = told(&steals(steals(story)));
        assert_eq!(found.len(), BRINGERS, "{found:#?}");
        assert!(found.iter().any(|finding| finding.summary.starts_with(
            "10.0.0.16 brought files to 10.0.0.6 by file sharing (SMB), 6 s before 10.0.0.6 was found: Files sent"
        )), "{found:#?}");
    }

    #[test]
    fn what_was_done_before_a_restart_is_told() {
        let mut before = prepares(controller());
        let (_, learnt) = before.detect().save().into_iter().find(|(id, _)| *id == DETECTOR.id).unwrap();
        let mut after = controller();
        after.detect().restore_learnt(DETECTOR.id, &learnt);
        assert_eq!(told(&attacks(after.wait(94))).len(), told(&attacks(before)).len());
    }
}
