//! Formats, compression, damage, and files that are no captures.

use std::fs;

use capture::{Batch, MAX_BATCH_FRAMES, Options, Reason, Step};
use dissect::wire::LinkType;

use crate::help::{Taken, drain, failure, frame, gzip, numbers, pcap, pcapng, read, time};

/// A pcap file header (draft-ietf-opsawg-pcap clause 4) with its numbers in either byte order.
fn pcap_header(magic: u32, version: (u16, u16), link: u32, big: bool) -> Vec<u8> {
    let mut bytes = number(magic, big);
    for half in [version.0, version.1] {
        bytes.extend(if big { half.to_be_bytes() } else { half.to_le_bytes() });
    }
    for word in [0, 0, 65_535, link] {
        bytes.extend(number(word, big));
    }
    bytes
}

fn number(word: u32, big: bool) -> Vec<u8> {
    if big { word.to_be_bytes().to_vec() } else { word.to_le_bytes().to_vec() }
}

fn words(words: &[u32], big: bool) -> Vec<u8> {
    words.iter().flat_map(|word| number(*word, big)).collect()
}

/// A pcapng block (draft-ietf-opsawg-pcapng clause 3.1).
fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = 12 + body.len() as u32;
    [words(&[kind, length], big), body, number(length, big)].concat()
}

fn section(big: bool) -> Vec<u8> {
    let version = if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
    block(0x0a0d_0d0a, &[&number(0x1a2b_3c4d, big)[..], &version, &[0xff; 8]].concat(), big)
}

/// An interface of Ethernet or another link type, with options given as bytes.
fn interface(link: u16, snap: u32, options: &[u8], big: bool) -> Vec<u8> {
    let link = if big { link.to_be_bytes() } else { link.to_le_bytes() };
    block(1, &[&link[..], &[0; 2], &number(snap, big), options].concat(), big)
}

/// An enhanced packet whose timestamp is `ticks`.
fn packet(interface: u32, ticks: u64, bytes: &[u8], wire: u32, big: bool) -> Vec<u8> {
    let head = words(&[interface, (ticks >> 32) as u32, ticks as u32, bytes.len() as u32, wire], big);
    block(6, &[&head[..], bytes].concat(), big)
}

fn taken(at: u64, link: u16, interface: u16, wire_length: u32, bytes: &[u8]) -> Taken {
    Taken { at, link: LinkType(link), interface, wire_length, bytes: bytes.to_vec() }
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_both_resolutions() {
    for big in [false, true] {
        for (magic, fraction) in [(0xa1b2_c3d4, 1_000), (0xa1b2_3c4d, 1)] {
            // The upper half of the link type says that frames end with a checksum of 4 bytes.
            let mut file = pcap_header(magic, (2, 4), 0x4400_0071, big);
            file.extend(words(&[1_700_000_000, 123_456, 3, 60], big));
            file.extend(b"abc");
            file.extend(words(&[1_700_000_001, 5, 4, 2], big));
            file.extend(b"defg");
            let (frames, damage) = read(&file);
            let first = 1_700_000_000_000_000_000;
            assert_eq!(
                frames,
                [
                    taken(first + 123_456 * fraction, 113, 0, 60, b"abc"),
                    taken(first + 1_000_000_000 + 5 * fraction, 113, 0, 4, b"defg"),
                ]
            );
            assert_eq!(damage, None);
        }
    }
}

#[test]
fn the_modified_pcap_has_longer_record_headers() {
    let mut file = pcap_header(0xa1b2_cd34, (2, 4), 1, false);
    for text in [b"abc", b"def"] {
        file.extend(words(&[1, 2, 3, 3], false));
        file.extend([2, 0, 0, 0, 0, 8, 4, 0]);
        file.extend(text);
    }
    let expected = [taken(1_000_002_000, 1, 0, 3, b"abc"), taken(1_000_002_000, 1, 0, 3, b"def")];
    assert_eq!(read(&file), (expected.to_vec(), None));
}

#[test]
fn old_pcap_has_its_lengths_the_other_way_round() {
    let mut old = pcap_header(0xa1b2_c3d4, (2, 2), 1, false);
    old.extend(words(&[1, 0, 100, 3], false));
    old.extend(b"abc");
    assert_eq!(read(&old).0, [taken(1_000_000_000, 1, 0, 100, b"abc")]);
    let mut either = pcap_header(0xa1b2_c3d4, (2, 3), 1, false);
    for lengths in [[3, 100], [100, 3]] {
        either.extend(words(&[[1, 0], lengths].concat(), false));
        either.extend(b"abc");
    }
    assert_eq!(read(&either).0, vec![taken(1_000_000_000, 1, 0, 100, b"abc"); 2]);
}

#[test]
fn pcapng_has_sections_of_either_byte_order_interfaces_and_resolutions() {
    let file = [
        section(false),
        interface(1, 0, &[], false),
        // if_name, then if_tsresol of 10^-9, then if_tsoffset of 100 s, then the end.
        interface(
            101,
            0,
            &[
                2, 0, 3, 0, b'l', b'o', b'0', 0, 9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 100, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0,
            ],
            false,
        ),
        packet(0, 5, b"abc", 60, false),
        // Blocks that are not known, one of them empty.
        block(0x0bad, b"anything", false),
        block(4, &[], false),
        packet(1, 7, b"defg", 4, false),
        section(true),
        // if_tsresol of 2^-10.
        interface(276, 0, &[0, 9, 0, 1, 0x8a, 0, 0, 0], true),
        packet(0, 1536, b"h", 1, true),
    ]
    .concat();
    let (frames, damage) = read(&file);
    assert_eq!(
        frames,
        [
            taken(5_000, 1, 0, 60, b"abc"),
            taken(100_000_000_007, 101, 1, 4, b"defg"),
            taken(1_500_000_000, 276, 0, 1, b"h"),
        ]
    );
    assert_eq!(damage, None);
}

#[test]
fn simple_and_obsolete_packets_are_read() {
    let obsolete = [&[0, 0, 9, 0][..], &words(&[0, 77, 2, 2], false), b"xy"].concat();
    let file = [
        section(false),
        interface(1, 4, &[], false),
        block(2, &obsolete, false),
        block(3, &[&number(60, false)[..], b"abcd"].concat(), false),
        block(3, &[&number(2, false)[..], b"ab"].concat(), false),
    ]
    .concat();
    // A simple packet has no time: it has that of the packet before it.
    let expected =
        [taken(77_000, 1, 0, 2, b"xy"), taken(77_000, 1, 0, 60, b"abcd"), taken(77_000, 1, 0, 2, b"ab")];
    assert_eq!(read(&file), (expected.to_vec(), None));
}

#[test]
fn a_block_length_without_its_padding_is_understood() {
    let mut odd = packet(0, 1, b"abcde", 5, false);
    let end = odd.len() - 4;
    odd[4] -= 3;
    odd[end] -= 3;
    let file = [section(false), interface(1, 0, &[], false), odd, packet(0, 2, b"f", 1, false)].concat();
    assert_eq!(read(&file), (vec![taken(1_000, 1, 0, 5, b"abcde"), taken(2_000, 1, 0, 1, b"f")], None));
}

#[test]
fn a_cut_file_yields_every_whole_packet_and_says_where_it_ends() {
    for file in [pcap(0..5), pcapng(0..5)] {
        let whole = read(&file).0;
        assert_eq!(numbers(&whole), [0, 1, 2, 3, 4]);
        let header = file.len() - read_lengths(&file);
        for length in header..file.len() {
            let (frames, damage) = read(&file[..length]);
            assert_eq!(frames, whole[..frames.len()]);
            match damage {
                // Cut exactly between two records: nothing shows that there was more.
                None => assert_eq!(length - header, read_lengths_of(&file, frames.len())),
                Some(damage) => {
                    let begins = header + read_lengths_of(&file, frames.len());
                    assert_eq!(damage.reason, Reason::Cut);
                    assert_eq!((damage.offset, damage.packet), (begins as u64, frames.len() as u64 + 1));
                    assert_eq!(damage.unread, Some((length - begins) as u64));
                }
            }
        }
    }
}

/// How long the records of the first `count` frames are, in a file of [`pcap`] or [`pcapng`].
fn read_lengths_of(file: &[u8], count: usize) -> usize {
    let is_pcapng = file[0] == 0x0a;
    let record = |number| {
        let length = frame(number).len();
        if is_pcapng { 32 + length.next_multiple_of(4) } else { 16 + length }
    };
    (0..count as u64).map(record).sum()
}

fn read_lengths(file: &[u8]) -> usize {
    read_lengths_of(file, 5)
}

#[test]
fn corruption_is_told_with_its_place_and_its_packet() {
    let report = |bytes: &[u8]| {
        let (frames, damage) = read(bytes);
        format!("{} {}", frames.len(), damage.expect("damage"))
    };
    let absurd = [pcap(0..1), words(&[1, 2, 262_145, 262_145], false), vec![0; 300_000]].concat();
    assert_eq!(
        report(&absurd),
        "1 test is corrupt at byte 60, before packet 2: a packet length of 262145 bytes, where at most \
         262144 are possible; the packet before it was read, 300016 bytes were not"
    );
    let start = [section(false), interface(1, 0, &[], false), packet(0, 1, b"abcd", 4, false)].concat();
    let after = |more: Vec<u8>| report(&[&start[..], &more].concat());
    assert_eq!(
        after(packet(3, 1, b"x", 1, false)),
        "1 test is corrupt at byte 84, before packet 2: a packet on interface 3, which was not described; \
         the packet before it was read, 36 bytes were not"
    );
    assert_eq!(
        after(block(6, &words(&[0, 0, 0, 100, 100], false), false)),
        "1 test is corrupt at byte 84, before packet 2: a packet of 100 bytes in a block that has room for \
         0; the packet before it was read, 32 bytes were not"
    );
    assert_eq!(
        after(words(&[6, 0xffff_fff0, 0], false)),
        "1 test is corrupt at byte 84, before packet 2: a block of type 0x6 with a length of 4294967280 \
         bytes, where 16777216 are the most; the packet before it was read, 12 bytes were not"
    );
    assert_eq!(
        after(words(&[6, 0, 0], false)),
        "1 test is corrupt at byte 84, before packet 2: a block of type 0x6 with a length of 0 bytes, where \
         32 are the least; the packet before it was read, 12 bytes were not"
    );
    let mut disagreeing = packet(0, 1, b"abcd", 4, false);
    *disagreeing.last_mut().unwrap() = 1;
    assert_eq!(
        after(disagreeing),
        "1 test is corrupt at byte 84, before packet 2: a block whose length is 36 bytes at its start and \
         16777252 at its end; the packet before it was read, 36 bytes were not"
    );
    assert_eq!(
        report(&[section(false), block(3, &[0; 8], false)].concat()),
        "0 test is corrupt at byte 28, before packet 1: a packet before any interface was described; no \
         packet could be read, 20 bytes were not"
    );
    let overlong = interface(1, 0, &[9, 0, 40, 0, 6, 0, 0, 0], false);
    assert_eq!(
        after(overlong),
        "1 test is corrupt at byte 84, before packet 2: an interface description whose options are longer \
         than it is; the packet before it was read, 28 bytes were not"
    );
}

#[test]
fn a_long_unknown_block_is_passed_over_without_being_kept() {
    let long = block(0x0bad, &vec![7; 40 << 20], false);
    let ends = [packet(0, 1, b"abcd", 4, false), packet(0, 2, b"efgh", 4, false)];
    let file = [&section(false)[..], &interface(1, 0, &[], false), &ends[0], &long, &ends[1]].concat();
    let expected = (vec![taken(1_000, 1, 0, 4, b"abcd"), taken(2_000, 1, 0, 4, b"efgh")], None);
    assert_eq!(read(&file), expected);
    assert_eq!(read(&gzip(&file)), expected);
    // Cut within the block.
    let (frames, damage) = read(&gzip(&file[..20 << 20]));
    assert_eq!(
        (frames.len(), damage.map(|damage| (damage.reason, damage.offset))),
        (1, Some((Reason::Cut, 84)))
    );
}

#[test]
fn compressed_captures_are_read_whatever_their_name_and_damage_ends_them_late() {
    let plain = pcapng(0..20_000);
    let packed = gzip(&plain);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcap");
    fs::write(&path, &packed).unwrap();
    let mut source = capture::open(path.to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!(drain(&mut *source), read(&plain).0);
    let progress = source.progress();
    assert_eq!((progress.bytes, progress.total), (packed.len() as u64, Some(packed.len() as u64)));
    assert_eq!(source.damage(), None);

    let (frames, damage) = read(&packed[..packed.len() / 2]);
    assert!(frames.len() > 1_000, "{}", frames.len());
    assert_eq!(numbers(&frames), (0..frames.len() as u64).collect::<Vec<_>>());
    let damage = damage.expect("damage");
    assert!(matches!(damage.reason, Reason::Compression(_)), "{damage}");
    assert_eq!(damage.packet, frames.len() as u64 + 1);
}

#[test]
fn zstd_captures_are_read() {
    let Some(zstd) = testkit::peer("zstd_captures_are_read", "zstd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    fs::write(&path, pcap(0..20_000)).unwrap();
    let status = std::process::Command::new(zstd).args(["-q", "-1", "--rm"]).arg(&path).status().unwrap();
    assert!(status.success());
    let path = path.with_extension("zst");
    let mut source = capture::open(path.to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!(numbers(&drain(&mut *source)), (0..20_000).collect::<Vec<_>>());
    let bytes = fs::read(&path).unwrap();
    let (frames, damage) = read(&bytes[..bytes.len() / 2]);
    assert!(frames.len() > 1_000, "{}", frames.len());
    assert_eq!(numbers(&frames), (0..frames.len() as u64).collect::<Vec<_>>());
    assert!(matches!(damage.expect("damage").reason, Reason::Compression(_)));
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let name = path.to_str().unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        failure(name).replace(name, "X")
    };
    assert_eq!(refused(b""), "X is empty; check that the capture was written before it was read");
    assert_eq!(refused(b"hello\n"), "X is text, not a packet capture; give a pcap or pcapng file");
    assert_eq!(
        refused(&[0, 1, 2]),
        "X is not a packet capture in a known format; give a pcap or pcapng file, plain, gzip or zstd"
    );
    assert_eq!(
        refused(&pcap(0..1)[..20]),
        "X is cut short within its file header, after 20 bytes; capture or copy it again"
    );
    assert_eq!(
        refused(b"\xfd7zXZ\0\0"),
        "X is compressed with xz, which is not read; unpack it first, or compress it with gzip or zstd"
    );
    assert_eq!(
        refused(b"snoop\0\0\0\0\0\0\x02"),
        "X is a snoop capture, which is not read; convert it with editcap -F pcapng"
    );
    assert_eq!(
        refused(&pcap_header(0xa1b2_c3d4, (1, 0), 1, true)),
        "X is a pcap file of version 1.0, which is not read; convert it with editcap"
    );
    assert_eq!(refused(&gzip(b"hello\n")), "X is text, not a packet capture; give a pcap or pcapng file");
    assert!(refused(&gzip(&pcap(0..1))[..12]).starts_with("X cannot be unpacked: "));
    fs::remove_file(&path).unwrap();
    assert_eq!(
        refused_missing(name),
        "there is no file, folder or network interface called X; the interfaces here are KNOWN"
    );
    assert_eq!(failure("if:none0").split(';').next().unwrap(), "there is no network interface called none0");
}

fn refused_missing(name: &str) -> String {
    failure(name).replace(name, "X").replace(&capture::interfaces().join(", "), "KNOWN")
}

#[test]
fn reading_goes_on_where_it_was_resumed() {
    for bytes in [pcap(0..10_000), pcapng(0..10_000), gzip(&pcapng(0..10_000))] {
        let open = || capture::from_bytes("test", bytes.clone()).unwrap();
        let all = drain(&mut *open());
        let full = MAX_BATCH_FRAMES as u64;
        for resume in [0, 1, full - 1, full, full + 1, 9_999, 10_000] {
            let mut source = open();
            assert_eq!(source.skip_to(resume).unwrap(), resume);
            assert_eq!(source.progress().packets, resume);
            let mut batch = Batch::new();
            let mut at = resume;
            while source.next_batch(&mut batch).unwrap() == Step::Batch {
                assert_eq!(batch.first, at);
                let bytes: Vec<_> = batch.iter().map(|(_, bytes)| bytes.to_vec()).collect();
                let expected = &all[at as usize..at as usize + batch.len()];
                assert!(expected.iter().map(|taken| &taken.bytes).eq(&bytes));
                at += batch.len() as u64;
            }
            assert_eq!(at, 10_000);
            assert_eq!(source.skip_to(5).unwrap(), 10_000, "there is no way back");
        }
        assert_eq!(open().skip_to(20_000).unwrap(), 10_000);
    }
}

#[test]
fn batches_depend_on_the_file_alone_and_may_outlive_their_source() {
    for bytes in [pcap(0..10_000), gzip(&pcap(0..10_000))] {
        let batches = || {
            let mut source = capture::from_bytes("test", bytes.clone()).unwrap();
            let mut all = Vec::new();
            loop {
                let mut batch = Batch::new();
                if source.next_batch(&mut batch).unwrap() == Step::End {
                    break all;
                }
                all.push(batch);
            }
        };
        let lengths = |batches: &[Batch]| batches.iter().map(Batch::len).collect::<Vec<_>>();
        let first = batches();
        let (full, rest) = (10_000 / MAX_BATCH_FRAMES, 10_000 % MAX_BATCH_FRAMES);
        assert_eq!(lengths(&first), [vec![MAX_BATCH_FRAMES; full], vec![rest]].concat());
        assert_eq!(lengths(&batches()), lengths(&first));
        let last = first.last().unwrap();
        assert_eq!(last.bytes(last.frames.last().unwrap()), frame(9_999));
        assert_eq!(last.frames.last().unwrap().at, time(9_999));
    }
}

#[test]
fn a_file_that_is_made_shorter_while_it_is_read_ends_with_a_statement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    fs::write(&path, pcap(0..10_000)).unwrap();
    let mut source = capture::open(path.to_str().unwrap(), &Options::default()).unwrap();
    let mut batch = Batch::new();
    assert_eq!(source.next_batch(&mut batch).unwrap(), Step::Batch);
    drop(batch);
    fs::File::options().write(true).open(&path).unwrap().set_len(1_000).unwrap();
    assert_eq!(source.next_batch(&mut Batch::new()).unwrap(), Step::End);
    let damage = source.damage().expect("damage");
    assert_eq!((&damage.reason, damage.packet), (&Reason::Shortened, MAX_BATCH_FRAMES as u64 + 1));
}

#[test]
fn a_file_that_grows_is_read_as_it_was_when_it_was_opened() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    fs::write(&path, pcap(0..10)).unwrap();
    let mut source = capture::open(path.to_str().unwrap(), &Options::default()).unwrap();
    let more = &pcap(10..20)[24..];
    fs::File::options().append(true).open(&path).unwrap().write_all(more).unwrap();
    assert_eq!(drain(&mut *source).len(), 10);
    assert_eq!(source.damage(), None);
}
