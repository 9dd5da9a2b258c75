//! Standard input and named pipes.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use capture::{Batch, Options, Step};

use crate::help::{Taken, again, drain, gzip, inside, numbers, pcap, pcapng};

#[test]
fn standard_input_is_read_in_every_format() {
    if inside() {
        let mut source = capture::open("-", &Options::default()).unwrap();
        let mut batch = Batch::new();
        // The test runner has begun a line.
        println!();
        loop {
            match source.next_batch(&mut batch) {
                Ok(Step::End) => break,
                Ok(_) => {}
                Err(error) => {
                    println!("failed: {error}");
                    break;
                }
            }
        }
        println!("packets: {}", source.progress().packets);
        println!("damage: {}", source.damage().map_or("none".to_owned(), ToString::to_string));
        return;
    }
    let fed = |bytes: &[u8]| {
        let mut child = again(&[], "pipes::standard_input_is_read_in_every_format")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let told =
            |line: &&str| ["packets: ", "damage: ", "failed: "].iter().any(|start| line.starts_with(start));
        text.lines().filter(told).collect::<Vec<_>>().join("\n")
    };
    let whole = "packets: 5000\ndamage: none";
    assert_eq!(fed(&pcap(0..5_000)), whole);
    assert_eq!(fed(&pcapng(0..5_000)), whole);
    assert_eq!(fed(&gzip(&pcap(0..5_000))), whole);
    let cut = pcap(0..3);
    assert_eq!(
        fed(&cut[..cut.len() - 4]),
        "packets: 2\ndamage: standard input is cut short in packet 3, at byte 103; the 2 packets before it \
         were read, 46 bytes were not"
    );
    assert_eq!(
        fed(b"hello, this is some text that is no capture\n").lines().next(),
        Some("failed: standard input is text, not a packet capture; give a pcap or pcapng file")
    );
}

#[test]
fn a_pipe_gives_what_has_come_and_is_idle_until_more_comes() {
    let Some(mkfifo) = testkit::peer("a_pipe_gives_what_has_come", "mkfifo") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new(mkfifo).arg(&path).status().unwrap().success());
    // Opening either end waits for the other.
    let writer = std::thread::spawn({
        let path = path.clone();
        move || File::options().write(true).open(path).unwrap()
    });
    let options = Options { poll: Duration::from_millis(1), ..Options::default() };
    let mut source = capture::open(path.to_str().unwrap(), &options).unwrap();
    let mut pipe = writer.join().unwrap();
    let bytes = pcap(0..3);
    let mut batch = Batch::new();
    let mut step = |source: &mut dyn capture::Source| {
        let step = source.next_batch(&mut batch).unwrap();
        (
            step,
            batch
                .iter()
                .map(|(_, bytes)| u64::from_be_bytes(*bytes.first_chunk().unwrap()))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(step(&mut *source), (Step::Idle, vec![]));
    pipe.write_all(&bytes[..10]).unwrap();
    assert_eq!(step(&mut *source), (Step::Idle, vec![]));
    // The rest of the header, the first packet and a part of the second.
    pipe.write_all(&bytes[10..70]).unwrap();
    assert_eq!(step(&mut *source), (Step::Batch, vec![0]));
    assert_eq!(step(&mut *source), (Step::Idle, vec![]));
    pipe.write_all(&bytes[70..]).unwrap();
    assert_eq!(step(&mut *source), (Step::Batch, vec![1, 2]));
    drop(pipe);
    assert_eq!(step(&mut *source), (Step::End, vec![]));
    assert_eq!((source.damage(), source.progress().bytes), (None, bytes.len() as u64));
}

#[test]
fn small_pieces_give_the_same_frames_as_the_whole() {
    let Some(mkfifo) = testkit::peer("small_pieces_give_the_same_frames", "mkfifo") else { return };
    let folder = tempfile::tempdir().unwrap();
    let bytes = pcapng(0..300);
    let path = folder.path().join("pipe");
    assert!(Command::new(mkfifo).arg(&path).status().unwrap().success());
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut pipe = File::options().write(true).open(path).unwrap();
            for piece in bytes.chunks(41) {
                pipe.write_all(piece).unwrap();
            }
        }
    });
    let mut source = capture::open(path.to_str().unwrap(), &Options::default()).unwrap();
    let taken: Vec<Taken> = drain(&mut *source);
    writer.join().unwrap();
    assert_eq!(numbers(&taken), (0..300).collect::<Vec<_>>());
    fs::remove_file(path).unwrap();
}
