//! What observations are about to need, fetched for several of them together.

use std::hint::black_box;

use model::{Attribute, FlowHead, Host, Observation, Reach, What};

use crate::links::{CLIENT, Code, NONE, SERVER};
use crate::names::UNNAMED;
use crate::node::Inventory;

/// So many observations are prepared at once. Fewer leave the processor waiting for each; of more, what was
/// fetched first is gone when its turn comes.
pub const GROUP: usize = 16;

/// What is known of an observation that is to come.
#[derive(Clone, Copy)]
struct Ahead {
    /// Whom it is about: the two ends of a conversation, or one host. Their digests in the table of
    /// addresses, 0 for nobody.
    digests: [u64; 2],
    /// Most likely their nodes.
    nodes: [u32; 2],
    /// What the two do together.
    code: Option<Code>,
    /// The digest of the link between them, and most likely the link.
    digest: Option<u64>,
    link: Option<u32>,
    /// About what something is said.
    said: Option<Attribute>,
}

const NOTHING: Ahead =
    Ahead { digests: [0; 2], nodes: [NONE; 2], code: None, digest: None, link: None, said: None };

impl Ahead {
    /// The nodes of two between whom there is no link yet.
    fn strangers(&self) -> Option<[u32; 2]> {
        (self.digest.is_some() && self.link.is_none()).then_some(self.nodes)
    }

    /// The node of which something is said, and about what.
    fn told(&self) -> Option<(u32, Attribute)> {
        self.said.map(|said| (self.nodes[0], said)).filter(|(node, _)| *node != NONE)
    }
}

/// Reads for each of a group. Nothing else is done meanwhile, so that no read waits for another.
fn fetch<T>(group: &[T], read: impl Fn(&T) -> u64) {
    black_box(group.iter().fold(0, |sum, one| sum ^ read(one)));
}

/// Something from the beginning and the end of what was observed.
fn read(observation: &Observation) -> u64 {
    let ends = |head: &FlowHead| u64::from(head.client.port ^ head.server.port);
    match &observation.what {
        What::FlowAsked(head) | What::FlowOpened(head) => ends(head),
        What::FlowIdentified(identified) => ends(&identified.flow) ^ identified.protocol.len() as u64,
        What::FlowEnded(record) => ends(&record.head) ^ record.sent.packets ^ record.end as u64,
        What::Fact(fact) => u64::from(fact.confidence.get()) ^ fact.value.len() as u64,
        What::Operation(operation) => ends(&operation.flow) ^ operation.kind as u64,
        _ => 0,
    }
}

impl Inventory {
    /// Fetches what observations are about to need, and changes nothing: what follows from them is the same
    /// without it.
    ///
    /// The devices of a large network are in no cache, and each observation is about others than the one
    /// before. Whoever waits for a table, then for the address that it names, then for what is known of
    /// that, waits several times for each observation. Here each of these steps is taken for a whole group
    /// ([`GROUP`]) before the next, so that the processor waits for all of them at the same time.
    pub fn prepare(&self, observations: &[Observation]) {
        for group in observations.chunks(GROUP) {
            fetch(group, read);
            let mut all = [NOTHING; GROUP];
            let ahead = &mut all[..group.len()];
            for (ahead, observation) in ahead.iter_mut().zip(group) {
                *ahead = self.ahead(observation);
            }
            self.prepare_group(ahead);
        }
    }

    fn prepare_group(&self, ahead: &mut [Ahead]) {
        fetch(ahead, |one| self.by_key.peek(one.digests[0]) ^ self.by_key.peek(one.digests[1]));
        for one in &mut *ahead {
            for (node, digest) in one.nodes.iter_mut().zip(one.digests).filter(|(_, digest)| *digest != 0) {
                *node = self.by_key.guess(digest).unwrap_or(NONE);
            }
        }
        let owner = |node: u32| if node == NONE { 0 } else { self.hot(node).owner.into() };
        fetch(ahead, |one| owner(one.nodes[0]) ^ owner(one.nodes[1]));
        for one in &mut *ahead {
            one.digest = one.code.filter(|_| !one.nodes.contains(&NONE)).map(|code| code.digest(one.nodes));
        }
        fetch(ahead, |one| one.digest.map_or(0, |digest| self.links.peek(digest)));
        fetch(ahead, |one| one.told().map_or(0, |(node, _)| self.cold(node).entries.len() as u64));
        for one in &mut *ahead {
            one.link = one.digest.and_then(|digest| self.links.guess(digest));
        }
        fetch(ahead, |one| one.link.map_or(0, |link| self.links.link(link).code.protocol().into()));
        fetch(ahead, |one| {
            one.strangers().map_or(0, |[client, server]| {
                let parts = self.cold(client).parts.len() ^ self.cold(server).parts.len();
                let heads = [self.links.head(client, CLIENT), self.links.head(server, SERVER)];
                parts as u64 ^ heads.into_iter().flatten().map(u64::from).sum::<u64>()
            })
        });
        fetch(ahead, |one| {
            let entry = one.told().and_then(|(node, _)| self.cold(node).entries.first());
            entry.map_or(0, |entry| entry.count.into())
        });
        // The lists to which a new link is added, and the values with which one is compared.
        fetch(ahead, |one| {
            one.strangers().map_or(0, |ends| {
                let part = |node: u32| self.cold(node).parts.first().map_or(0, |part| part.flows);
                let head = |part: usize| self.links.of(ends[part], part).next();
                let protocol = |part| head(part).map_or(0, |link| link.code.protocol());
                u64::from(part(ends[CLIENT]) ^ part(ends[SERVER]))
                    ^ u64::from(protocol(CLIENT) ^ protocol(SERVER))
            })
        });
        fetch(ahead, |one| {
            one.told().map_or(0, |(node, attribute)| {
                let entries = self.cold(node).entries.iter().filter(|entry| entry.attribute == attribute);
                entries.map(|entry| entry.value.as_bytes().first().map_or(0, |byte| (*byte).into())).sum()
            })
        });
    }

    fn ahead(&self, observation: &Observation) -> Ahead {
        let digest = |host: &Host| Self::key_of(host).map_or(0, |key| key.digest());
        let ends = |head: &FlowHead| [digest(&head.client.host), digest(&head.server.host)];
        let answered = |head: &FlowHead| head.server_reach != Reach::Unknown;
        match &observation.what {
            What::FlowOpened(head) => Ahead { digests: ends(head), ..NOTHING },
            What::FlowIdentified(identified) => {
                let head = &identified.flow;
                let name = self.names.find(&identified.protocol).filter(|_| answered(head));
                let code = name.map(|name| Code::new(name, head.transport, head.server.port));
                Ahead { digests: ends(head), code, ..NOTHING }
            }
            What::FlowEnded(record) => {
                let name = record.protocol.as_ref().map_or(Some(UNNAMED), |name| self.names.find(name));
                let name = name.filter(|_| answered(&record.head));
                let state = record.tcp.as_ref().map(|tcp| tcp.state);
                let code = name.map(|name| Self::service(record, name, state));
                Ahead { digests: ends(&record.head), code, ..NOTHING }
            }
            What::Binding(binding) => {
                let [mac, ip] = [Host::from_mac(binding.mac), Host::from_ip(binding.ip)];
                Ahead { digests: [digest(&mac), digest(&ip)], ..NOTHING }
            }
            What::Fact(fact) => {
                Ahead { digests: [digest(&fact.about), 0], said: Some(fact.attribute), ..NOTHING }
            }
            What::Operation(operation) => {
                let host = &operation.flow.endpoint(operation.from).host;
                Ahead { digests: [digest(host), 0], ..NOTHING }
            }
            What::FlowAsked(_)
            | What::Message(_)
            | What::Anomaly(_)
            | What::Weakness(_)
            | What::BusFrame(_)
            | What::Samples(_)
            | What::Resolved(_)
            | What::Denied(_)
            | What::Shed(_)
            | What::SourceEnded(_) => NOTHING,
        }
    }
}
