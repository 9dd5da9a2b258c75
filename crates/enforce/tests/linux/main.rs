//! With the real `nft` and real packets, in network namespaces of their own; without root, `ip` or `nft` skipped.

mod delta;
mod generate;
mod keeping;
mod namespaces;
mod responding;
mod speed;
mod traffic;
