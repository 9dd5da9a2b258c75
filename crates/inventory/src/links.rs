//! Who talked to whom by which service: one entry of one cache line for each client, server and service.
//!
//! A link counts for both of its ends and is listed by both, so that one update serves the peers and the
//! services of two devices. Each end lists a bounded number; when an end lets a link go, the number of
//! conversations it had counted there is handed back, so that its services' counts stay whole.

use model::{Name, Service, Timestamp, Transport};

use crate::address::digest;
use crate::names::{NameId, Names, UNNAMED};
use crate::room::Blocks;
use crate::table::Table;

/// No node, no link.
pub(crate) const NONE: u32 = u32::MAX;

/// In place of a predecessor: the end does not list the link.
const LET_GO: u32 = u32::MAX - 1;

/// After so many conversations an end lists a link again that it had let go.
const OFTEN: u32 = 8;

/// So many links are looked at to find one that is long unused.
const SAMPLE: usize = 32;

/// A service in one word: protocol, transport and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code(u64);

impl Code {
    /// Nobody answered: the server is not proven to offer it.
    const UNANSWERED: u64 = 1 << 63;
    /// They spoke, but nothing is offered: a refused connection, an echo.
    const NO_SERVICE: u64 = 1 << 62;

    pub(crate) fn new(protocol: NameId, transport: Transport, port: u16) -> Self {
        let (kind, number) = match transport {
            Transport::Tcp => (0_u64, 0),
            Transport::Udp => (1, 0),
            Transport::Sctp => (2, 0),
            Transport::Icmp => (3, 0),
            Transport::Icmpv6 => (4, 0),
            Transport::Ip(number) => (5, u16::from(number)),
            Transport::Ether(number) => (6, number),
            Transport::Can => (7, 0),
            Transport::Wpan => (8, 0),
        };
        Self(kind << 48 | u64::from(number) << 32 | u64::from(port) << 16 | u64::from(protocol))
    }

    pub(crate) const fn unanswered(self) -> Self {
        Self(self.0 | Self::UNANSWERED)
    }

    /// The same conversation without a service; the port is forgotten, so that a scan of closed ports
    /// is one link.
    pub(crate) const fn no_service(self) -> Self {
        Self((self.0 | Self::NO_SERVICE) & !0xffff_0000)
    }

    /// The service, whether or not it was answered.
    pub(crate) const fn plain(self) -> Self {
        Self(self.0 & !Self::UNANSWERED)
    }

    pub(crate) const fn is_answered(self) -> bool {
        self.0 & Self::UNANSWERED == 0
    }

    pub(crate) const fn is_service(self) -> bool {
        self.0 & Self::NO_SERVICE == 0
    }

    pub(crate) const fn protocol(self) -> NameId {
        self.0 as NameId
    }

    pub(crate) const fn is_identified(self) -> bool {
        self.protocol() != UNNAMED
    }

    pub(crate) const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub(crate) const fn transport(self) -> Transport {
        let number = (self.0 >> 32) as u16;
        match (self.0 >> 48) as u8 {
            0 => Transport::Tcp,
            1 => Transport::Udp,
            2 => Transport::Sctp,
            3 => Transport::Icmp,
            4 => Transport::Icmpv6,
            5 => Transport::Ip(number as u8),
            6 => Transport::Ether(number),
            7 => Transport::Can,
            _ => Transport::Wpan,
        }
    }

    /// The digest of the link of two nodes by the service.
    pub(crate) const fn digest(self, ends: [u32; 2]) -> u64 {
        digest((ends[0] as u64) << 32 | ends[1] as u64, self.0)
    }

    /// As the rest of the house knows it.
    pub(crate) fn service(self, names: &Names) -> Service {
        // Nearly all are one of two, whose names need not be written each time.
        let transport = match self.transport() {
            Transport::Tcp => Name::Borrowed("tcp"),
            Transport::Udp => Name::Borrowed("udp"),
            other => Name::Owned(other.to_string()),
        };
        let protocol =
            if self.is_identified() { names.name(self.protocol()).clone() } else { transport.clone() };
        Service { protocol, transport: transport.into(), port: self.port() }
    }

    /// The word of a service that was kept in a store; `None` if its transport is not known.
    pub(crate) fn restored(service: &Service, protocol: NameId) -> Option<Self> {
        let hex = |text: &str| u16::from_str_radix(text, 16).ok();
        let transport = match &*service.transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            "sctp" => Transport::Sctp,
            "icmp" => Transport::Icmp,
            "icmpv6" => Transport::Icmpv6,
            "can" => Transport::Can,
            "wpan" => Transport::Wpan,
            other => match other.split_once('-')? {
                ("ip", number) => Transport::Ip(number.parse().ok()?),
                ("ether", number) => Transport::Ether(hex(number)?),
                _ => return None,
            },
        };
        let protocol = if service.protocol == *service.transport { UNNAMED } else { protocol };
        Some(Self::new(protocol, transport, service.port))
    }
}

/// The client's and the server's part in arrays of two.
pub(crate) const CLIENT: usize = 0;
/// See [`CLIENT`].
pub(crate) const SERVER: usize = 1;

/// What passed between a client and a server by one service.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Link {
    /// Client and server; the server is [`NONE`] for a group or an unknown host.
    pub(crate) ends: [u32; 2],
    /// The service.
    pub(crate) code: Code,
    /// Conversations that ended since each end lists the link, or does not list it any more.
    pub(crate) flows: [u32; 2],
    /// Bytes that client and server sent.
    pub(crate) bytes: [u64; 2],
    /// When they last spoke.
    pub(crate) last: Timestamp,
    next: [u32; 2],
    previous: [u32; 2],
}

/// The links that a node lists in one part.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    length: u16,
    /// Whether it was ever too long: other ends may list links that it does not.
    shortened: bool,
}

/// A node let a link go: so many conversations in that part are to be added to its service's count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetGo {
    pub(crate) node: u32,
    pub(crate) part: usize,
    pub(crate) code: Code,
    pub(crate) flows: u32,
}

/// All links.
pub(crate) struct Links {
    links: Blocks<Link>,
    free: Vec<u32>,
    table: Table,
    lists: Blocks<[List; 2]>,
    /// What nodes let go since it was last asked for.
    pub(crate) let_go: Vec<LetGo>,
    limit: usize,
    per_node: u16,
    hand: usize,
    /// How many links were given up for the limit since it was last asked for.
    pub(crate) shed: u64,
}

impl Links {
    pub(crate) fn new(limit: usize, per_node: usize) -> Self {
        Self {
            links: Blocks::default(),
            free: Vec::new(),
            table: Table::default(),
            lists: Blocks::default(),
            let_go: Vec::new(),
            limit: limit.clamp(1, LET_GO as usize - 1),
            per_node: u16::try_from(per_node).unwrap_or(u16::MAX - 1).clamp(2, u16::MAX - 1),
            hand: 0,
            shed: 0,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.links.len() - self.free.len()
    }

    /// Makes room for the lists of nodes up to this one.
    pub(crate) fn know_node(&mut self, node: u32) {
        while self.lists.len() <= node as usize {
            self.lists.push([List { head: NONE, length: 0, shortened: false }; 2]);
        }
    }

    fn find(&self, ends: [u32; 2], code: Code) -> Option<u32> {
        self.table.find(code.digest(ends), |at| {
            let link = &self.links[at];
            link.ends == ends && link.code == code
        })
    }

    /// What stands where the search for a link begins.
    pub(crate) fn peek(&self, digest: u64) -> u64 {
        self.table.peek(digest)
    }

    /// The link that most likely has this digest.
    pub(crate) fn guess(&self, digest: u64) -> Option<u32> {
        self.table.guess(digest)
    }

    pub(crate) fn link(&self, at: u32) -> &Link {
        &self.links[at]
    }

    /// The link between two nodes by a service, made if there is none; and whether it was made.
    pub(crate) fn between(&mut self, ends: [u32; 2], code: Code) -> (u32, bool) {
        if let Some(at) = self.find(ends, code) {
            return (at, false);
        }
        if self.len() >= self.limit {
            self.give_one_up();
        }
        let link = Link {
            ends,
            code,
            flows: [0; 2],
            bytes: [0; 2],
            last: Timestamp::EPOCH,
            next: [NONE; 2],
            previous: [LET_GO; 2],
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.links[at] = link;
                at
            }
            None => {
                self.links.push(link);
                (self.links.len() - 1) as u32
            }
        };
        self.table.insert(code.digest(ends), at);
        self.list(at, CLIENT);
        self.list(at, SERVER);
        (at, true)
    }

    /// Adds a conversation's volume, and the conversation itself if it has ended. An end that does not list
    /// the link is handed the conversation at once, and lists the link again when they meet often.
    pub(crate) fn add(&mut self, at: u32, ended: bool, bytes: [u64; 2], when: Timestamp) {
        let link = &mut self.links[at];
        link.last = link.last.max(when);
        for part in [CLIENT, SERVER] {
            let link = &mut self.links[at];
            link.flows[part] = link.flows[part].saturating_add(u32::from(ended));
            link.bytes[part] = link.bytes[part].saturating_add(bytes[part]);
            let (node, code, flows) = (link.ends[part], link.code, link.flows[part]);
            if link.previous[part] == LET_GO && node != NONE && ended {
                self.let_go.push(LetGo { node, part, code, flows: 1 });
                if flows >= OFTEN {
                    self.links[at].flows[part] = 0;
                    self.list(at, part);
                }
            }
        }
    }

    /// The links that a node lists in one part, most recently listed first.
    pub(crate) fn of(&self, node: u32, part: usize) -> impl Iterator<Item = &Link> {
        let head = self.head(node, part).and_then(|head| self.links.get(head));
        std::iter::successors(head, move |link| self.links.get(link.next[part]))
    }

    /// Whether a node lists any link.
    pub(crate) fn has_any(&self, node: u32) -> bool {
        self.lists.get(node).is_some_and(|lists| lists.iter().any(|list| list.length > 0))
    }

    /// All links of `from` become links of `to`, added to those that it has.
    pub(crate) fn hand_over(&mut self, from: u32, to: u32) {
        let unlisted = self.unlisted(from);
        for part in [CLIENT, SERVER] {
            while let Some(at) = self.head(from, part) {
                self.rename(at, from, to);
            }
        }
        for at in unlisted {
            if self.links[at].ends.contains(&from) {
                self.rename(at, from, to);
            }
        }
    }

    /// A link of `from` becomes one of `to`.
    fn rename(&mut self, at: u32, from: u32, to: u32) {
        let link = self.links[at];
        let listed = [CLIENT, SERVER].map(|part| link.previous[part] != LET_GO);
        self.remove(at);
        let ends = link.ends.map(|end| if end == from { to } else { end });
        let (at, _) = self.between(ends, link.code);
        let merged = &mut self.links[at];
        for part in [CLIENT, SERVER] {
            // An end that did not list it was handed its conversations already.
            let flows = if listed[part] { link.flows[part] } else { 0 };
            merged.flows[part] = merged.flows[part].saturating_add(flows);
            merged.bytes[part] = merged.bytes[part].saturating_add(link.bytes[part]);
        }
        merged.last = merged.last.max(link.last);
    }

    /// The links of a node that it does not list, but their other ends do. Only a node that has had very
    /// many has such; all links are looked at for it.
    fn unlisted(&mut self, node: u32) -> Vec<u32> {
        let Some(lists) = self.lists.get(node) else { return Vec::new() };
        if lists.iter().all(|list| !list.shortened) {
            return Vec::new();
        }
        self.lists[node].iter_mut().for_each(|list| list.shortened = false);
        let is_one = |at: &u32| {
            let link = &self.links[*at];
            [CLIENT, SERVER].iter().any(|part| link.ends[*part] == node && link.previous[*part] == LET_GO)
        };
        (0..self.links.len() as u32).filter(is_one).collect()
    }

    /// Removes a node's links; their other ends are handed back what they had counted.
    pub(crate) fn forget(&mut self, node: u32) {
        let drop = |links: &mut Self, at| {
            links.unlist(at, CLIENT);
            links.unlist(at, SERVER);
            links.drop_if_unlisted(at);
        };
        for at in self.unlisted(node) {
            drop(self, at);
        }
        for part in [CLIENT, SERVER] {
            while let Some(at) = self.head(node, part) {
                drop(self, at);
            }
        }
        self.let_go.retain(|gone| gone.node != node);
    }

    /// The link that a node lists first in one part.
    pub(crate) fn head(&self, node: u32, part: usize) -> Option<u32> {
        self.lists.get(node).map(|lists| lists[part].head).filter(|head| *head != NONE)
    }

    /// Puts a link at the head of an end's list, and shortens the list if it has become too long.
    fn list(&mut self, at: u32, part: usize) {
        let node = self.links[at].ends[part];
        if node == NONE {
            return;
        }
        self.know_node(node);
        let list = &mut self.lists[node][part];
        let head = std::mem::replace(&mut list.head, at);
        list.length += 1;
        let too_long = list.length > self.per_node;
        if head != NONE {
            self.links[head].previous[part] = at;
        }
        let link = &mut self.links[at];
        link.next[part] = head;
        link.previous[part] = NONE;
        if too_long {
            self.lists[node][part].shortened = true;
            self.shorten(node, part, at);
        }
    }

    /// Lets the less recent half of a list go, so that a busy server does not pay for each new client.
    fn shorten(&mut self, node: u32, part: usize, keep: u32) {
        let mut listed = Vec::new();
        let mut at = self.lists[node][part].head;
        while at != NONE {
            if at != keep {
                listed.push((self.links[at].last, at));
            }
            at = self.links[at].next[part];
        }
        let half = listed.len() / 2;
        listed.select_nth_unstable(half);
        for (_, at) in &listed[..half] {
            self.unlist(*at, part);
            self.drop_if_unlisted(*at);
        }
    }

    /// Takes a link from an end's list and hands back what the end had counted.
    fn unlist(&mut self, at: u32, part: usize) {
        let link = &mut self.links[at];
        let (node, next, previous) = (link.ends[part], link.next[part], link.previous[part]);
        if previous == LET_GO {
            return;
        }
        let flows = std::mem::take(&mut link.flows[part]);
        link.previous[part] = LET_GO;
        self.let_go.push(LetGo { node, part, code: link.code, flows });
        let list = &mut self.lists[node][part];
        list.length -= 1;
        if previous == NONE {
            list.head = next;
        } else {
            self.links[previous].next[part] = next;
        }
        if next != NONE {
            self.links[next].previous[part] = previous;
        }
    }

    fn drop_if_unlisted(&mut self, at: u32) {
        if self.links[at].previous == [LET_GO; 2] {
            self.erase(at);
        }
    }

    /// Removes a link without handing anything back.
    fn remove(&mut self, at: u32) {
        let before = self.let_go.len();
        self.unlist(at, CLIENT);
        self.unlist(at, SERVER);
        self.let_go.truncate(before);
        self.erase(at);
    }

    fn erase(&mut self, at: u32) {
        let link = self.links[at];
        self.table.remove(link.code.digest(link.ends), at);
        self.links[at].ends = [NONE; 2];
        self.free.push(at);
    }

    /// Gives up the least recently used of some links.
    fn give_one_up(&mut self) {
        let mut victim = None;
        for _ in 0..SAMPLE.min(self.links.len()) {
            self.hand = (self.hand + 1) % self.links.len();
            let link = &self.links[self.hand as u32];
            if link.ends != [NONE; 2] {
                victim = victim.into_iter().chain([(link.last, self.hand as u32)]).min();
            }
        }
        if let Some((_, at)) = victim {
            self.unlist(at, CLIENT);
            self.unlist(at, SERVER);
            self.drop_if_unlisted(at);
            self.shed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(port: u16) -> Code {
        Code::new(2, Transport::Tcp, port)
    }

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn a_code_holds_its_service_whole() {
        use Transport::{Ether, Ip, Tcp, Udp, Wpan};
        for transport in [Tcp, Udp, Ip(89), Ether(0x88b8), Wpan] {
            let code = Code::new(7, transport, 502);
            assert_eq!(*code.service(&Names::new(8)).transport, transport.to_string());
            assert_eq!((code.protocol(), code.transport(), code.port()), (7, transport, 502));
            assert!(code.is_answered() && code.is_service() && code.is_identified());
            assert!(!code.unanswered().is_answered());
            assert_eq!(code.unanswered().plain(), code);
            assert_eq!(code.no_service().port(), 0);
        }
    }

    #[test]
    fn one_end_may_let_a_link_go_that_the_other_keeps_and_no_conversation_is_lost() {
        let mut links = Links::new(1000, 8);
        let server = 0;
        for client in 1..=20 {
            let (at, new) = links.between([client, server], code(80));
            assert!(new);
            links.add(at, true, [10, 20], seconds(client.into()));
        }
        let listed = links.of(server, SERVER).count();
        assert!(listed <= 8, "{listed}");
        assert_eq!(links.len(), 20, "the clients still list theirs");
        let handed_back: u32 = links.let_go.iter().map(|gone| gone.flows).sum();
        let kept: u32 = links.of(server, SERVER).map(|link| link.flows[SERVER]).sum();
        assert_eq!(handed_back + kept, 20);
        assert!(links.of(server, SERVER).all(|link| link.ends[0] > 8), "the least recent went");
        // A client that was let go comes back; its conversations count, and soon it is listed again.
        let total = |links: &Links| {
            let handed_back: u32 = links.let_go.iter().map(|gone| gone.flows).sum();
            handed_back + links.of(server, SERVER).map(|link| link.flows[SERVER]).sum::<u32>()
        };
        for more in 1..=OFTEN {
            assert!(links.of(server, SERVER).all(|link| link.ends[0] != 1));
            let (at, new) = links.between([1, server], code(80));
            assert!(!new);
            links.add(at, true, [10, 20], seconds(100));
            assert_eq!(total(&links), 20 + more);
        }
        assert!(links.of(server, SERVER).any(|link| link.ends[0] == 1));
    }

    #[test]
    fn links_handed_over_are_added_to_those_of_the_new_node() {
        let mut links = Links::new(1000, 8);
        for (ends, port) in [([1, 9], 80), ([2, 9], 80), ([9, 1], 22), ([1, 2], 1)] {
            let (at, _) = links.between(ends, code(port));
            links.add(at, true, [1, 2], seconds(1));
        }
        links.hand_over(1, 2);
        assert_eq!(links.of(1, CLIENT).count() + links.of(1, SERVER).count(), 0);
        let merged = links.of(2, CLIENT).find(|link| link.ends == [2, 9]).unwrap();
        assert_eq!((merged.flows, merged.bytes), ([2, 2], [2, 4]));
        assert_eq!(links.of(2, SERVER).filter(|link| link.ends == [9, 2]).count(), 1);
        assert_eq!(links.len(), 3);
        links.forget(2);
        assert_eq!(links.len(), 0);
    }

    #[test]
    fn the_limit_holds_and_what_was_given_up_is_counted() {
        let mut links = Links::new(100, 8);
        for client in 0..1000 {
            let (at, _) = links.between([client, 5000 + client], code(80));
            links.add(at, true, [1, 1], seconds(client.into()));
        }
        assert_eq!((links.len(), links.shed), (100, 900));
    }
}
