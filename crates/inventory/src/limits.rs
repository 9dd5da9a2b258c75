//! How much the inventory may hold.

/// The inventory's limits. What happens when one is reached stands with it; it is always counted and
/// told as [`model::Shed`] under the limit's name, prefixed `inventory.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Devices on the link or in the organisation's networks. When it is reached, one that was only
    /// sighted goes first, else the one unused longest among some.
    pub devices: usize,
    /// Devices elsewhere in the Internet. When it is reached, the one unused longest among some goes.
    pub external: usize,
    /// Addresses that one device is known to have now, and as many that it had before. The oldest goes.
    pub addresses: usize,
    /// Values kept for one attribute of one device. The weakest goes, of equals the oldest.
    pub values: usize,
    /// Services that one device offers or uses. Unrecognised ones make room for recognised ones; what
    /// finds no room is not kept.
    pub services: usize,
    /// Peers of one device in either part. The least recent go.
    pub peers: usize,
    /// Pairs of peers and the service between them, in all. The least recent among some goes.
    pub links: usize,
    /// Hosts about which something was heard but whose presence is not proven. The oldest goes.
    pub unproven: usize,
    /// Facts kept about such a host until it is proven. Further ones are dropped.
    pub pending_facts: usize,
    /// Different names of protocols and sources of evidence. Further ones are called `other`.
    pub names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            devices: 200_000,
            external: 100_000,
            addresses: 64,
            values: 16,
            services: 64,
            peers: 256,
            links: 2_000_000,
            unproven: 8_192,
            pending_facts: 16,
            names: 4_096,
        }
    }
}

/// Something was given up because a limit was reached: one counter for each limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Devices,
    External,
    Addresses,
    Values,
    Services,
    Links,
    Unproven,
    PendingFacts,
    Names,
}

impl Limit {
    /// All limits, in the order of their counters.
    pub(crate) const NAMES: [&'static str; 9] = [
        "inventory.devices",
        "inventory.external",
        "inventory.addresses",
        "inventory.values",
        "inventory.services",
        "inventory.links",
        "inventory.unproven",
        "inventory.pending-facts",
        "inventory.names",
    ];
}
