//! Decisions made real.
//!
//! A [`Ruleset`] says what is to be in force; [`compile`] makes a table of nftables of it; a [`Keeper`] keeps it in
//! force in a [`Firewall`]. [`lower`](mod@lower) makes a ruleset of a policy. What is done about incidents is in [`respond`]. This crate
//! is an edge: it does not know how policies come about nor who decides on a response.

mod address;
mod compile;
mod drift;
pub mod export;
mod firewall;
mod keeper;
pub mod lower;
mod nft;
pub mod notify;
pub mod respond;
mod ruleset;
mod table;

pub use address::{Address, AddressError, Network};
pub use compile::{CUT_MAX, Compiled, EXPANSION_MAX, NAME_ADDRESSES_MAX, Support, TABLE, compile};
pub use drift::{DRIFT_MAX, Difference, Drift};
pub use firewall::{
    Counter, Depth, Elements, Firewall, FirewallError, ListedChain, ListedElement, ListedRule, ListedSet,
    Listing, MemoryFirewall, support,
};
pub use keeper::{Change, Counts, KeepError, Keeper, NAME_LIFE_MAX, NAME_LIFE_MIN, OnDrift};
pub use nft::{Nft, OUTPUT_MAX, TIME_MAX};
pub use ruleset::{
    ALLOWS_MAX, Allow, CLASSES_MAX, Class, End, Family, Group, MEMBERS_MAX, Mode, NAME_BYTES_MAX, NAMES_MAX,
    Ports, Ruleset, RulesetError, Service, dns_name,
};
pub use table::{Chain, Command, Entry, PIECE_ELEMENTS, Refused, Rule, Set, SetSpec, Table, Transaction};
