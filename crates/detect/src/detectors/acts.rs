//! Acts that are harmless by themselves and become part of a story once somebody is found to attack: who looked for
//! services in vain, asked controllers what they are, was in session with whom, carried files where; and who did so
//! when, kept for a day.

use model::{
    FlowHead, FlowId, FlowRecord, Host, Operation, OperationKind, Outcome, Timestamp, Transport, What,
};
use serde::{Deserialize, Serialize};

use super::contacts::Contact;
use super::suspicion::span;
use super::{roles, services};
use crate::hosts::Addr;
use crate::judge::{Seen, Site, is_industrial};
use crate::table::Table;

/// Acts of so many hosts are remembered; whoever did nothing of the kind for longest goes first.
const MAX_HOSTS: usize = 2048;
/// So many of each host; those of longest ago go first.
const PER_HOST: usize = 48;
/// So many conversations are named as evidence of each.
const SHOWN: usize = 4;
/// So many hosts that did not answer are told apart.
const IN_VAIN: usize = 64;
/// A program has so many bytes at least: packed, the smallest of malware for small devices have a few tens of thousands.
const PROGRAM: u64 = 1 << 15;
/// Acts are remembered for so long, in seconds: a day's work.
pub(super) const REMEMBERED: u64 = 24 * 3600;
/// After a pause of so long in seconds the same act is another occasion: half an hour, as is usual for sessions.
const PAUSE: u64 = 1800;

/// What kind of act it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Deed {
    /// A controller or a service for managing hosts was looked for where none answered.
    Look,
    /// A device was asked what it is.
    Identify,
    /// A conversation by an industrial protocol.
    Talk,
    /// A program was taken out of a controller.
    Upload,
    /// Something was written or operated.
    Command,
    /// A controller was stopped, started, set up, programmed.
    Change,
    /// A session with a host: command line, desktop, shares.
    Session,
    /// A session with the web page of a device.
    Web,
    /// A file was brought.
    Bring,
    /// A file was fetched.
    Fetch,
    /// A device on which nobody works took much from the Internet: a program, if it was to become another one.
    Load,
}

impl Deed {
    /// Its name, as a finding's matter.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Look => "search",
            Self::Identify => "identification",
            Self::Talk => "conversation",
            Self::Upload => "program upload",
            Self::Command => "command",
            Self::Change => "change",
            Self::Session => "session",
            Self::Web => "web session",
            Self::Bring => "files brought",
            Self::Fetch => "files fetched",
            Self::Load => "download",
        }
    }

    /// Whether it gives whoever does it a hold on the other: a way in.
    pub(super) const fn enters(self) -> bool {
        matches!(self, Self::Session | Self::Web)
    }

    /// Whether it is a conversation, within which others of these acts are done.
    pub(super) const fn is_conversation(self) -> bool {
        matches!(self, Self::Look | Self::Talk | Self::Session | Self::Web | Self::Load)
    }

    /// Whether stations do it all day long.
    pub(super) const fn is_routine(self) -> bool {
        matches!(self, Self::Talk | Self::Command)
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Look => ("looked for", ""),
            Self::Identify => ("asked", " what it is and holds"),
            Self::Talk => ("turned to", ""),
            Self::Upload => ("took the program out of", ""),
            Self::Command => ("commanded", ""),
            Self::Change => ("changed the state of", ""),
            Self::Session | Self::Web => ("was in session with", ""),
            Self::Bring => ("brought files to", ""),
            Self::Fetch => ("fetched files from", ""),
            Self::Load => ("took much from", ""),
        }
    }
}

/// One act.
pub(super) struct Act<'a> {
    pub(super) deed: Deed,
    /// The protocol or service.
    pub(super) by: &'a str,
    /// The protocol's own name for it, where something was asked.
    pub(super) how: &'a str,
    pub(super) who: &'a Host,
    pub(super) whom: &'a Host,
    pub(super) flow: FlowId,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Whether more was sent than came back: files, if there were any, went to the other.
    pub(super) brings: bool,
}

impl<'a> Act<'a> {
    /// What was observed, if it is such an act. Nearly always it is not, and that shows at once.
    pub(super) fn of(seen: &Seen<'a>) -> Option<Self> {
        let act = match seen.what {
            What::FlowEnded(record) => Self::conversation(record, seen.site)?,
            What::Operation(operation) => Self::operation(seen, operation)?,
            _ => return None,
        };
        // Made-up senders do nothing that could be told of them.
        let (client, server) = (seen.client.is_somebody(), seen.server.is_somebody());
        (client && (server || act.deed == Deed::Look)).then_some(act)
    }

    fn conversation(record: &'a FlowRecord, site: Site<'_>) -> Option<Self> {
        let head = &record.head;
        let deed_and_service = |deed, service| Some((deed, service));
        let manages = || services::management(head).filter(|_| head.transport == Transport::Tcp);
        let (deed, by) = if let Some(service) = services::industrial(head) {
            deed_and_service(Deed::Talk, service)
        } else if let Some(service) = manages() {
            deed_and_service(Deed::Session, service)
        } else if loads(record, site) {
            deed_and_service(Deed::Load, record.protocol.as_deref().unwrap_or("an unknown protocol"))
        } else {
            let page = web(head).filter(|_| is_managed_by_web(site, &head.server.host));
            page.and_then(|page| deed_and_service(Deed::Web, page))
        }?;
        let has_talked = record.sent.payload > 0 && record.received.payload > 0;
        let deed = match Contact::of(record) {
            _ if has_talked => deed,
            Some(Contact::Failed) if deed != Deed::Web && head.transport == Transport::Tcp => Deed::Look,
            _ => return None,
        };
        Some(Self {
            deed,
            by,
            how: "",
            who: &head.client.host,
            whom: &head.server.host,
            flow: head.id,
            first: record.first,
            last: record.last,
            brings: record.sent.payload > record.received.payload,
        })
    }

    fn operation(seen: &Seen<'a>, operation: &'a Operation) -> Option<Self> {
        let protocol = &*operation.protocol;
        let (deed, by) = match operation.kind {
            OperationKind::Identify | OperationKind::Discover => (Deed::Identify, protocol),
            OperationKind::ProgramUpload => (Deed::Upload, protocol),
            OperationKind::Write | OperationKind::Execute => (Deed::Command, protocol),
            OperationKind::Configure
            | OperationKind::Start
            | OperationKind::Stop
            | OperationKind::Restart
            | OperationKind::ChangeMode
            | OperationKind::ProgramDownload
            | OperationKind::FirmwareUpdate
            | OperationKind::SetTime => (Deed::Change, protocol),
            OperationKind::TransferFile if services::PUTS.contains(&&*operation.name) => {
                (Deed::Bring, protocol)
            }
            OperationKind::TransferFile => (Deed::Fetch, protocol),
            OperationKind::Authenticate if operation.outcome == Outcome::Done => match protocol {
                "smb" => (Deed::Session, "file sharing (SMB)"),
                "telnet" => (Deed::Session, "Telnet"),
                "ssh" => (Deed::Session, "SSH"),
                "http" => (Deed::Web, "HTTP, logged in"),
                _ => return None,
            },
            _ => return None,
        };
        let carries_files = matches!(protocol, "ftp" | "tftp");
        let is_own = match deed {
            Deed::Session | Deed::Web => true,
            Deed::Bring | Deed::Fetch => carries_files || is_industrial(protocol),
            _ => is_industrial(protocol),
        };
        if !is_own || operation.outcome == Outcome::Refused && deed != Deed::Command {
            return None;
        }
        let (asker, asked) =
            (operation.flow.endpoint(operation.from), operation.flow.endpoint(operation.from.other()));
        Some(Self {
            deed,
            by,
            how: if deed.is_conversation() { "" } else { &operation.name },
            who: &asker.host,
            whom: &asked.host,
            flow: operation.flow.id,
            first: seen.at,
            last: seen.at,
            brings: deed == Deed::Bring,
        })
    }

    /// The act in words, with what is known of it: who did what to whom.
    pub(super) fn told(&self, entry: &Entry) -> String {
        let whom = match self.deed {
            Deed::Look => format!("{} hosts", entry.in_vain()),
            _ => self.whom.to_string(),
        };
        tell(self.who, self.deed, &way(self.by, self.how), &whom)
    }
}

/// By what it was done: the protocol or service, and the protocol's own name for it.
fn way(by: &str, how: &str) -> String {
    if how.is_empty() { by.to_owned() } else { format!("{how} ({by})") }
}

/// Who did what to whom, by what.
fn tell(who: &Host, deed: Deed, by: &str, whom: &str) -> String {
    let (did, ending) = deed.words();
    match deed {
        Deed::Look => format!("{who} {did} {by} in vain at {whom}"),
        _ => format!("{who} {did} {whom}{ending} by {by}"),
    }
}

/// Whether a device on which nobody works took so much from the Internet that it may be a program.
fn loads(record: &FlowRecord, site: Site<'_>) -> bool {
    let FlowRecord { head, sent, received, .. } = record;
    received.payload >= PROGRAM
        && received.payload > sent.payload
        && site.is_external(&head.server.host)
        && site.is_one_of(&head.client.host, roles::THINGS)
}

/// Things that are managed through a web page of their own, and servers by which a process is run.
fn is_managed_by_web(site: Site<'_>, host: &Host) -> bool {
    let is_one_of = |roles| site.is_one_of(host, roles);
    is_one_of(roles::RUNNING) || is_one_of(roles::THINGS) && !is_one_of(roles::USED_AT)
}

/// The ports at which web pages are usually served.
fn web(head: &FlowHead) -> Option<&'static str> {
    Some(match (head.transport, head.server.port) {
        (Transport::Tcp, 80 | 8000 | 8080) => "HTTP",
        (Transport::Tcp, 443 | 8443) => "HTTPS",
        _ => return None,
    })
}

/// What a host did to another on one occasion, whatever often.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) deed: Deed,
    pub(super) by: Box<str>,
    how: Box<str>,
    /// The other of the two.
    pub(super) other: Host,
    /// When it was done at all for the first time that is remembered.
    pub(super) met: Timestamp,
    /// When this occasion began, and when it was done last.
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// How often on this occasion.
    pub(super) times: u32,
    /// Whether more went to the other than came back.
    pub(super) brings: bool,
    pub(super) flows: Vec<FlowId>,
    /// Digests of those that did not answer.
    in_vain: Vec<u32>,
}

impl Entry {
    fn of(act: &Act<'_>, other: &Host) -> Self {
        Self {
            deed: act.deed,
            by: act.by.into(),
            how: act.how.into(),
            other: *other,
            met: act.first,
            first: act.first,
            last: act.last,
            times: 0,
            brings: act.brings,
            flows: Vec::new(),
            in_vain: Vec::new(),
        }
    }

    /// Whether it is the same kind of act, and by the same two; those that did not answer are taken together.
    fn is_of(&self, act: &Act<'_>, other: Addr) -> bool {
        self.deed == act.deed
            && (act.deed == Deed::Look || Addr::of(&self.other) == Some(other))
            && *self.by == *act.by
            && *self.how == *act.how
    }

    fn take(&mut self, act: &Act<'_>, other: &Host) {
        if act.first.since(self.last).as_secs() > PAUSE {
            (self.first, self.times) = (act.first, 0);
            self.flows.clear();
            self.in_vain.clear();
        }
        self.first = self.first.min(act.first);
        self.last = self.last.max(act.last);
        // A session is told when somebody logs in and when it ends, and every now and then while it goes on.
        if act.deed.enters() && self.flows.contains(&act.flow) {
            self.brings |= act.brings;
            return;
        }
        self.brings = act.brings || self.times > 0 && self.brings;
        self.times = self.times.saturating_add(1);
        if self.flows.len() < SHOWN && !self.flows.contains(&act.flow) {
            self.flows.push(act.flow);
        }
        if act.deed == Deed::Look
            && let Some(digest) = Addr::of(other).map(Addr::digest)
            && self.in_vain.len() < IN_VAIN
            && !self.in_vain.contains(&digest)
        {
            self.in_vain.push(digest);
        }
    }

    /// How many hosts did not answer.
    pub(super) const fn in_vain(&self) -> usize {
        self.in_vain.len()
    }
}

/// What one host did, or what was done to it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Acts {
    entries: Vec<Entry>,
    /// When there was last more than could be remembered.
    overflowed: Option<Timestamp>,
}

impl Acts {
    fn take(&mut self, act: &Act<'_>, other: &Host) -> Option<&Entry> {
        let addr = Addr::of(other)?;
        let place = self.entries.iter().position(|entry| entry.is_of(act, addr));
        let place = place.unwrap_or_else(|| {
            self.entries.retain(|entry| act.last.since(entry.last).as_secs() < REMEMBERED);
            if self.entries.len() >= PER_HOST {
                let old = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.last);
                let old = old.map_or(0, |(place, _)| place);
                self.entries.swap_remove(old);
                self.overflowed = Some(act.last);
            }
            self.entries.push(Entry::of(act, other));
            self.entries.len() - 1
        });
        // What is done again and again is found at once.
        self.entries.swap(0, place);
        let entry = self.entries.first_mut()?;
        entry.take(act, other);
        Some(entry)
    }

    /// What is remembered of the last `seconds`.
    pub(super) fn within(&self, seconds: u64, now: Timestamp) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| now.since(entry.last).as_secs() < seconds)
    }

    /// Whether all that was done lately is remembered, so that what is not there was not done.
    pub(super) fn is_whole(&self, now: Timestamp) -> bool {
        self.overflowed.is_none_or(|then| now.since(then).as_secs() >= REMEMBERED)
    }
}

/// Who did what, or what was done to whom.
#[derive(Debug)]
pub(super) struct Journal {
    hosts: Table<Addr, Acts>,
    /// When the first observation came.
    watch: Option<Timestamp>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { hosts: Table::new(MAX_HOSTS), watch: None }
    }
}

/// A journal as it is kept over a restart.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct KeptJournal {
    hosts: Vec<(Addr, Acts)>,
    watch: Option<Timestamp>,
}

/// A journal as it is to be kept.
#[derive(Serialize)]
pub(super) struct KeepJournal<'a> {
    hosts: Vec<(&'a Addr, &'a Acts)>,
    watch: Option<Timestamp>,
}

impl Journal {
    /// Takes note of the time; when the watch began.
    pub(super) fn begin(&mut self, at: Timestamp) -> Timestamp {
        *self.watch.get_or_insert(at)
    }

    /// When the watch began; it is `now` if nothing was seen.
    pub(super) fn watch(&self, now: Timestamp) -> Timestamp {
        self.watch.unwrap_or(now)
    }

    /// Writes an act down under `whose`, and with whom it was. What is known of it by now, and whether all is.
    pub(super) fn take(&mut self, whose: &Host, act: &Act<'_>, other: &Host) -> Option<(&Entry, bool)> {
        let (acts, _) = self.hosts.entry(Addr::of(whose)?, Acts::default);
        let is_whole = acts.is_whole(act.last);
        acts.take(act, other).map(|entry| (entry, is_whole))
    }

    pub(super) fn get(&self, host: &Host) -> Option<&Acts> {
        self.hosts.get(&Addr::of(host)?)
    }

    pub(super) fn keep(&self) -> KeepJournal<'_> {
        KeepJournal { hosts: self.hosts.iter().collect(), watch: self.watch }
    }

    pub(super) fn take_back(&mut self, kept: KeptJournal) {
        for (addr, mut acts) in kept.hosts.into_iter().take(MAX_HOSTS) {
            acts.entries.truncate(PER_HOST);
            for entry in &mut acts.entries {
                entry.flows.truncate(SHOWN);
                entry.in_vain.truncate(IN_VAIN);
            }
            self.hosts.place(addr, || acts);
        }
        self.watch = kept.watch;
    }
}

/// Several acts of one kind, told as one.
pub(super) struct Group<'a> {
    pub(super) who: &'a Host,
    pub(super) deed: Deed,
    pub(super) entries: Vec<&'a Entry>,
}

impl Group<'_> {
    pub(super) fn first(&self) -> Timestamp {
        self.entries.iter().map(|entry| entry.first).min().unwrap_or_default()
    }

    pub(super) fn last(&self) -> Timestamp {
        self.entries.iter().map(|entry| entry.last).max().unwrap_or_default()
    }

    pub(super) fn times(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.times)).sum()
    }

    pub(super) fn flows(&self) -> Vec<FlowId> {
        self.entries.iter().flat_map(|entry| &entry.flows).copied().collect()
    }

    /// The acts in words: who did what to whom, and how long before `now`.
    pub(super) fn told(&self, whom: &Host, now: Timestamp) -> String {
        let mut others: Vec<_> = self.entries.iter().map(|entry| &entry.other).collect();
        others.sort_unstable();
        others.dedup();
        let whom = match (self.deed, others.len()) {
            (Deed::Look, _) => {
                let most = self.entries.iter().map(|entry| entry.in_vain()).max().unwrap_or_default();
                format!("{most} hosts")
            }
            (_, 0 | 1) => whom.to_string(),
            (_, 2) => format!("{whom} and another"),
            (_, count) => format!("{whom} and {} others", count - 1),
        };
        let mut by: Vec<String> = self.entries.iter().map(|entry| way(&entry.by, &entry.how)).collect();
        by.sort_unstable();
        by.dedup();
        let by = by.join(" and ");
        let ago = |then: Timestamp| span(now.since(then).as_secs());
        let (first, last) = (ago(self.first()), ago(self.last()));
        let when =
            if first == last { format!("{first} before") } else { format!("from {first} to {last} before") };
        format!("{}, {when}", tell(self.who, self.deed, &by, &whom))
    }
}

#[cfg(test)]
mod tests {
    use model::FlowId;

    use super::*;

    fn host(last: u8) -> Host {
        Host::from_ip([10, 0, 0, last].into())
    }

    fn act<'a>(deed: Deed, who: &'a Host, whom: &'a Host, at: u64) -> Act<'a> {
        let (first, last) = (Timestamp::from_secs(at), Timestamp::from_secs(at + 1));
        Act { deed, by: "modbus", how: "", who, whom, flow: FlowId(at), first, last, brings: false }
    }

    #[test]
    fn an_act_is_counted_on_its_occasion_and_another_begins_after_a_pause() {
        let (who, whom) = (host(1), host(2));
        let mut journal = Journal::default();
        for at in [0, 10, 20, 20 + PAUSE + 2] {
            journal.take(&who, &act(Deed::Talk, &who, &whom, at), &whom);
        }
        let (now, acts) = (Timestamp::from_secs(3000), journal.get(&who).unwrap());
        let entries: Vec<_> = acts.within(REMEMBERED, now).collect();
        assert_eq!((entries.len(), entries[0].times), (1, 1));
        assert_eq!((entries[0].met.as_secs(), entries[0].first.as_secs()), (0, 22 + PAUSE));
        assert_eq!(acts.within(60, Timestamp::from_secs(9000)).count(), 0);
    }

    #[test]
    fn searches_are_one_act_whomever_they_look_for() {
        let who = host(1);
        let mut journal = Journal::default();
        let others: Vec<Host> = (2..=200).map(host).collect();
        for (at, whom) in (0..).zip(&others) {
            journal.take(&who, &act(Deed::Look, &who, whom, at), whom);
        }
        let acts = journal.get(&who).unwrap();
        let entries: Vec<_> = acts.within(REMEMBERED, Timestamp::from_secs(300)).collect();
        assert_eq!((entries.len(), entries[0].times, entries[0].in_vain()), (1, 199, IN_VAIN));
    }

    #[test]
    fn a_host_with_more_acts_than_are_remembered_is_known_in_part() {
        let who = host(1);
        let mut journal = Journal::default();
        let others: Vec<Host> = (2..).take(PER_HOST + 1).map(host).collect();
        for (at, whom) in (0..).zip(&others) {
            let known = journal.take(&who, &act(Deed::Talk, &who, whom, at), whom);
            assert!(known.is_some_and(|(_, is_whole)| is_whole));
        }
        let acts = journal.get(&who).unwrap();
        let now = Timestamp::from_secs(100);
        assert_eq!((acts.within(REMEMBERED, now).count(), acts.is_whole(now)), (PER_HOST, false));
        assert!(acts.is_whole(Timestamp::from_secs(100 + REMEMBERED)));
        assert!(!acts.within(REMEMBERED, now).any(|entry| entry.other == others[0]));
    }

    #[test]
    fn hosts_are_remembered_within_the_limit_also_when_taken_back() {
        let mut journal = Journal::default();
        let whom = host(1);
        for number in 0..MAX_HOSTS as u32 + 5 {
            let who = Host::from_ip(std::net::Ipv4Addr::from_bits(0x0a00_0001 + (number << 8)).into());
            journal.take(&who, &act(Deed::Talk, &who, &whom, 0), &whom);
        }
        assert_eq!(journal.hosts.len(), MAX_HOSTS);
        let kept = serde_json::to_vec(&journal.keep()).unwrap();
        let mut other = Journal::default();
        other.take_back(serde_json::from_slice(&kept).unwrap());
        assert_eq!(other.hosts.len(), MAX_HOSTS);
    }
}
