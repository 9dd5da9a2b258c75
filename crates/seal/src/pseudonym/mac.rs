//! Pseudonyms of link-layer addresses: a permutation that leaves the group and local bits alone.

use model::MacAddr;

use super::cipher::Shuffle;

/// What is kept of a link-layer address besides its group and local bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oui {
    /// The first three bytes, and so the maker. A maker that is met once in a plant names its device.
    Kept,
    /// Nothing.
    #[default]
    Hidden,
}

/// The bits of the first byte that stay: group (I/G) and local (U/L), IEEE 802.
const FLAGS: u64 = 0b11 << 40;
/// Bits below the maker's part.
const NIC: u32 = 24;
/// Bits without the two that stay.
const FREE: u32 = 46;

pub(super) fn hide(shuffle: &Shuffle, oui: Oui, mac: MacAddr) -> MacAddr {
    walk(mac, |number| match oui {
        Oui::Kept => number >> NIC << NIC | shuffle.hide(number & low(NIC), NIC, number >> NIC),
        Oui::Hidden => join(number & FLAGS, shuffle.hide(free(number), FREE, number & FLAGS)),
    })
}

pub(super) fn reveal(shuffle: &Shuffle, oui: Oui, mac: MacAddr) -> MacAddr {
    walk(mac, |number| match oui {
        Oui::Kept => number >> NIC << NIC | shuffle.reveal(number & low(NIC), NIC, number >> NIC),
        Oui::Hidden => join(number & FLAGS, shuffle.reveal(free(number), FREE, number & FLAGS)),
    })
}

/// Takes a step of the permutation, and further ones while they lead to an address that stands for itself: so what
/// is left is a permutation of all others. Few addresses stand for themselves, so the way is short.
fn walk(mac: MacAddr, step: impl Fn(u64) -> u64) -> MacAddr {
    if is_common(mac) {
        return mac;
    }
    let mut at = mac;
    loop {
        at = from_number(step(to_number(at)));
        if !is_common(at) {
            return at;
        }
    }
}

/// Whether the address is the same everywhere and names nobody.
const fn is_common(mac: MacAddr) -> bool {
    matches!(
        mac.0,
        // Broadcast and none.
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] | [0, 0, 0, 0, 0, 0]
        // Bridges and what they speak (IEEE 802.1Q).
        | [0x01, 0x80, 0xc2, 0x00, 0x00, 0x00..=0x2f]
        // IPv4 groups of the local network, 224.0.0.0/24 (RFC 1112, section 6.4), and the like of IPv6
        // (RFC 2464, section 7). Groups of solicited nodes (33:33:ff) hold three bytes of an address, so not those.
        | [0x01, 0x00, 0x5e, 0x00, 0x00, _] | [0x33, 0x33, 0x00, 0x00, 0x00, _]
        // Virtual routers (RFC 9568, section 7.3).
        | [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
    )
}

const fn low(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// The number without the two bits that stay.
const fn free(number: u64) -> u64 {
    number >> 42 << 40 | number & low(40)
}

const fn join(flags: u64, free: u64) -> u64 {
    free >> 40 << 42 | flags | free & low(40)
}

const fn to_number(MacAddr([a, b, c, d, e, f]): MacAddr) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

const fn from_number(number: u64) -> MacAddr {
    let [_, _, a, b, c, d, e, f] = number.to_be_bytes();
    MacAddr([a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_leads_to_addresses_of_all_goes_on_until_it_is_past_them() {
        let next = |mac: &str| walk(mac.parse().unwrap(), |number| number + 1).to_string();
        assert_eq!(next("01:80:c1:ff:ff:ff"), "01:80:c2:00:00:30");
        assert_eq!(next("01:80:c2:00:00:30"), "01:80:c2:00:00:31");
        assert_eq!(next("01:80:c2:00:00:0e"), "01:80:c2:00:00:0e", "one of them stays");
    }

    #[test]
    fn what_is_taken_apart_is_put_together_again() {
        for number in [0, FLAGS, low(48), 0x00_1b_1b_4f_00_01, 0xa5_5a_a5_5a_a5_5a] {
            assert_eq!(join(number & FLAGS, free(number)), number);
            assert!(free(number) < 1 << FREE);
        }
    }
}
