//! Puts a program into a controller: see [`DETECTOR`].

use std::collections::VecDeque;

use model::{FlowHead, Host, Operation, OperationKind, Outcome, Severity, Timestamp, What};

use super::change::{Acts, Change, ENGINEERS, WORK, parties};
use super::habit::{Among, PAIRS, is_new};
use super::suspicion::{Case, SUSPICION};
use crate::hosts::Addr;
use crate::judge::{Out, Seen, is_industrial};
use crate::rule::{Detector, Kind, Rule};
use crate::table::Table;

/// Finds programs that are put into controllers by those who are not meant to, or not as it is meant to be done.
pub(super) const DETECTOR: Rule = Rule {
    id: "program-download",
    title: "Program put into a controller",
    severity: Severity::High,
    attack: &["T0843", "T0889", "T0821"],
    finds: "A host puts a program into a controller, or deletes one, and either the host is not meant to or the way is \
            not that of people. Who: a host outside, one that appeared only now, one that other findings speak \
            against, one that never did it while others do. How: nobody uploaded or compared the program first; code \
            goes in that nobody ever read from the controller; blocks that the system itself calls are replaced along \
            with it; the controller was not stopped; several controllers within the hour; in haste; at an unusual \
            hour; just after somebody new had turned to the host. An engineer who compares, changes and restarts is not told.",
    matters: "Whoever changes the program decides what the process does, whatever the operators see. Stuxnet put its \
              blocks in from the engineering station itself, before those that the controller calls in every cycle.",
    fix: "Ask whoever is responsible for the controller whether the change was planned. If not: bring the process into \
          a safe state by hand, take the host off the network, keep the program that is in the controller as \
          evidence, and restore the one that is kept. If it was planned, declare it as expected.",
    thresholds: &[SUSPICION],
    listens: &[Kind::Opened, Kind::Operation],
    keeps: "habits and ties of 4096 pairs of hosts, for each pair the digests of 64 blocks that were read and of 16 \
            that were written, and 16 visitors of each of 1024 hosts",
    start: || {
        Box::new(ProgramDownload {
            change: Change::new(&ACTS),
            work: Table::new(PAIRS),
            habit: [0.0; 2],
            visits: Table::new(VISITED),
            watch: None,
        })
    },
};

static ACTS: Acts = Acts {
    is: is_one,
    did: "put a program into",
    tried: "tried to put a program into",
    meant: ENGINEERS,
    among: Among::All,
    by_hand: true,
    severity: [Severity::High, Severity::Medium],
};

/// So many blocks that a host has read from a controller are remembered, and so many that it wrote in one piece of
/// work.
const READ: usize = 64;
const WRITTEN: usize = 16;

/// Whoever reads so many different things has gone online and looked at the controller.
const ONLINE: u32 = 16;

/// Nobody looked at the program first: worth that much where nobody ever was seen to leave it out.
const UNPREPARED: f64 = 2.0;
const LISTED_ONLY: f64 = 0.5;
const MOST_NEW_CODE: f64 = 2.0;
const SYSTEM_BLOCK: f64 = 1.0;
const RUNNING: f64 = 0.5;
/// Somebody may have taken the host over just before.
const VISITED_LATELY: f64 = 1.0;

fn is_one(operation: &Operation) -> bool {
    operation.kind == OperationKind::ProgramDownload || operation.name == "delete-block"
}

/// The blocks of a target such as `OB 1` or `OB 1, FC 3`.
fn blocks(operation: &Operation) -> impl Iterator<Item = &str> {
    let target = operation.target.as_deref().unwrap_or_default();
    let is_block = |block: &&str| {
        let kind = block.split_once(' ').map_or("", |(kind, _)| kind);
        matches!(kind, "OB" | "DB" | "SDB" | "FC" | "SFC" | "FB" | "SFB")
    };
    target.split(", ").filter(is_block)
}

/// Blocks that the controller's system calls or reads by itself: what they hold runs or holds without being called by
/// another block.
fn is_system(block: &str) -> bool {
    block.starts_with("OB ") || block.starts_with("SDB ")
}

/// What one host did with one controller's program.
#[derive(Debug, Default)]
struct Work {
    /// Digests of blocks that were ever read.
    read: Vec<u32>,
    /// Digests of blocks that were written in the present piece of work and were never read before.
    new: Vec<u32>,
    began: Timestamp,
    uploaded: bool,
    listed: bool,
    reads: u32,
    stopped: bool,
    system: bool,
    /// Whether the piece of work counts among those from which it is learnt how programs are changed here.
    counted: bool,
}

impl Work {
    /// Takes what leads up to a download.
    fn take(&mut self, operation: &Operation, at: Timestamp) {
        if at.since(self.began).as_secs() >= WORK {
            let read = std::mem::take(&mut self.read);
            *self = Self { read, began: at, ..Self::default() };
        }
        match operation.kind {
            _ if operation.outcome == Outcome::Refused => {}
            OperationKind::ProgramUpload => {
                self.uploaded = true;
                for block in blocks(operation) {
                    let digest = digest(block);
                    if !self.read.contains(&digest) && self.read.len() < READ {
                        self.read.push(digest);
                    }
                }
            }
            OperationKind::Discover => self.listed = true,
            OperationKind::Read => {
                self.reads += 1;
                self.listed |= operation.name == "get-block-info" || self.reads >= ONLINE;
            }
            OperationKind::Stop | OperationKind::ChangeMode => self.stopped = true,
            _ => {}
        }
    }

    /// Takes a download.
    fn write(&mut self, operation: &Operation) {
        for block in blocks(operation) {
            let digest = digest(block);
            let is_known = self.read.contains(&digest) || self.new.contains(&digest);
            if !is_known && self.new.len() < WRITTEN {
                self.new.push(digest);
            }
            self.system |= is_system(block);
        }
    }
}

fn digest(block: &str) -> u32 {
    (crate::ledger::digest(block.as_bytes()) >> 32) as u32
}

/// So many hosts' visitors are remembered, and so many of each, the latest.
const VISITED: usize = 1024;
const VISITORS: usize = 16;

/// Who opens conversations to a host.
#[derive(Debug, Default)]
struct Visits {
    known: VecDeque<u32>,
    /// Who came last for the first time, and when.
    last_new: Option<(Host, Timestamp)>,
}

struct ProgramDownload {
    change: Change,
    work: Table<(Addr, Addr), Work>,
    /// On how many pieces of work that were good a program was changed, and on how many without looking at it first.
    habit: [f64; 2],
    visits: Table<Addr, Visits>,
    /// When the watch began.
    watch: Option<Timestamp>,
}

impl ProgramDownload {
    /// Takes note that one host turned to another.
    fn visit(&mut self, flow: &FlowHead, at: Timestamp) {
        let (Some(visitor), Some(visited)) = (Addr::of(&flow.client.host), Addr::of(&flow.server.host))
        else {
            return;
        };
        let (visits, _) = self.visits.entry(visited, Visits::default);
        let digest = visitor.digest();
        if visits.known.contains(&digest) {
            return;
        }
        if visits.known.len() >= VISITORS {
            visits.known.pop_front();
        }
        visits.known.push_back(digest);
        visits.last_new = Some((flow.client.host, at));
    }
}

impl Detector for ProgramDownload {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let watch = *self.watch.get_or_insert(seen.at);
        if let What::FlowOpened(flow) = seen.what {
            self.visit(flow, seen.at);
            return;
        }
        let What::Operation(operation) = seen.what else { return };
        if !is_industrial(&operation.protocol) {
            return;
        }
        let asked = seen.asked(operation);
        let Some(pair) = parties(&asked, operation) else { return };
        let leads_to = matches!(
            operation.kind,
            OperationKind::ProgramUpload
                | OperationKind::Discover
                | OperationKind::Read
                | OperationKind::Stop
                | OperationKind::ChangeMode
        );
        if leads_to || is_one(operation) {
            self.work.entry(pair, Work::default).0.take(operation, seen.at);
        }
        let Some(work) = self.work.get_mut(&pair).filter(|_| is_one(operation)) else {
            self.change.take(seen, operation, &mut |_| {}, out);
            return;
        };
        work.write(operation);
        let [times, unprepared] = self.habit;
        let newest = self.visits.get(&pair.0).and_then(|visits| visits.last_new);
        let visitor = newest.filter(|(_, came)| is_new(*came, watch, seen.at));
        let mut ways = |case: &mut Case| {
            weigh(work, [times, unprepared], case);
            if let Some((visitor, came)) = visitor {
                let minutes = seen.at.since(came).as_secs().div_ceil(60);
                let seen = format!("{visitor} turned to it for the first time {minutes} minutes before");
                case.how(VISITED_LATELY, "who turned to it", seen, "nobody new");
            }
        };
        let is_good = self.change.take(seen, operation, &mut ways, out);
        if is_good != work.counted {
            work.counted = is_good;
            let sign = if is_good { 1.0 } else { -1.0 };
            self.habit[0] += sign;
            if !work.uploaded && !work.listed {
                self.habit[1] += sign;
            }
        }
    }
}

/// Weighs the way in which a program is put in.
fn weigh(work: &Work, [times, unprepared]: [f64; 2], case: &mut Case) {
    if !work.uploaded && !work.listed {
        // One in four leaves it out, as long as nothing is known of the place.
        let bits = (-((unprepared + 0.25) / (times + 1.0)).log2()).clamp(0.0, UNPREPARED);
        case.how(
            bits,
            "preparation",
            "nobody uploaded or compared the program first".into(),
            "upload and compare",
        );
    } else if !work.uploaded {
        case.how(
            LISTED_ONLY,
            "preparation",
            "the program was looked at, but not uploaded first".into(),
            "upload and compare",
        );
    }
    // Only where blocks were read can be told which of those that are written were not.
    let new = if work.read.is_empty() { 0 } else { work.new.len() };
    if new > 0 {
        let bits = ((new + 1) as f64).log2().min(MOST_NEW_CODE);
        case.how(
            bits,
            "new code",
            format!("{new} of the blocks were never read from the controller"),
            "none",
        );
    }
    if work.system && (new > 0 || !work.uploaded) {
        let seen = "blocks that the system itself calls are replaced with it".into();
        case.how(SYSTEM_BLOCK, "what is replaced", seen, "blocks that were looked at first");
    }
    if !work.stopped {
        case.how(RUNNING, "state of the controller", "nobody stopped the controller first".into(), "stopped");
    }
}

#[cfg(test)]
mod tests {
    use model::{Operation, OperationKind, Outcome, Severity, Transport, What};

    use super::DETECTOR;
    use crate::detectors::change::stories::{ENGINEER, INTRUDER, PLC, plant, read, tells_who_is_meant_to};
    use crate::detectors::{default_credentials, host_scan};
    use crate::testing::{On, Story, head, operation, unanswered, weakness};

    fn act(who: &str, whom: &str, kind: OperationKind, name: &'static str, block: &str) -> Operation {
        operation(who, whom, "s7comm", kind, name, Outcome::Done).on(block)
    }

    fn upload(who: &str, block: &str) -> Operation {
        act(who, PLC, OperationKind::ProgramUpload, "start-upload", block)
    }

    fn download(who: &str, block: &str) -> Operation {
        act(who, PLC, OperationKind::ProgramDownload, "request-download", block)
    }

    #[test]
    fn it_is_told_who_is_meant_to() {
        tells_who_is_meant_to(&DETECTOR, "s7comm", |who| download(who, "FC 3"));
    }

    /// Identify, upload and compare, stop, download, start: by the station that is known, also for the first time.
    #[test]
    fn an_engineer_at_work_is_not_told() {
        let mut story = plant(&DETECTOR, "s7comm");
        for block in ["OB 1", "FC 3", "DB 12"] {
            story = story.asks(upload(ENGINEER, block)).wait(2);
        }
        story = story.wait(300).asks(act(ENGINEER, PLC, OperationKind::Stop, "plc-stop", ""));
        for block in ["OB 1", "FC 3", "DB 12"] {
            story = story.asks(download(ENGINEER, block)).wait_ms(700);
        }
        story.asks(act(ENGINEER, PLC, OperationKind::Start, "plc-start", "")).silent();
    }

    /// The known station itself uploads what it will hook into, and puts blocks in that nobody ever read.
    #[test]
    fn a_worm_on_the_engineering_station_is_told_by_what_it_does() {
        let mut story = plant(&DETECTOR, "s7comm");
        for block in ["OB 1", "OB 35"] {
            story = story.asks(upload(ENGINEER, block)).wait_ms(200);
        }
        story = story.wait(60);
        for block in ["FC 1865", "FC 1874", "DB 890", "OB 35", "OB 1"] {
            story = story.asks(download(ENGINEER, block)).wait_ms(500);
        }
        let finding = story.only();
        assert!(finding.summary.contains("never read from the controller"), "{}", finding.summary);
        assert!(finding.summary.contains("the system itself calls"), "{}", finding.summary);
        assert_eq!(finding.severity, Severity::High);
    }

    /// Without a look at the programs, one controller after the other.
    #[test]
    fn a_burst_over_several_controllers_is_told_of_the_known_station_too() {
        let others = ["10.0.0.3", "10.0.0.4"];
        let mut story = plant(&DETECTOR, "s7comm").with_host(others[0]).with_host(others[1]);
        story = story.asks(download(ENGINEER, "FC 3")).wait(20);
        story.silent();
        for other in others {
            let kind = OperationKind::ProgramDownload;
            story = story.wait(20).asks(act(ENGINEER, other, kind, "request-download", "OB 1"));
        }
        let findings = story.findings();
        assert!(findings.iter().all(|finding| finding.actor.to_string() == ENGINEER), "{findings:#?}");
        assert!(findings.last().unwrap().summary.contains("3 controllers within the hour"), "{findings:#?}");
    }

    /// The same download, with nothing before and just after somebody new had come in.
    #[test]
    fn a_visit_just_before_speaks_against_it() {
        let unlooked = || plant(&DETECTOR, "s7comm").asks(read(ENGINEER, "s7comm")).wait(60);
        unlooked().asks(download(ENGINEER, "FC 3")).silent();
        let visit = head(INTRUDER, ENGINEER, 445, Transport::Tcp);
        let story = unlooked().then(What::FlowOpened(Box::new(visit))).wait(300);
        let finding = story.asks(download(ENGINEER, "FC 3")).only();
        assert!(
            finding.summary.contains("10.0.0.66 turned to it for the first time 5 minutes"),
            "{}",
            finding.summary
        );
    }

    /// A weak cipher of the station is no act: it does not make its work suspect.
    #[test]
    fn weaknesses_are_no_suspicion() {
        let rules = [&DETECTOR, &default_credentials::DETECTOR];
        let mut story = Story::of_all(&rules).with_host(PLC).with_host(ENGINEER);
        let weak = weakness(PLC, ENGINEER, 80, "http.default-credential", "admin");
        story = story.then(weak).asks(upload(ENGINEER, "FC 3")).wait(60);
        story = story.asks(download(ENGINEER, "FC 3"));
        assert_eq!(story.only().detector, default_credentials::DETECTOR.id);
    }

    /// Where programs always come from the project and are never uploaded, that alone is not told.
    #[test]
    fn what_is_usual_here_is_learnt() {
        let mut story = plant(&DETECTOR, "s7comm");
        for day in 0..10 {
            story = story.wait(86_400).asks(read(ENGINEER, "s7comm")).wait(60);
            story = story.asks(download(ENGINEER, "FC 3")).wait(5);
            if day > 5 {
                story = story.asks(download(ENGINEER, "OB 1"));
            }
        }
        story.silent();
    }

    /// A host that was there from the beginning, but scanned: its first download is told at once.
    #[test]
    fn whoever_scanned_before_is_told_even_in_the_first_hour() {
        let rules = [&DETECTOR, &host_scan::DETECTOR];
        let mut story = Story::of_all(&rules).with_host(PLC).with_host(INTRUDER);
        for last in 1..=20 {
            story = story.flow(unanswered(INTRUDER, &format!("10.0.1.{last}"), 445));
        }
        story = story.wait(5).asks(upload(INTRUDER, "FC 3")).wait(60).asks(download(INTRUDER, "FC 3"));
        let findings = story.findings();
        let found = findings.iter().find(|finding| finding.detector == DETECTOR.id).unwrap();
        assert_eq!(found.severity, Severity::High);
        assert!(found.summary.contains("it was found before: Host scan"), "{}", found.summary);
    }
}
