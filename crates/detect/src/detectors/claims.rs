//! Who says that an address is his (RFC 826, RFC 4861), and who else says so.
//!
//! An address that moves is no news: cards are replaced, clusters fail over, leases end. It is contested when the two
//! go on saying so in turns, for then both are alive.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use model::{BindingSource, Host, MacAddr, Timestamp, What};

use crate::hosts::Addr;
use crate::table::Table;

/// So many addresses are watched, and so many stations.
const MAX_ADDRESSES: usize = 1 << 14;
/// So many addresses that a station contests are remembered.
const MAX_CONTESTED: usize = 16;
/// Changes count together within this time. Tools that poison caches say so again every 2 to 10 seconds, and caches
/// ask again after at most some minutes (RFC 4861 clause 10, RFC 1122 clause 2.3.2.1).
const WINDOW: Duration = Duration::from_secs(600);

/// An address changes hands again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contest {
    /// The address.
    pub(super) ip: IpAddr,
    /// Who had it first.
    pub(super) owner: MacAddr,
    /// Who wants it.
    pub(super) claimant: MacAddr,
    /// An address of the claimant's own that it uses at the same time.
    pub(super) own: Option<IpAddr>,
    /// How many addresses of others the claimant wants.
    pub(super) contested: usize,
    /// How often it changed hands lately.
    pub(super) changes: usize,
    /// When it first did.
    pub(super) since: Timestamp,
}

#[derive(Debug)]
struct Address {
    ip: IpAddr,
    owner: MacAddr,
    holder: MacAddr,
    /// Who had it before the holder.
    before: Option<MacAddr>,
    changes: VecDeque<Timestamp>,
}

#[derive(Debug, Default)]
struct Station {
    own: Option<(IpAddr, Timestamp)>,
    contested: Vec<Addr>,
}

/// Who claims which address.
#[derive(Debug)]
pub(super) struct Claims {
    addresses: Table<Addr, Address>,
    stations: Table<MacAddr, Station>,
}

impl Default for Claims {
    fn default() -> Self {
        Self { addresses: Table::new(MAX_ADDRESSES), stations: Table::new(MAX_ADDRESSES) }
    }
}

impl Claims {
    /// Takes a claim, or a conversation that shows who uses an address; what is contested by it.
    pub(super) fn take(&mut self, what: &What, at: Timestamp) -> Option<Contest> {
        match what {
            What::Binding(binding) if matches!(binding.source, BindingSource::Arp | BindingSource::Ndp) => {
                self.claim(binding.mac, binding.ip, at)
            }
            What::FlowEnded(record) => {
                let [client, server] = [&record.head.client.host, &record.head.server.host];
                let spoke = [(client, record.sent.packets), (server, record.received.packets)];
                let alive = spoke.into_iter().filter(|(_, packets)| *packets > 0);
                alive.filter_map(|(host, _)| self.alive(host, record.first)).last()
            }
            _ => None,
        }
    }

    /// A host spoke under its address after another had claimed it: it is alive.
    fn alive(&mut self, host: &Host, began: Timestamp) -> Option<Contest> {
        let (mac, ip) = (host.mac?, host.ip?);
        let address = self.addresses.get(&Addr::of(host)?)?;
        let last = *address.changes.back()?;
        (address.before == Some(mac) && began > last).then(|| self.claim(mac, ip, began)).flatten()
    }

    fn claim(&mut self, mac: MacAddr, ip: IpAddr, at: Timestamp) -> Option<Contest> {
        if is_shared(mac) {
            return None;
        }
        let addr = Addr::of(&Host::from_ip(ip))?;
        let make = || Address { ip, owner: mac, holder: mac, before: None, changes: VecDeque::new() };
        let (address, _) = self.addresses.entry(addr, make);
        let (station, _) = self.stations.entry(mac, Station::default);
        if address.holder == mac {
            if address.owner == mac && station.own.is_none_or(|(own, _)| own == ip) {
                station.own = Some((ip, at));
            }
            return None;
        }
        let holder = std::mem::replace(&mut address.holder, mac);
        if are_ports_of_one(mac, holder) {
            return None;
        }
        while address.changes.front().is_some_and(|first| at.since(*first) > WINDOW) {
            address.changes.pop_front();
        }
        if address.changes.is_empty() || address.before.is_some_and(|before| before != mac) {
            // After a quiet time, or with a third: whoever had it until now is the owner.
            address.owner = holder;
            address.changes.clear();
        }
        address.before = Some(holder);
        address.changes.push_back(at);
        if address.changes.len() > MAX_CONTESTED {
            address.changes.pop_front();
        }
        let (owner, changes) = (address.owner, address.changes.len());
        let (ip, since) = (address.ip, address.changes.front().copied().unwrap_or(at));
        let claimant = if mac == owner { holder } else { mac };
        let (station, _) = self.stations.entry(claimant, Station::default);
        if !station.contested.contains(&addr) && station.contested.len() < MAX_CONTESTED {
            station.contested.push(addr);
        }
        let own =
            station.own.filter(|(own, seen)| *own != ip && at.since(*seen) <= WINDOW).map(|(own, _)| own);
        Some(Contest { ip, owner, claimant, own, contested: station.contested.len(), changes, since })
    }
}

/// Link-layer addresses that machines share so that an address may change hands: VRRP (RFC 9568 clause 7.3), HSRP
/// (RFC 2281 clause 5.3, and version 2) and GLBP.
const fn is_shared(mac: MacAddr) -> bool {
    matches!(
        mac.0,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x07, 0xb4, ..]
    )
}

/// Whether two addresses belong to ports of one machine: makers number them one after the other. Machines with
/// several ports in one network answer from any of them.
fn are_ports_of_one(one: MacAddr, other: MacAddr) -> bool {
    let number = |mac: MacAddr| mac.0.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number(one).abs_diff(number(other)) < 8
}
