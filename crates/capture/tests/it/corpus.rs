//! Every real capture, against what capinfos says of it.

use std::collections::BTreeMap;
use std::process::Command;

use capture::{Options, Source};

use crate::help::drain;

/// What capinfos and we say of a capture: packets, bytes on the wire, first and last time in nanoseconds.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    packets: u64,
    bytes: u64,
    times: Option<(u64, u64)>,
}

#[test]
fn every_capture_has_the_packets_that_capinfos_counts() {
    let test = "every_capture_has_the_packets_that_capinfos_counts";
    let (Some(folder), Some(capinfos)) = (testkit::corpus(test, ""), testkit::peer(test, "capinfos")) else {
        return;
    };
    let files = testkit::captures(&folder);
    assert!(files.len() > 900, "only {} captures were found", files.len());
    let mut expected = BTreeMap::new();
    for some in files.chunks(500) {
        let output = Command::new(&capinfos)
            .args(["-T", "-m", "-r", "-Q", "-S", "-c", "-d", "-a", "-e"])
            .args(some)
            .output()
            .unwrap();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let fields: Vec<_> = line.trim_matches('"').split("\",\"").collect();
            let [file, packets, bytes, first, last] = fields[..] else { panic!("{line}") };
            let times = nanos(first).zip(nanos(last));
            let summary = Summary { packets: packets.parse().unwrap(), bytes: bytes.parse().unwrap(), times };
            expected.insert(file.to_owned(), summary);
        }
    }
    assert_eq!(expected.len(), files.len(), "capinfos opens all of them");

    let mut wrong = Vec::new();
    let mut compared_times = 0;
    for file in &files {
        let name = file.to_str().unwrap();
        let mut source = capture::open(name, &Options::default()).unwrap();
        let mut found = summary(&mut *source);
        let expected = &expected[name];
        if expected.times.is_none() {
            found.times = None;
        } else {
            compared_times += 1;
        }
        if found != *expected {
            wrong.push(format!("{name}: {found:?}, capinfos {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} captures differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared_times > 800, "times were compared of {compared_times} only");
}

fn summary(source: &mut dyn Source) -> Summary {
    let taken = drain(source);
    let times = || taken.iter().map(|frame| frame.at);
    Summary {
        packets: taken.len() as u64,
        bytes: taken.iter().map(|frame| u64::from(frame.wire_length)).sum(),
        times: times().min().zip(times().max()),
    }
}

/// Seconds with a fraction; `None` if there is no time, or a fraction of more than a second.
fn nanos(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').filter(|(_, fraction)| fraction.len() <= 9)?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + format!("{fraction:0<9}").parse::<u64>().ok()?)
}

#[test]
fn the_whole_corpus_is_read_as_one_folder_in_the_order_of_time() {
    let test = "the_whole_corpus_is_read_as_one_folder_in_the_order_of_time";
    let Some(folder) = testkit::corpus(test, "icsnpp") else { return };
    let files = testkit::captures(&folder);
    let one_by_one: u64 = files
        .iter()
        .map(|file| {
            let mut source = capture::open(file.to_str().unwrap(), &Options::default()).unwrap();
            drain(&mut *source).len() as u64
        })
        .sum();
    let mut source = capture::open(folder.to_str().unwrap(), &Options::default()).unwrap();
    assert_eq!(drain(&mut *source).len() as u64, one_by_one);
    let progress = source.progress();
    assert_eq!((progress.files, Some(progress.bytes)), (files.len() as u64, progress.total));
    assert!(progress.other_files > 0);
}
