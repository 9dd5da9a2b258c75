//! The networks in which rules are tried.

use enforce::Nft;
use testkit::namespaces::{End, Namespaces};

const A: End<'_> = End { name: "a", mac: "02:00:00:00:00:0a", addresses: &["10.9.1.2/24", "fd09:1::2/64"] };
const NAMES: &[&str] = &["a", "r", "b"];

/// a — r — b, where r routes between 10.9.1.0/24 and 10.9.2.0/24, fd09:1::/64 and fd09:2::/64. The last byte of a's and b's
/// addresses is 2.
pub(crate) fn routed(test: &str) -> Option<Namespaces> {
    let names = Namespaces::new(test, NAMES)?;
    let b = End { name: "b", mac: "02:00:00:00:00:0b", addresses: &["10.9.2.2/24", "fd09:2::2/64"] };
    names.router("r", &[A, b]);
    Some(names)
}

/// a — r — b, where r is a bridge within 10.9.1.0/24 and fd09:1::/64: a is 2 with the link-layer address
/// 02:00:00:00:00:0a, b is 3 with 02:00:00:00:00:0b.
pub(crate) fn bridged(test: &str) -> Option<Namespaces> {
    let names = Namespaces::new(test, NAMES)?;
    let b = End { name: "b", mac: "02:00:00:00:00:0b", addresses: &["10.9.1.3/24", "fd09:1::3/64"] };
    names.bridge("r", &[A, b]);
    Some(names)
}

/// The firewall in a namespace.
pub(crate) fn firewall(names: &Namespaces, name: &str) -> Nft {
    Nft::new("ip").with_arguments(["netns", "exec", &names.full(name), "nft"])
}
