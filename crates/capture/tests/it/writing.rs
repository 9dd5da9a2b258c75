//! What we write, read by others.

use std::fs;

use capture::write::{PcapWriter, PcapngWriter};
use dissect::wire::LinkType;
use model::Timestamp;

use crate::help::{frame, pcap, pcapng, read, time};

#[test]
fn what_is_written_comes_back() {
    for file in [pcap(0..100), pcapng(0..100)] {
        let (frames, damage) = read(&file);
        assert_eq!((frames.len(), damage), (100, None));
        for (number, taken) in (0..).zip(frames) {
            let expected = frame(number);
            assert_eq!((taken.at, taken.wire_length), (time(number).as_nanos(), expected.len() as u32));
            assert_eq!((taken.bytes, taken.link), (expected, LinkType::ETHERNET));
        }
    }
}

#[test]
fn tshark_reads_what_is_written() {
    let Some(tshark) = testkit::peer("tshark_reads_what_is_written", "tshark") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let at = Timestamp::from_nanos(1_700_000_000_123_456_789);
    let fields = |bytes: Vec<u8>| {
        fs::write(&path, bytes).unwrap();
        let arguments = [
            "-r",
            path.to_str().unwrap(),
            "-T",
            "fields",
            "-e",
            "frame.time_epoch",
            "-e",
            "frame.len",
            "-e",
            "frame.cap_len",
            "-e",
            "frame.interface_name",
            "-e",
            "frame.encap_type",
        ];
        testkit::output(&tshark, &arguments).unwrap()
    };
    // Wireshark numbers encapsulations in its own way: Ethernet 1, raw IPv4 129.
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    let first = writer.interface(LinkType::ETHERNET, "eth0").unwrap();
    let second = writer.interface(LinkType::IPV4, "tun0").unwrap();
    writer.write(first, at, &[0xaa; 61], 1_500).unwrap();
    writer.write(second, at, &[0x45; 20], 0).unwrap();
    assert_eq!(
        fields(writer.finish().unwrap()),
        "1700000000.123456789\t1500\t61\teth0\t1\n1700000000.123456789\t20\t20\ttun0\t129\n"
    );
    let mut writer = PcapWriter::new(Vec::new(), LinkType::IPV4).unwrap();
    writer.write(at, &[0x45; 20], 40).unwrap();
    assert_eq!(fields(writer.finish().unwrap()), "1700000000.123456789\t40\t20\t\t129\n");
}

#[test]
fn a_frame_that_no_reader_would_accept_is_not_written() {
    let long = vec![0; capture::MAX_FRAME as usize + 1];
    let at = Timestamp::EPOCH;
    assert!(PcapWriter::new(Vec::new(), LinkType::ETHERNET).unwrap().write(at, &long, 0).is_err());
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    let interface = writer.interface(LinkType::ETHERNET, "").unwrap();
    assert!(writer.write(interface, at, &long, 0).is_err());
    writer.write(interface, at, &long[1..], 0).unwrap();
    assert_eq!(read(&writer.finish().unwrap()).0.len(), 1);
}
