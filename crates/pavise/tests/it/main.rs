//! The command line: what each bad input says, and what is kept of it.

mod common;
mod enforce;
mod fetched;
mod findings;
mod judged;
mod mud;
mod outbox;
mod policy;
mod protect;
mod report;
mod serve;
mod tell;
mod trust;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use capture::write::PcapWriter;
use common::{certificate, json, watched_plant};
use dissect::wire::LinkType;
use lab::SceneOptions;
use model::Timestamp;
use serde_json::Value;
use store::{FlowQuery, SourceState, Sqlite, Store};

/// A user that may do nothing: `nobody`.
const NOBODY: u32 = 65_534;
/// A link type that is not read: USB as Linux has it.
const USB: LinkType = LinkType(189);

/// A folder in which a test works.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// `pavise`, working in the folder with the state in `state`.
    fn pavise(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pavise"));
        command.current_dir(self.0.path()).env("PAVISE_STATE", self.path("state")).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        Done::from(self.pavise().args(arguments).output().unwrap())
    }

    fn state(&self) -> Sqlite {
        Sqlite::open(&self.path("state")).unwrap()
    }

    /// The one source in the state.
    fn source(&self) -> SourceState {
        let mut sources = self.state().sources().unwrap();
        assert_eq!(sources.len(), 1, "{sources:?}");
        sources.remove(0)
    }

    /// Packets of all conversations in the state.
    fn recorded(&self) -> u64 {
        let mut sum = 0;
        let add = &mut |flow: model::FlowRecord| {
            sum += flow.sent.packets + flow.received.packets;
            true
        };
        self.state().flows(&FlowQuery::default(), add).unwrap();
        sum
    }
}

/// What a command gave.
#[derive(Debug)]
struct Done {
    status: Option<i32>,
    out: String,
    said: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Done {
    /// Checks that the command did all that was asked.
    #[track_caller]
    fn good(self) -> Self {
        assert_eq!(self.status, Some(0), "{}", self.said);
        self
    }

    /// Checks that the command failed with exactly one sentence.
    #[track_caller]
    fn refused(self, sentence: &str) {
        assert_eq!(self.said, format!("pavise: {sentence}\n"));
        assert_eq!(self.status, Some(1));
        assert_eq!(self.out, "");
    }

    /// Checks that the command failed, said why in one line, and showed what it had read.
    #[track_caller]
    fn in_part(self, sentence: &str, shown: &str) {
        assert!(self.said.lines().any(|line| line == format!("pavise: {sentence}")), "{}", self.said);
        assert!(self.said.ends_with("pavise: not everything could be read; what was read is kept\n"));
        assert_eq!(self.status, Some(1));
        assert!(self.out.contains(shown), "{}", self.out);
    }
}

/// The plant for a minute, and how many packets it has.
fn plant() -> (Vec<u8>, u64) {
    let options = SceneOptions { duration: Duration::from_secs(60), ..SceneOptions::default() };
    let mut bytes = Vec::new();
    let truth = lab::scene("plant", &options).unwrap().write(&mut bytes).unwrap();
    (bytes, truth.packets)
}

/// The same as classic pcap, with another link type if that is asked for.
fn plant_as(link: LinkType) -> (Vec<u8>, u64) {
    let options = SceneOptions { duration: Duration::from_secs(60), ..SceneOptions::default() };
    let mut writer = PcapWriter::new(Vec::new(), link).unwrap();
    let truth = lab::scene("plant", &options)
        .unwrap()
        .play(&mut |at, frame| writer.write(at, frame, frame.len() as u32))
        .unwrap();
    (writer.finish().unwrap(), truth.packets)
}

/// How often a line of JSON has `key`.
fn with(lines: &[Value], key: &str) -> usize {
    lines.iter().filter(|line| line.get(key).is_some()).count()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// `content`, compressed by a program, or `None` where it is not installed.
fn compressed(test: &str, program: &str, content: &[u8]) -> Option<Vec<u8>> {
    let program = testkit::peer(test, program)?;
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut input, content) = (child.stdin.take().unwrap(), content.to_vec());
    let writer = std::thread::spawn(move || input.write_all(&content).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Some(output.stdout)
}

/// Not a test but the other side of the peers, which is this program started again in a namespace.
#[test]
fn a_peer() {
    testkit::namespaces::play(protect::PARTS);
}

/// Whether the test runs as root, which some tests need; says that the test is skipped if not.
fn is_root(test: &str) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t0\t"));
    if !root {
        testkit::skip(test, "it needs root");
    }
    root
}

#[test]
fn what_is_no_capture_is_refused_in_one_sentence_and_no_state_is_made() {
    let place = Place::new();
    place.file("empty.pcap", "");
    place.file("notes.txt", "The switch in hall 3 was replaced on Monday.\n");
    place.file("noise.bin", [7, 0, 255, 3, 9, 200, 17, 0, 3, 129, 14, 250]);
    place.file("short.pcap", &plant_as(LinkType::ETHERNET).0[..10]);
    place
        .run(&["watch", "empty.pcap"])
        .refused("empty.pcap is empty; check that the capture was written before it was read");
    place
        .run(&["watch", "notes.txt"])
        .refused("notes.txt is text, not a packet capture; give a pcap or pcapng file");
    place.run(&["watch", "noise.bin"]).refused(
        "noise.bin is not a packet capture in a known format; give a pcap or pcapng file, plain, gzip or zstd",
    );
    place
        .run(&["watch", "short.pcap"])
        .refused("short.pcap is cut short within its file header, after 10 bytes; capture or copy it again");
    for missing in ["missing.pcap", "if:missing0"] {
        let done = place.run(&["watch", missing]);
        assert!(done.said.starts_with("pavise: there is no "), "{}", done.said);
        assert!(done.said.contains("the interfaces here are"), "{}", done.said);
        assert_eq!((done.said.lines().count(), done.status), (1, Some(1)));
    }
    fs::create_dir(place.path("folder")).unwrap();
    place.file("folder/notes.txt", "no capture");
    place.run(&["watch", "folder"]).refused(
        "folder holds no packet captures, only 1 other files; give a folder with pcap or pcapng files",
    );
    assert!(!place.path("state").exists());
}

#[test]
fn a_file_cut_in_the_middle_gives_what_it_holds_and_says_where_it_ends() {
    let cuts = [("plant.pcapng", plant().0), ("plant.pcap", plant_as(LinkType::ETHERNET).0)];
    for (name, content) in cuts {
        let place = Place::new();
        let length = content.len() * 2 / 3 + 1;
        place.file(name, &content[..length]);
        let done = place.run(&["watch", name]);
        let source = place.source();
        let damage = source.damage.clone().unwrap();
        assert!(
            damage.starts_with(&format!("{name} is cut short in packet {}", source.packets + 1)),
            "{damage}"
        );
        done.in_part(&damage, "10.10.0.11");
        assert!(source.packets > 500 && source.is_balanced() && source.complete, "{source:?}");
        assert_eq!(place.recorded(), source.recorded);
        assert!(place.run(&["devices"]).good().out.contains("10.10.0.11"));
        // The whole file goes on where the cut one ended.
        place.file(name, &content);
        let done = place.run(&["watch", name]).good();
        assert!(done.said.contains(&format!("after packet {}", source.packets)), "{}", done.said);
        let whole = place.source();
        assert!(whole.complete && whole.damage.is_none() && whole.is_balanced());
        assert!(whole.packets > source.packets);
    }
}

#[test]
fn a_compressed_file_is_read_like_a_plain_one_also_when_it_is_cut() {
    let test = "a_compressed_file_is_read_like_a_plain_one_also_when_it_is_cut";
    let (content, packets) = plant();
    for (program, name) in [("gzip", "plant.pcapng.gz"), ("zstd", "plant.pcapng.zst")] {
        let Some(small) = compressed(test, program, &content) else { continue };
        let place = Place::new();
        place.file(name, &small);
        place.run(&["watch", name]).good();
        assert_eq!(place.source().packets, packets);
        let place = Place::new();
        place.file(name, &small[..small.len() * 3 / 4]);
        let done = place.run(&["watch", name]);
        let source = place.source();
        done.in_part(&source.damage.clone().unwrap(), "10.10.0.11");
        assert!(source.packets > 100 && source.packets < packets && source.is_balanced(), "{source:?}");
    }
}

#[test]
fn frames_of_an_unknown_link_type_are_counted_and_said() {
    let place = Place::new();
    let (content, packets) = plant_as(USB);
    place.file("usb.pcap", content);
    place.run(&["watch", "usb.pcap"]).in_part(
        "usb.pcap has frames of a link type that is not read (189), which were only counted; capture on an \
         interface of another kind, or convert it",
        "usb.pcap: ",
    );
    let source = place.source();
    assert_eq!((source.packets, source.without_flow), (packets, packets));
}

#[test]
fn one_bad_source_does_not_stop_the_others() {
    let place = Place::new();
    place.file("plant.pcapng", plant().0);
    place.file("notes.txt", "no capture");
    place
        .run(&["watch", "notes.txt", "plant.pcapng", "missing.pcap"])
        .in_part("notes.txt is text, not a packet capture; give a pcap or pcapng file", "10.10.0.11");
    assert!(place.source().complete);
    let done = place.run(&["watch", "notes.txt", "missing.pcap"]);
    assert_eq!(done.said.lines().count(), 3, "{}", done.said);
    assert!(done.said.ends_with("pavise: nothing to watch: no source could be opened\n"));
    assert_eq!(done.status, Some(1));
}

#[test]
fn without_a_state_each_question_says_what_to_do() {
    let place = Place::new();
    for question in [&["devices"][..], &["device", "10.0.0.1"], &["flows"], &["protocols", "--json"]] {
        place.run(question).refused(&format!(
            "there is no state in {}: run `pavise watch SOURCE` first, or name another folder with --state",
            place.path("state").display()
        ));
    }
}

#[test]
fn a_device_that_is_not_known_is_said() {
    let place = Place::new();
    place.file("plant.pcapng", plant().0);
    place.run(&["watch", "plant.pcapng"]).good();
    place
        .run(&["device", "192.0.2.99"])
        .refused("no device is known as 192.0.2.99: `pavise devices --all` lists those that are");
    assert!(place.run(&["device", "10.10.0.11"]).good().out.contains("Siemens"));
}

#[test]
fn a_state_that_cannot_be_used_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.file("plant.pcapng", plant().0);
    place.file("a-file", "");
    let state = place.path("a-file");
    place.run(&["watch", "plant.pcapng", "--state", "a-file"]).refused(
        "cannot use the state folder a-file: File exists (os error 17); choose another with --state",
    );
    assert_eq!(fs::read(state).unwrap(), b"");

    // A writer at work: it waits for more on its standard input.
    let mut writer = place
        .pavise()
        .args(["watch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It makes the database when it holds the lock. To try the lock here would be to hold it for a moment,
    // and longer if another test starts a program just then.
    let database = place.path("state/pavise.db");
    while !database.exists() {
        std::thread::yield_now();
    }
    place.run(&["watch", "plant.pcapng"]).refused(&format!(
        "another pavise is writing to {}: wait for it, stop it, or name another folder with --state",
        place.path("state").display()
    ));
    drop(writer.stdin.take());
    writer.wait().unwrap();

    let mut bytes = fs::read(&database).unwrap();
    // The format's number is the big-endian word at byte 60 (the SQLite file format, 1.3, user version).
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&database, &bytes).unwrap();
    for command in [&["watch", "plant.pcapng"][..], &["devices"]] {
        place.run(command).refused(&format!(
            "{} was written by a later version of Pavise (format 99, this one knows up to 4): update Pavise",
            database.display()
        ));
    }
    assert_eq!(fs::read(&database).unwrap(), bytes);

    fs::write(&database, "this is no database, whatever its name says").unwrap();
    for command in [&["watch", "plant.pcapng"][..], &["flows"]] {
        place.run(command).refused(&format!(
            "the state in {} is damaged: file is not a database; move it away and watch the sources again",
            database.display()
        ));
    }
}

#[test]
fn a_database_damaged_in_the_middle_never_panics() {
    let place = Place::new();
    place.file("plant.pcapng", plant().0);
    place.run(&["watch", "plant.pcapng"]).good();
    let database = place.path("state/pavise.db");
    let bytes = fs::read(&database).unwrap();
    for page in 1..bytes.len() / 4096 {
        let mut damaged = bytes.clone();
        damaged[page * 4096 + 8..(page + 1) * 4096].fill(0x5a);
        fs::write(&database, &damaged).unwrap();
        for question in ["devices", "flows", "protocols"] {
            let done = place.run(&[question]);
            match done.status {
                Some(0) => {}
                Some(1) => {
                    assert!(done.said.contains("is damaged: "), "page {page}: {}", done.said);
                    assert_eq!(done.said.lines().count(), 1, "{}", done.said);
                }
                _ => panic!("page {page}: {done:?}"),
            }
        }
    }
}

#[test]
fn without_permission_the_sentence_says_which() {
    let test = "without_permission_the_sentence_says_which";
    if !is_root(test) {
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The program may lie where others cannot reach it.
    let program = place.path("pavise");
    fs::copy(env!("CARGO_BIN_EXE_pavise"), &program).unwrap();
    let secret = place.file("plant.pcapng", plant().0);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    place.file("open.pcapng", plant().0);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(place.0.path()).args(arguments).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
        Done::from(command.output().unwrap())
    };
    run(&["watch", "plant.pcapng"]).refused(
        "plant.pcapng may not be read by this user; give yourself read permission or run as another user",
    );
    run(&["watch", "if:lo"]).refused(&format!(
        "capturing on lo needs the capability CAP_NET_RAW; run as root, or give it to the program once with: \
         sudo setcap cap_net_raw,cap_net_admin+ep {}",
        program.display()
    ));
    run(&["watch", "open.pcapng"]).refused(
        "cannot use the state folder .pavise: Permission denied (os error 13); choose another with --state",
    );
    // A state of another user can be read and not written.
    place.run(&["watch", "open.pcapng"]).good();
    assert!(run(&["devices", "--state", "state"]).good().out.contains("10.10.0.11"));
    run(&["watch", "open.pcapng", "--state", "state"]).refused(
        "cannot use the state folder state: Permission denied (os error 13); choose another with --state",
    );
    run(&["lab", "home", "--out", "home.pcapng"]).refused(
        "cannot write the capture home.pcapng: Permission denied (os error 13); name another file or make room",
    );
}

#[test]
fn on_a_full_disk_what_was_kept_stays_and_what_was_learnt_is_shown() {
    let test = "on_a_full_disk_what_was_kept_stays_and_what_was_learnt_is_shown";
    let (true, Some(unshare)) = (is_root(test), testkit::peer(test, "unshare")) else { return };
    let place = Place::new();
    let options = SceneOptions { duration: Duration::from_secs(3000), ..SceneOptions::default() };
    let capture = place.path("plant.pcapng");
    lab::scene("plant", &options).unwrap().write(&mut File::create(&capture).unwrap()).unwrap();
    fs::create_dir(place.path("disk")).unwrap();
    // What is mounted in a mount namespace of its own is gone with the process.
    let script = "mount -t tmpfs -o size=400k tmpfs disk || exit 77
        $PAVISE watch --commit-every 0 --state disk/state plant.pcapng > shown 2> said; echo $? > status
        $PAVISE flows --json --state disk/state > flows || exit 1
        $PAVISE devices --json --state disk/state > devices || exit 1
        mount -o remount,size=20m disk || exit 1
        $PAVISE watch --state disk/state plant.pcapng > shown-then 2> said-then || exit 1
        $PAVISE flows --json --state disk/state > flows-then";
    let done = Command::new(unshare)
        .args(["--mount", "sh", "-c", script])
        .current_dir(place.0.path())
        .env("PAVISE", env!("CARGO_BIN_EXE_pavise"))
        .output()
        .unwrap();
    if done.status.code() == Some(77) || String::from_utf8_lossy(&done.stderr).contains("unshare failed") {
        testkit::skip(test, "no file system can be mounted here");
        return;
    }
    let read = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stderr), read("said"));
    assert_eq!(
        read("said"),
        "pavise: the disk that holds disk/state/pavise.db is full: what was committed before is kept; make \
         room and run the same command again\npavise: not everything could be read; what was read is kept\n"
    );
    assert_eq!(read("status"), "1\n");
    assert!(read("shown").contains("10.10.0.11"), "{}", read("shown"));
    let kept = serde_json::from_str::<Vec<Value>>(&read("flows")).unwrap().len();
    let devices = serde_json::from_str::<Vec<Value>>(&read("devices")).unwrap().len();
    assert!(kept > 10 && devices > 10, "{kept} conversations, {devices} devices");
    assert!(
        read("said-then").starts_with("Going on with plant.pcapng after packet "),
        "{}",
        read("said-then")
    );
    let then = serde_json::from_str::<Vec<Value>>(&read("flows-then")).unwrap().len();
    assert!(then > kept);
}

#[test]
fn a_report_or_output_that_cannot_be_written_is_said_and_the_state_is_kept() {
    let place = Place::new();
    place.file("plant.pcapng", plant().0);
    place
        .run(&["watch", "plant.pcapng", "--report", "nowhere/report.html"])
        .refused("cannot write the report nowhere/report.html: there is no folder nowhere; make it first");
    assert!(!place.path("state").exists());
    let done = place.run(&["watch", "plant.pcapng", "--report", "/dev/full"]);
    assert_eq!(
        done.said,
        "pavise: cannot write the report /dev/full: No space left on device (os error 28); name another file \
         or make room\n"
    );
    assert_eq!(done.status, Some(1));
    assert!(done.out.contains("10.10.0.11") && place.source().complete);
    for arguments in [&["devices"][..], &["flows", "--json"], &["protocols"], &["watch", "plant.pcapng"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let done = Done::from(place.pavise().args(arguments).stdout(full).output().unwrap());
        assert!(
            done.said.ends_with(
                "pavise: cannot write to standard output: No space left on device (os error 28); check where \
                 it is sent to\n"
            ),
            "{arguments:?}: {}",
            done.said
        );
        assert_eq!(done.status, Some(1));
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let place = Place::new();
    place.file("plant.pcapng", plant().0);
    place.run(&["watch", "plant.pcapng"]).good();
    for arguments in [
        &["watch", "plant.pcapng", "--json"][..],
        &["flows", "--json"],
        &["devices", "--all"],
        &["protocols", "--known"],
    ] {
        let mut child =
            place.pavise().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let done = Done::from(child.wait_with_output().unwrap()).good();
        assert!(!done.said.contains("pavise:"), "{arguments:?}: {}", done.said);
    }
    // Neither is one that does not want to hear what is said beside the output.
    let mut child = place.pavise().args(["watch", "missing"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_file_that_was_read_is_shown_again_and_not_added_twice() {
    let place = Place::new();
    let (content, packets) = plant();
    place.file("plant.pcapng", &content);
    let first = place.run(&["watch", "plant.pcapng"]).good();
    let (source, recorded) = (place.source(), place.recorded());
    assert_eq!(source.packets, packets);
    let again = place.run(&["watch", "plant.pcapng"]).good();
    assert!(again.said.starts_with("Already in "), "{}", again.said);
    assert_eq!(first.out, again.out);
    assert_eq!((place.source(), place.recorded()), (source, recorded));
    // Another capture under the same name is another source.
    place.file("plant.pcapng", plant_as(LinkType::ETHERNET).0);
    place.run(&["watch", "plant.pcapng"]).good();
    assert_eq!(place.state().sources().unwrap().len(), 2);
}

#[test]
fn a_file_that_grows_is_gone_on_with() {
    let place = Place::new();
    let (content, packets) = plant();
    let options = capture::Options::default();
    // Also across the length by which files are known.
    for length in [2000, 4096, 5000, content.len() / 2, content.len()] {
        place.file("plant.pcapng", &content[..length]);
        let _ = place.run(&["watch", "plant.pcapng"]);
        let mut reader = capture::open(place.path("plant.pcapng").to_str().unwrap(), &options).unwrap();
        let there = reader.skip_to(u64::MAX).unwrap();
        let source = place.source();
        assert_eq!(source.packets, there, "{length} bytes");
        assert!(source.is_balanced() && place.recorded() == source.recorded);
    }
    assert_eq!(place.source().packets, packets);
}

#[test]
fn standard_input_and_folders_are_sources_too() {
    let (content, packets) = plant();
    let place = Place::new();
    let path = place.file("plant.pcapng", &content);
    let done = place.pavise().args(["watch", "-"]).stdin(File::open(path).unwrap()).output().unwrap();
    assert!(Done::from(done).good().out.contains("standard input: "));
    assert_eq!(place.source().packets, packets);

    let place = Place::new();
    fs::create_dir(place.path("captures")).unwrap();
    place.file("captures/notes.txt", "no capture");
    place.file("captures/a.pcapng", &content);
    let home = lab::scene(
        "home",
        &SceneOptions { start: Timestamp::from_secs(1_772_524_800), ..Default::default() },
    );
    let truth = home.unwrap().write(&mut File::create(place.path("captures/b.pcapng")).unwrap()).unwrap();
    place.run(&["watch", "captures"]).good();
    let source = place.source();
    assert!(source.complete && source.is_balanced());
    assert_eq!(source.packets, packets + truth.packets);
}

#[test]
fn ended_by_the_user_a_run_shows_and_keeps_what_was_learnt() {
    let test = "ended_by_the_user_a_run_shows_and_keeps_what_was_learnt";
    let Some(kill) = testkit::peer(test, "kill") else { return };
    let place = Place::new();
    let (content, packets) = plant();
    // Standard input that stays open: half of the capture, then nothing.
    let mut child = place
        .pavise()
        .args(["watch", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let half = content[..content.len() / 2].to_vec();
    // Written by a thread: the run waits for its reader, and must not wait for its writer meanwhile.
    let writer = std::thread::spawn(move || {
        input.write_all(&half).unwrap();
        input
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    assert!(Command::new(&kill).args(["-INT", &child.id().to_string()]).status().unwrap().success());
    output.read_to_string(&mut text).unwrap();
    let done = Done::from(child.wait_with_output().unwrap()).good();
    // A pipe that stays open until the run has ended; what was written and not read is lost with it.
    drop(writer.join().unwrap());
    assert!(
        done.said.contains("standard input: ") && done.said.contains("not read to its end"),
        "{}",
        done.said
    );
    assert_eq!(with(&lines(&text), "observation") + with(&lines(&text), "event"), text.lines().count());
    let source = place.source();
    assert!(source.is_balanced() && !source.complete && source.open == 0, "{source:?}");
    assert!(source.packets > packets / 4 && source.packets < packets, "{source:?}");

    // A file, ended while its reader makes it wait.
    let place = Place::new();
    let options = SceneOptions { duration: Duration::from_secs(1200), ..SceneOptions::default() };
    let mut file = File::create(place.path("plant.pcapng")).unwrap();
    let packets = lab::scene("plant", &options).unwrap().write(&mut file).unwrap().packets;
    let mut child = place
        .pavise()
        .args(["watch", "plant.pcapng", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    assert!(Command::new(&kill).args(["-INT", &child.id().to_string()]).status().unwrap().success());
    output.read_to_string(&mut String::new()).unwrap();
    let done = Done::from(child.wait_with_output().unwrap()).good();
    let source = place.source();
    assert!(source.is_balanced() && !source.complete && source.packets < packets, "{source:?}");
    assert!(
        done.said.contains(&format!(
            "Ended by you after packet {} of plant.pcapng: the same command goes on there.\n",
            source.packets
        )),
        "{}",
        done.said
    );
    place.run(&["watch", "plant.pcapng"]).good();
    let source = place.source();
    assert!(source.complete && source.is_balanced() && source.packets == packets);
}

#[test]
fn every_line_of_json_is_whole() {
    let place = Place::new();
    place.file("plant.pcapng", plant().0);
    let done = place.run(&["watch", "plant.pcapng", "--json"]).good();
    let streamed = lines(&done.out);
    let (observations, events) = (with(&streamed, "observation"), with(&streamed, "event"));
    assert!(observations > 1000 && events > 20, "{observations} observations, {events} events");
    assert_eq!(observations + events, streamed.len());
    assert!(streamed.iter().all(|line| line.get("at").is_some()));
    let ended: u64 = streamed
        .iter()
        .filter(|line| line["observation"] == "flow-ended")
        .map(|line| line["sent"]["packets"].as_u64().unwrap() + line["received"]["packets"].as_u64().unwrap())
        .sum();
    assert_eq!(ended, place.source().recorded);
    let appeared = streamed.iter().filter(|line| line["event"] == "device-appeared").count();
    for (question, keys) in [
        ("devices", &["id", "macs", "addresses", "attributes"][..]),
        ("flows", &["client", "server", "sent", "received"]),
        ("protocols", &["protocol", "flows", "packets", "bytes"]),
    ] {
        let done = place.run(&[question, "--json"]).good();
        let array: Vec<Value> = serde_json::from_str(&done.out).unwrap();
        assert!(array.len() > 10, "{question}");
        assert!(array.iter().all(|element| keys.iter().all(|key| element.get(key).is_some())), "{question}");
        if question == "devices" {
            assert!(array.len() <= appeared, "{} devices of which {appeared} appeared", array.len());
            let id = array[0]["id"].as_str().unwrap();
            let one: Value = serde_json::from_str(&place.run(&["device", id, "--json"]).good().out).unwrap();
            assert_eq!(one, array[0]);
        }
    }
}

#[test]
fn every_command_shows_an_example_in_its_help() {
    let place = Place::new();
    for command in ["watch", "devices", "device", "flows", "protocols", "lab"] {
        let help = place.run(&[command, "--help"]).good().out;
        assert!(help.contains(&format!("  pavise {command}")), "{help}");
    }
    assert_eq!(place.run(&["watch"]).status, Some(2));
    assert_eq!(place.run(&["watch", "x", "--shards", "0"]).status, Some(2));
}

#[test]
fn a_capture_is_made_where_it_can_be_and_refused_where_not() {
    let place = Place::new();
    let done = place.run(&["lab", "harbour", "--out", "harbour.pcapng"]);
    assert_eq!(done.status, Some(1));
    assert!(
        done.said.starts_with("pavise: no scene is called \"harbour\": there is home, plant"),
        "{}",
        done.said
    );
    assert!(!place.path("harbour.pcapng").exists());
    place.run(&["lab", "home", "--minutes", "1", "--out", "home.pcapng"]).good();
    assert!(Path::new(&place.path("home.truth.json")).exists());
    place.run(&["lab", "home", "--out", "/dev/full"]).refused(
        "cannot write the capture /dev/full: No space left on device (os error 28); name another file or make room",
    );
}
