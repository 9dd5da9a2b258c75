//! From observations to devices.
//!
//! The inventory is a deterministic machine: [`Inventory::observe`] takes one observation and tells what
//! follows. It does no input or output, reads no clock and no random source. The same observations give
//! the same devices and the same events, byte for byte.
//!
//! # What is a device
//! 1. A link-layer address is a device. Devices with several network cards stay apart, unless a port names
//!    its chassis by another link-layer address of the same maker (LLDP, spanning tree): ports and chassis
//!    are one device.
//! 2. A network address that is *bound* to a link-layer address (ARP, NDP, DHCP, link-local) belongs to that
//!    device. When the address is bound to another device it moves there; the old one keeps what was known
//!    until then, and the address in its history. A device that gets a new address stays the same device.
//! 3. A link-local address belongs to the link-layer address that sends it.
//! 4. A network address whose packets have passed a router is a device of its own, beyond the link-layer
//!    address that hands them over; that one forwards, so it is a router. An address that is bound is where
//!    it is bound, whoever hands its packets over elsewhere.
//! 5. A network address without a binding whose packets have passed no router belongs to the link-layer
//!    address that sends them, if it is the only such one of its family (IPv4, unique local, global IPv6).
//!    If there are several, they belong to it if they lie in one network (/24, /64) with each other and with
//!    an address that is bound to it, and are few ([`CROWD`]). Else each is a device of its own: the
//!    link-layer address is a router's.
//! 6. An unbound address that two link-layer addresses send belongs to neither; if the first was silent for
//!    [`TENANCY`], it has moved to the second.
//! 7. One link-layer address that claims many addresses of one network at a time by ARP
//!    ([`PROXIED`]) answers for others (RFC 1027): they are devices of their own.
//! 8. Addresses that routers share (VRRP, HSRP, GLBP) forward; only bound addresses are theirs.
//! 9. Without link-layer addresses each network address is a device.
//!
//! The router through which a device is reached is the one that handed over its packets last.
//!
//! Rules 2 to 5, 7 and 8 look at what is known, not at the order in which it became known, so that bindings
//! before or after conversations give the same devices (as long as no link-layer address has more than
//! [`NEAR_MAX`] unbound addresses). For this each address keeps what was said about it, and a device is put
//! together from its addresses when somebody asks.
//!
//! # Who exists
//! 1. A link-layer address that sent a frame exists.
//! 2. A host that answered exists, even if all it said was no. So does the sender of a binding.
//! 3. The client of a conversation that was answered exists; for TCP only once the handshake is complete or
//!    the protocol was recognised, for anybody can forge a SYN.
//! 4. A host that speaks without being answered exists if it said enough (two conversations with three
//!    packets or one with four, with payload; or a recognised protocol that passed no router), unless its
//!    link-layer address speaks for many such hosts ([`VOUCHED`]), or the medium does where frames have no
//!    sender; it is believed after some seconds.
//! 5. Group addresses, 0.0.0.0/8 and the like are nobody. A loopback address is the machine that talks to
//!    itself, or the station that sends it on a link all the same.
//!
//! What is said about others is kept for a while and counts when they are proven. For rule 2 a conversation
//! counts as answered when it ends with packets from the server, and before that when the server's
//! [`Reach`](model::Reach) is known, for only an answer tells it.
//!
//! # What is counted
//! Each record of a conversation holds what passed since the one before; only the last one, not interim
//! records, counts as a conversation. What the sender of a frame hands over for an unproven host counts as
//! the sender's.
//!
//! # Where a device stands
//! A device with a link-layer address is on the link. Others are in the organisation's networks if their
//! address is not public, lies in a network that was seen on a link, or (in captures without link-layer
//! addresses) talked to another public address; all others are external.

mod address;
mod assemble;
mod belief;
mod evidence;
mod limits;
mod links;
mod names;
mod node;
mod observe;
mod place;
mod prepare;
mod room;
pub mod rules;
#[cfg(test)]
mod scenarios;
mod table;
mod unproven;
pub mod vendor;

pub use assemble::{Glance, Outline, Place};
pub use limits::Limits;
pub use node::{Counts, Inventory};
pub use observe::VOUCHED;
pub use place::{CROWD, CROWD_V6, NEAR_MAX, PROXIED, TENANCY};
pub use prepare::GROUP;

pub(crate) use node::Key;
