//! Killed at any moment, the state on disk is whole and says honestly how far it has come.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use lab::SceneOptions;
use store::{FlowQuery, SourceState, Sqlite, Store, StoreError};

/// How often the process is killed.
const KILLS: u64 = 30;
/// At most so many lines are read of a run before it is killed.
const MAX_LINES: u64 = 4_000;

/// Numbers that look like chance and are the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A run of `pavise watch` that streams its observations.
struct Run {
    child: Child,
    reader: JoinHandle<()>,
    /// Gets one word when the wanted number of lines was read, and is closed when there are no more.
    enough: Receiver<()>,
}

impl Run {
    fn start(capture: &Path, state: &Path, said: &Path, lines: u64) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pavise"))
            .args(["watch", "--json", "--commit-every", "0", "--state"])
            .args([state, capture])
            .stdout(Stdio::piped())
            .stderr(File::create(said).unwrap())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, enough) = channel();
        let reader = std::thread::spawn(move || {
            // The output is read on to its end: a run that waits for its reader would commit nothing.
            for (number, line) in output.split(b'\n').enumerate() {
                if line.is_err() {
                    break;
                }
                if number as u64 == lines {
                    let _ = sender.send(());
                }
            }
        });
        Self { child, reader, enough }
    }

    /// Waits until the wanted lines were read, or the run has ended.
    fn read_on(&self) {
        let _ = self.enough.recv();
    }

    /// Waits until something is written to the journal: a commit is under way then.
    fn until_commit(&mut self, state: &Path) {
        let before = journal(state);
        while journal(state) == before && self.child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
    }

    /// Waits until more packets are kept than there were, or the run has ended.
    fn until_kept(&mut self, state: &Path, packets: u64) {
        let kept = || {
            Sqlite::open(state).and_then(|store| store.sources()).ok()?.first().map(|source| source.packets)
        };
        while kept().is_none_or(|kept| kept <= packets) && self.child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
    }
}

/// Length and time of the journal of the database.
fn journal(state: &Path) -> Option<(u64, SystemTime)> {
    let metadata = fs::metadata(state.join("pavise.db-wal")).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

/// What the state says of the one source, after it was checked to be whole. `bytes` has the wire bytes of
/// the first packets of the capture.
fn checked(state: &Path, bytes: &[u64]) -> SourceState {
    let store = match Sqlite::open(state) {
        Ok(store) => store,
        // Killed before there was one.
        Err(StoreError::Missing(_)) => return SourceState::default(),
        Err(error) => panic!("{error}"),
    };
    let sources = store.sources().unwrap();
    assert!(sources.len() <= 1, "one capture became several sources: {sources:?}");
    let source = sources.into_iter().next().unwrap_or_default();
    assert!(source.is_balanced(), "{source:?}");
    assert_eq!(source.bytes, bytes[source.packets as usize], "the resume point is no prefix: {source:?}");
    let (mut recorded, mut by_protocol) = (0, HashMap::<String, u64>::new());
    store
        .flows(&FlowQuery::default(), &mut |flow| {
            let packets = flow.sent.packets + flow.received.packets;
            recorded += packets;
            let name = flow.protocol.map_or_else(|| flow.head.transport.to_string(), |name| name.to_string());
            *by_protocol.entry(name).or_default() += packets;
            true
        })
        .unwrap();
    assert_eq!(source.recorded, recorded, "conversations that are kept and what the source says of them");
    for (name, totals) in store.protocols().unwrap() {
        assert_eq!(by_protocol.get(&name).copied().unwrap_or(0), totals.packets, "packets of {name}");
    }
    store.devices().unwrap();
    source
}

fn devices(state: &Path) -> BTreeSet<String> {
    Sqlite::open(state).unwrap().devices().unwrap().iter().map(|device| device.id.to_string()).collect()
}

#[test]
fn a_run_that_is_killed_many_times_keeps_a_whole_state_and_goes_on_exactly_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("plant.pcapng");
    let options = SceneOptions { duration: Duration::from_secs(1800), ..SceneOptions::default() };
    let scene = lab::scene("plant", &options).unwrap();
    scene.write(&mut File::create(&capture).unwrap()).unwrap();
    let mut bytes = vec![0];
    scene
        .play(&mut |_, frame| {
            bytes.push(bytes[bytes.len() - 1] + frame.len() as u64);
            Ok(())
        })
        .unwrap();
    let total = bytes.len() as u64 - 1;

    let (state, said) = (folder.path().join("state"), folder.path().join("said"));
    let mut chance = Chance(7);
    let (mut before, mut points) = (SourceState::default(), BTreeSet::new());
    for kill in 0..KILLS {
        let mut run = Run::start(&capture, &state, &said, chance.below(MAX_LINES));
        // In the middle of a batch, in the middle of a commit, and soon after one.
        match kill % 3 {
            0 => run.read_on(),
            1 => run.until_commit(&state),
            _ => run.until_kept(&state, before.packets),
        }
        run.kill();
        let after = checked(&state, &bytes);
        let told = fs::read_to_string(&said).unwrap();
        if before.packets > 0 && !told.is_empty() && !before.complete {
            let expected = format!("Going on with {} after packet {}.", capture.display(), before.packets);
            assert!(told.starts_with(&expected), "{expected}\n{told}");
        }
        assert!(after.packets >= before.packets, "kill {kill} went back: {before:?}, {after:?}");
        if after.packets < total {
            points.insert(after.packets);
        }
        before = after;
    }
    // Otherwise the kills came too early or too late to say anything.
    assert!(points.len() >= 5, "only these points were killed at: {points:?}");
    println!("Killed {KILLS} times; the state was at packets {points:?} of {total}.");

    let last = Run::start(&capture, &state, &said, 0);
    assert!(last.reader.join().is_ok());
    let mut child = last.child;
    assert!(child.wait().unwrap().success(), "{}", fs::read_to_string(&said).unwrap());
    let source = checked(&state, &bytes);
    assert!(source.complete);
    assert_eq!((source.packets, source.open, source.shed), (total, 0, 0));

    let whole = folder.path().join("whole");
    let run = Run::start(&capture, &whole, &said, 0);
    run.reader.join().unwrap();
    assert_eq!(devices(&state), devices(&whole), "devices after kills and of an undisturbed run");
}
