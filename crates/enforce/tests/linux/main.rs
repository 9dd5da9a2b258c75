//! With the real `nft` and real packets, in network namespaces of their own; without root, `ip` or `nft` skipped.

mod delta;
mod generate;
mod keeping;
mod networks;
mod responding;
mod speed;
mod traffic;

/// Not a test but the other side of the peers, which is this program started again in a namespace.
#[test]
fn a_peer() {
    testkit::namespaces::play(&[]);
}
