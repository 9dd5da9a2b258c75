//! What the tests of this crate share.

use std::process::Command;

use capture::write::{PcapWriter, PcapngWriter};
use capture::{Batch, Damage, Options, Source, Step};
use dissect::wire::LinkType;
use model::Timestamp;

/// A frame with its bytes, taken out of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) at: u64,
    pub(crate) link: LinkType,
    pub(crate) interface: u16,
    pub(crate) wire_length: u32,
    pub(crate) bytes: Vec<u8>,
}

/// All frames of a source, to its end.
pub(crate) fn drain(source: &mut dyn Source) -> Vec<Taken> {
    let mut batch = Batch::new();
    let mut taken = Vec::new();
    while source.next_batch(&mut batch).expect("the source can be read") != Step::End {
        assert_eq!(batch.first, taken.len() as u64);
        assert!(batch.len() <= capture::MAX_BATCH_FRAMES);
        taken.extend(batch.iter().map(|(frame, bytes)| Taken {
            at: frame.at.as_nanos(),
            link: frame.link,
            interface: frame.interface,
            wire_length: frame.wire_length,
            bytes: bytes.to_vec(),
        }));
    }
    assert_eq!(source.progress().packets, taken.len() as u64);
    taken
}

/// What is read of these bytes, and what was lost of them.
pub(crate) fn read(bytes: &[u8]) -> (Vec<Taken>, Option<Damage>) {
    let mut source = capture::from_bytes("test", bytes.to_vec()).expect("a capture");
    (drain(&mut *source), source.damage().cloned())
}

/// What opening `spec` fails with, as the user sees it.
pub(crate) fn failure(spec: &str) -> String {
    capture::open(spec, &Options::default()).err().expect("it cannot be opened").to_string()
}

/// A frame that tells its number, of a length that depends on it.
pub(crate) fn frame(number: u64) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(20 + (number * 7 % 90) as usize, number as u8);
    bytes
}

/// When `frame(number)` was captured.
pub(crate) fn time(number: u64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + number * 1_000_001)
}

/// A pcap file of the frames with these numbers.
pub(crate) fn pcap(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET).unwrap();
    for number in numbers {
        writer.write(time(number), &frame(number), 0).unwrap();
    }
    writer.finish().unwrap()
}

/// A pcapng file of the frames with these numbers.
pub(crate) fn pcapng(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    let interface = writer.interface(LinkType::ETHERNET, "eth0").unwrap();
    for number in numbers {
        writer.write(interface, time(number), &frame(number), 0).unwrap();
    }
    writer.finish().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// Which frames of [`frame`] these are.
pub(crate) fn numbers(taken: &[Taken]) -> Vec<u64> {
    taken.iter().map(|taken| u64::from_be_bytes(*taken.bytes.first_chunk().unwrap())).collect()
}

/// Set in a process in which a test runs again, see [`again`].
const INSIDE: &str = "PAVISE_TEST_INSIDE";

/// Whether this is the process that [`again`] began.
pub(crate) fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// A command that runs one test of this program once more in a process of its own, behind `wrapper`.
pub(crate) fn again(wrapper: &[&str], test: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    command
}
