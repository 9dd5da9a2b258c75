//! Which protocols may be found where.

use std::collections::BTreeMap;

use dissect::proto::{Carrier, Opening, PROTOCOLS, Verdict};
use dissect::wire::{Network, Packet};
use model::{Side, Transport};

/// A protocol by its place in [`PROTOCOLS`].
pub(crate) type Index = u8;

/// The protocols of one kind of transport.
struct Candidates {
    all: Vec<Index>,
    /// By port, the place in `sets` of the protocols usually found there; place 0 is the empty set.
    by_port: Vec<u16>,
    sets: Vec<Vec<Index>>,
}

impl Candidates {
    fn new(ports_of: impl Fn(&Carrier) -> Option<&'static [u16]>) -> Self {
        let mut all = Vec::new();
        let mut usual = BTreeMap::<u16, Vec<Index>>::new();
        for (index, protocol) in (0..).zip(PROTOCOLS) {
            for ports in protocol.carriers.iter().filter_map(&ports_of) {
                all.push(index);
                for port in ports {
                    usual.entry(*port).or_default().push(index);
                }
            }
        }
        all.dedup();
        let mut candidates = Self { all, by_port: vec![0; 1 << 16], sets: vec![Vec::new()] };
        for (place, (port, set)) in (1..).zip(usual) {
            candidates.by_port[usize::from(port)] = place;
            candidates.sets.push(set);
        }
        candidates
    }

    fn usual(&self, port: u16) -> &[Index] {
        &self.sets[usize::from(self.by_port[usize::from(port)])]
    }
}

/// What the probes say of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// This protocol.
    Is(Index),
    /// Nobody is sure yet, somebody wants more bytes.
    More,
    /// Nobody knows them.
    Unknown,
}

/// All protocols, arranged by what carries them.
pub(crate) struct Registry {
    tcp: Candidates,
    udp: Candidates,
    ethertypes: Vec<(u16, Index)>,
    snaps: Vec<([u8; 3], u16, Index)>,
    ip: [Option<Index>; 256],
    can: Option<Index>,
    wpan: Option<Index>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        assert!(PROTOCOLS.len() <= usize::from(Index::MAX), "a protocol's place has eight bits");
        let mut registry = Self {
            tcp: Candidates::new(
                |carrier| if let Carrier::Tcp(ports) = carrier { Some(ports) } else { None },
            ),
            udp: Candidates::new(
                |carrier| if let Carrier::Udp(ports) = carrier { Some(ports) } else { None },
            ),
            ethertypes: Vec::new(),
            snaps: Vec::new(),
            ip: [None; 256],
            can: None,
            wpan: None,
        };
        for (index, protocol) in (0..).zip(PROTOCOLS) {
            for carrier in protocol.carriers {
                match *carrier {
                    Carrier::EtherType(kind) => registry.ethertypes.push((kind, index)),
                    // Below 0x0600 the kind of a frame is its LLC service access point.
                    Carrier::Llc(point) => registry.ethertypes.push((point.into(), index)),
                    Carrier::Snap(organisation, kind) => registry.snaps.push((organisation, kind, index)),
                    Carrier::Ip(number) => registry.ip[usize::from(number)] = Some(index),
                    Carrier::Can => registry.can = Some(index),
                    Carrier::Wpan => registry.wpan = Some(index),
                    Carrier::Tcp(_) | Carrier::Udp(_) | Carrier::Sctp(_) => {}
                }
            }
        }
        registry
    }

    /// The protocol of packets that have no ports, if one is known.
    pub(crate) fn without_ports(&self, packet: &Packet<'_>) -> Option<Index> {
        match packet.network {
            Network::Link { snap: Some((organisation, kind)), .. } => self
                .snaps
                .iter()
                .find(|(o, k, _)| (*o, *k) == (organisation, kind))
                .map(|(_, _, index)| *index),
            Network::Link { kind, snap: None } => self.of_ethertype(kind, packet.payload),
            Network::Ip { protocol, .. } => self.ip[usize::from(protocol)],
            Network::Can { .. } => self.can,
            Network::Wpan => self.wpan,
        }
    }

    /// The protocol of frames of an EtherType. Where several share it, the first that does not deny the
    /// frame, or else the first of all.
    fn of_ethertype(&self, kind: u16, bytes: &[u8]) -> Option<Index> {
        let opening = Opening { bytes, from: Side::Client, client_port: 0, server_port: 0, stream: false };
        let sharing = || self.ethertypes.iter().filter(|(known, _)| *known == kind).map(|(_, index)| *index);
        let agrees = |index: &Index| (PROTOCOLS[usize::from(*index)].probe)(&opening) != Verdict::No;
        sharing().find(agrees).or_else(|| sharing().next())
    }

    const fn candidates(&self, transport: Transport) -> Option<&Candidates> {
        match transport {
            Transport::Tcp => Some(&self.tcp),
            Transport::Udp => Some(&self.udp),
            _ => None,
        }
    }

    /// Whether `from` looks like the server's port and `to` does not: for conversations whose beginning
    /// was not seen.
    pub(crate) fn looks_like_answer(&self, transport: Transport, from: u16, to: u16) -> bool {
        self.candidates(transport)
            .is_some_and(|known| !known.usual(from).is_empty() && known.usual(to).is_empty())
    }

    /// Asks the probes, those whose usual port agrees first. One that is sure wins; one that is not wins
    /// if its port agrees and nobody is sure.
    pub(crate) fn guess(&self, transport: Transport, opening: &Opening<'_>) -> Guess {
        let Some(candidates) = self.candidates(transport) else { return Guess::Unknown };
        let (server, client) = (candidates.usual(opening.server_port), candidates.usual(opening.client_port));
        let (mut maybe, mut more) = (None, false);
        for &index in server.iter().chain(client) {
            match (PROTOCOLS[usize::from(index)].probe)(opening) {
                Verdict::Yes => return Guess::Is(index),
                Verdict::Maybe => maybe = maybe.or(Some(index)),
                Verdict::More => more = true,
                Verdict::No => {}
            }
        }
        for &index in &candidates.all {
            if server.contains(&index) || client.contains(&index) {
                continue;
            }
            match (PROTOCOLS[usize::from(index)].probe)(opening) {
                Verdict::Yes => return Guess::Is(index),
                Verdict::More => more = true,
                Verdict::Maybe | Verdict::No => {}
            }
        }
        match maybe {
            Some(index) => Guess::Is(index),
            None if more && opening.stream => Guess::More,
            None => Guess::Unknown,
        }
    }
}
