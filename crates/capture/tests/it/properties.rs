//! Whatever the bytes are: no panic, an end, and all frames before the damage.

use capture::{Batch, Step};
use proptest::prelude::*;

use crate::help::{gzip, numbers, pcap, pcapng, read, zstd};

/// Reads bytes to their end if they are a capture, and holds the bounds that everybody relies on.
fn survive(bytes: Vec<u8>) {
    let length = bytes.len();
    let Ok(mut source) = capture::from_bytes("test", bytes) else { return };
    let mut batch = Batch::new();
    let mut packets = 0;
    while source.next_batch(&mut batch).is_ok_and(|step| step == Step::Batch) {
        assert!(!batch.is_empty() && batch.len() <= capture::MAX_BATCH_FRAMES);
        for (frame, bytes) in batch.iter() {
            assert_eq!(bytes.len(), frame.captured_length() as usize);
            assert!(frame.wire_length >= frame.captured_length());
        }
        packets += batch.len();
    }
    assert_eq!(source.progress().packets, packets as u64);
    assert!(source.damages().len() <= 1);
    // Compressed content may hold many times as many.
    assert!(source.progress().total == Some(length as u64));
    assert_eq!(source.next_batch(&mut batch).ok(), Some(Step::End), "an end is final");
}

/// The start of a capture of some kind, so that arbitrary bytes come further than recognition.
fn start() -> impl Strategy<Value = Vec<u8>> {
    let magics: &[&[u8]] = &[
        b"",
        b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0",
        b"\xa1\xb2\x3c\x4d\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0\xdc",
        b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        b"\x28\xb5\x2f\xfd",
    ];
    proptest::sample::select(magics).prop_map(<[u8]>::to_vec)
}

/// A valid file of twenty frames in one of the formats.
fn valid() -> impl Strategy<Value = Vec<u8>> {
    let plain = [pcap(0..20), pcapng(0..20)];
    let packed = plain.iter().flat_map(|bytes| [gzip(bytes), zstd(bytes)]);
    proptest::sample::select(packed.chain(plain.clone()).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn any_bytes_are_survived(start in start(), bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        survive([start, bytes].concat());
    }

    #[test]
    fn any_changes_to_a_valid_file_are_survived(
        mut bytes in valid(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<proptest::sample::Index>(),
    ) {
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        survive(bytes);
    }

    #[test]
    fn all_frames_before_the_damage_are_read(
        format in any::<bool>(),
        place in any::<proptest::sample::Index>(),
        value in any::<u8>(),
    ) {
        let make = if format { pcap } else { pcapng };
        let mut bytes = make(0..20);
        let header = make(0..0).len();
        let place = header + place.index(bytes.len() - header);
        bytes[place] = value;
        // The frames whose records lie wholly before the changed byte.
        let before = (0..20).take_while(|count| make(0..count + 1).len() <= place).count();
        let (frames, _) = read(&bytes);
        prop_assert!(frames.len() >= before);
        prop_assert_eq!(numbers(&frames[..before]), (0..before as u64).collect::<Vec<_>>());
    }

    #[test]
    fn plain_and_compressed_give_the_same(count in 0_u64..200, cut in any::<proptest::sample::Index>(), format in any::<bool>()) {
        let mut bytes = if format { pcap(0..count) } else { pcapng(0..count) };
        bytes.truncate(24 + cut.index(bytes.len() - 23));
        let (plain, plain_damage) = read(&bytes);
        for packed in [gzip(&bytes), zstd(&bytes)] {
            let (frames, damage) = read(&packed);
            prop_assert_eq!(&frames, &plain);
            prop_assert_eq!(&damage, &plain_damage);
        }
    }
}
