//! Pseudonyms are permutations that keep what is promised and nothing else, for one key and epoch.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{DeviceId, MacAddr};
use proptest::prelude::*;
use seal::{Choices, Keep, KeyId, Label, Oui, Pseudonymiser, Secret};

fn with(key: u8, epoch: u32, keep: Keep, oui: Oui) -> Pseudonymiser {
    Pseudonymiser::new(&Secret::new(&[key; 32]), KeyId(key.into()), epoch, Choices { keep, oui })
}

fn default() -> Pseudonymiser {
    with(1, 1, Keep::default(), Oui::default())
}

/// Leading bits that two addresses of one version share.
fn shared(one: IpAddr, two: IpAddr) -> u32 {
    match (one, two) {
        (IpAddr::V4(one), IpAddr::V4(two)) => (one.to_bits() ^ two.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(two)) => (one.to_bits() ^ two.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// Addresses that are near to each other more often than chance would have it, and near to special prefixes.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let near = prop::sample::select(vec![
        0u32,
        0x0a00_0000,
        0x6440_0000,
        0x7f00_0001,
        0xa9fe_0000,
        0xac10_0000,
        0xc0a8_0000,
        0xe000_0000,
        0xefff_ffff,
        0xffff_ffff,
    ]);
    let near6 = prop::sample::select(vec![
        "::",
        "::ffff:10.0.0.1",
        "64:ff9b::1",
        "2001:db8::",
        "fd00::",
        "fe80::1",
        "ff02::1",
        "ff02::1:ff00:1",
        "ff05::2",
    ]);
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        (near, any::<u32>(), 0u32..=32).prop_map(|(near, bits, keep)| {
            Ipv4Addr::from_bits(near ^ bits.checked_shr(keep).unwrap_or(0)).into()
        }),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        (near6, any::<u128>(), 0u32..=128).prop_map(|(near, bits, keep)| {
            let near: Ipv6Addr = near.parse().unwrap();
            Ipv6Addr::from_bits(near.to_bits() ^ bits.checked_shr(keep).unwrap_or(0)).into()
        }),
    ]
}

/// What a reader may tell of an address.
fn class(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [0, ..] => "this network",
            [127, ..] => "loopback",
            [10, ..] => "private a",
            [172, 16..=31, ..] => "private b",
            [192, 168, ..] => "private c",
            [100, 64..=127, ..] => "shared",
            [169, 254, ..] => "link-local",
            [224, 0, 0, _] => "local group",
            [224..=239, ..] => "group",
            [255, 255, 255, 255] => "broadcast",
            [240..=255, ..] => "reserved",
            _ => "public",
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => "special",
            [0, 0, 0, 0, 0, 0xffff, ..] => "mapped",
            [0x64, 0xff9b, 0, 0, 0, 0, ..] => "translated",
            [0x2000..=0x3fff, ..] => "global",
            [0xfc00..=0xfcff, ..] => "unique",
            [0xfd00..=0xfdff, ..] => "own unique",
            [0xfe80..=0xfebf, ..] => "link-local",
            [0xff02, 0, 0, 0, 0, 1, 0xff00..=0xffff, _] => "solicited node",
            [0xff02, ..] => "link group",
            [0xff00..=0xffff, ..] => "group",
            _ => "other",
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn prefixes_are_shared_as_before_and_addresses_come_back(one in addresses(), two in addresses(), cut in 0u32..128) {
        // A third that shares just so many bits with the first.
        let three: IpAddr = match one {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ 1 << (cut % 32)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ 1 << cut).into(),
        };
        // Mapped addresses follow their IPv4 address, by another key than the addresses around them.
        let mapped = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        for keep in [Keep::Classes, Keep::Nothing] {
            let pseudonyms = with(1, 1, keep, Oui::Hidden);
            for other in [two, three] {
                prop_assert_eq!(shared(pseudonyms.address(one), pseudonyms.address(other)), shared(one, other));
            }
            for address in [one, two] {
                prop_assert_eq!(pseudonyms.reveal(pseudonyms.address(address)), address, "{}", mapped(address));
                prop_assert_eq!(pseudonyms.address(address).is_ipv4(), address.is_ipv4());
            }
        }
    }

    #[test]
    fn classes_are_preserved(address in addresses()) {
        let pseudonym = default().address(address);
        prop_assert_eq!(class(pseudonym), class(address), "{} became {}", address, pseudonym);
        if let (IpAddr::V6(one), IpAddr::V6(two)) = (address, pseudonym)
            && let Some(four) = one.to_ipv4_mapped()
        {
            prop_assert_eq!(two.to_ipv4_mapped().map(IpAddr::V4), Some(default().address(four.into())));
        }
    }

    #[test]
    fn link_layer_addresses_come_back_and_keep_what_is_promised(bytes: [u8; 6], other: [u8; 6]) {
        for oui in [Oui::Kept, Oui::Hidden] {
            let pseudonyms = with(1, 1, Keep::Classes, oui);
            let (mac, two) = (MacAddr(bytes), MacAddr(other));
            let hidden = pseudonyms.mac(mac);
            prop_assert_eq!(pseudonyms.reveal_mac(hidden), mac);
            prop_assert_eq!((hidden.is_group(), hidden.is_local()), (mac.is_group(), mac.is_local()));
            prop_assert_eq!(hidden == pseudonyms.mac(two), mac == two);
            if oui == Oui::Kept {
                prop_assert_eq!(&hidden.0[..3], &mac.0[..3]);
            }
        }
    }

    #[test]
    fn device_ids_come_back(id in 0u64..1 << 48) {
        let hidden = default().device(DeviceId(id));
        prop_assert!(hidden.0 < 1 << 48);
        prop_assert_eq!(default().reveal_device(hidden), DeviceId(id));
    }
}

#[test]
fn what_names_nobody_stays_as_it_is() {
    for address in
        ["0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.251", "::", "::1", "ff02::fb", "ff02::1:2"]
    {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(default().address(address), address);
    }
    for mac in [
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "01:80:c2:00:00:0e",
        "01:00:5e:00:00:fb",
        "33:33:00:00:00:01",
    ] {
        let mac: MacAddr = mac.parse().unwrap();
        assert_eq!(default().mac(mac), mac);
    }
    // These two hold the end of somebody's address.
    for address in ["ff02::1:ff12:3456", "fe80::21b:1bff:fe4f:1"] {
        let address: IpAddr = address.parse().unwrap();
        assert_ne!(default().address(address), address);
    }
    let solicited: MacAddr = "33:33:ff:12:34:56".parse().unwrap();
    assert_ne!(default().mac(solicited), solicited);
}

#[test]
fn a_whole_private_block_is_a_permutation_of_itself() {
    let block = || (0..=u16::MAX).map(|low| IpAddr::from(Ipv4Addr::from_bits(0xc0a8_0000 | u32::from(low))));
    let pseudonyms = default();
    let hidden: BTreeSet<IpAddr> = block().map(|address| pseudonyms.address(address)).collect();
    assert_eq!(hidden, block().collect());
    // One in 65,536 is expected to stay by chance, though prefixes make it come in lumps.
    let stay = block().filter(|address| pseudonyms.address(*address) == *address).count();
    assert!(stay < 1024, "{stay}");
}

#[test]
fn another_key_or_epoch_has_nothing_in_common() {
    let base = default();
    for other in [with(2, 1, Keep::Classes, Oui::Hidden), with(1, 2, Keep::Classes, Oui::Hidden)] {
        assert_ne!(base.name(), other.name());
        let macs = (0..1000u32).map(|n| {
            let [_, b, c, d] = n.to_be_bytes();
            MacAddr([0, 0x1b, 0x1b, b, c, d])
        });
        assert_eq!(macs.filter(|mac| base.mac(*mac) == other.mac(*mac)).count(), 0);
        let same = (0..1000u64).filter(|n| base.device(DeviceId(*n)) == other.device(DeviceId(*n))).count();
        assert_eq!(same, 0);
        let texts = |by: &Pseudonymiser| -> BTreeSet<String> {
            (0..1000).map(|n| by.token(Label::Name, &format!("plc{n}"))).collect()
        };
        assert!(texts(&base).is_disjoint(&texts(&other)));
        assert_eq!(texts(&base).len(), 1000);
        assert_eq!(texts(&base), texts(&default()), "the same again");
    }
}

#[test]
fn tokens_tell_the_kind_and_are_the_same_for_what_is_the_same_name() {
    let by = default();
    let token = by.token(Label::Name, "PLC1.Plant.example.");
    assert_eq!(token, by.token(Label::Name, "plc1.plant.example"));
    assert!(token.starts_with("name-") && token.len() == "name-".len() + seal::TOKEN_DIGITS, "{token}");
    assert_ne!(by.token(Label::User, "Root"), by.token(Label::User, "root"));
    assert_ne!(by.token(Label::User, "root")[5..], by.token(Label::Text, "root")[5..]);
    assert_eq!(by.token(Label::Text, ""), "");
}

#[test]
fn no_key_is_shown() {
    let shown = format!("{:?}", default());
    assert!(shown.contains("epoch: 1") && !shown.contains("[1, 1"), "{shown}");
}
