//! `pavise watch`: reads sources and learns what is on them.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use flow::Engine;
use store::{LIVE, Memory, SourceState, Sqlite, Store};

use crate::command::Watch;
use crate::evidence::Evidence;
use crate::live::{Input, Together};
use crate::output::{Output, Problem, say};
use crate::progress::{self, Line};
use crate::protect::{self, Protector};
use crate::recorded::{self, Recorded};
use crate::report;
use crate::rules;
use crate::sense::{self, Sensed, Sensor, Signals};
use crate::session::{Captured, Plan, Session};
use crate::settings;
use crate::show;

/// How much of a file's beginning goes into its identity, in bytes.
const IDENTITY_BYTES: usize = 4096;
/// Bytes of a MiB.
const MIB: usize = 1 << 20;

/// One source, open.
struct Opened {
    name: String,
    /// What it is, for good. For a file also how it begins, by which it is known when it has grown.
    key: String,
    beginning: Option<Vec<u8>>,
    /// Whether it can be read again from a given packet.
    resumable: bool,
    input: Input,
}

pub(crate) fn run(options: &Watch) -> Result<(), Problem> {
    if let Some(path) = &options.report {
        has_folder(path)?;
    }
    let stop = interrupts()?;
    let mut problems = Vec::new();
    let mut sources = open(options, &mut problems);
    if sources.is_empty() && problems.len() == 1 {
        return problems.pop().map_or(Ok(()), Err);
    }
    for problem in &problems {
        say(format_args!("pavise: {problem}"));
    }
    if sources.is_empty() {
        return Err(Problem::Other("nothing to watch: no source could be opened".into()));
    }
    let mut settings = settings::read(options.settings.as_deref(), &options.state.state)?;
    settings.indicators = Arc::new(settings::read_intel(&options.intel)?);
    if options.no_findings {
        settings.off = detect::DETECTORS.iter().map(|rule| rule.id.to_owned()).collect();
    }
    let protection = options.protect.as_deref().map(protect::read).transpose()?;
    if let Some(source) =
        sources.iter().find(|source| !source.key.starts_with(LIVE)).filter(|_| protection.is_some())
    {
        return Err(Problem::Other(format!(
            "{} is no interface: --protect acts on whoever attacks now; leave it out, or watch an interface",
            source.name
        )));
    }
    let rules = rules::read(&options.rules)?;
    let (store, is_kept) = store_for(&mut sources, options)?;
    let ring = options.ring as usize * MIB;
    let evidence = (ring > 0 && is_kept).then(|| Evidence::new(ring, &options.state.state, settings.clone()));
    let scores = match &options.scores {
        Some(path) => {
            let file = fs::File::create(path).map_err(|error| Problem::file("scores", path, error))?;
            Some(io::BufWriter::new(file))
        }
        None => None,
    };
    let protector = match protection {
        Some(protection) => {
            Some(Protector::start(protection, settings.zones.clone(), &options.state.state, &*store)?)
        }
        None => None,
    };
    let plan = Plan {
        shards: usize::from(options.shards.unwrap_or(1)),
        max_flows: options.max_flows as usize,
        commit_interval: Duration::from_millis(options.commit_every),
        json: options.json.then(Output::new),
        scores,
        settings,
        rules,
        evidence,
        protector,
    };
    let mut engine = sense::engine(&plan);
    let mut session = Session::new(store, plan)?;
    let mut states = Vec::new();
    let mut failed = !problems.is_empty();
    for mut source in sources {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match read(&mut session, &mut engine, &mut source, options, &stop) {
            Ok(state) => {
                if let Some(damage) = &state.damage {
                    say(format_args!("pavise: {damage}"));
                    failed = true;
                } else if !state.complete && source.resumable {
                    say(format_args!(
                        "Ended by you after packet {} of {}: the same command goes on there.",
                        state.packets, source.name
                    ));
                }
                states.push(state);
            }
            Err(problem) if problem.is_closed_pipe() => return Err(problem),
            Err(problem) => {
                say(format_args!("pavise: {problem}"));
                failed = true;
                if matches!(problem, Problem::Store(_)) {
                    break;
                }
            }
        }
    }
    let summary = show::Summary::new(&session, states, &options.state.state, options.report.is_some());
    if options.json {
        summary.write(&mut io::stderr().lock()).map_err(Problem::Output)?;
    } else {
        let mut out = io::BufWriter::new(io::stdout().lock());
        summary.write(&mut out).and_then(|()| out.flush()).map_err(Problem::Output)?;
    }
    if let Some(path) = &options.report {
        fs::write(path, report::html(&summary)).map_err(|error| Problem::file("report", path, error))?;
        say(format_args!("Report written to {}.", path.display()));
    }
    session.close();
    if failed {
        return Err(Problem::Other("not everything could be read; what was read is kept".into()));
    }
    Ok(())
}

/// A flag that is set when the user or the system asks to stop. Asked twice, the process ends at once.
pub(crate) fn interrupts() -> Result<Arc<AtomicBool>, Problem> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| Problem::Other(format!("cannot listen for signals: {error}")))?;
    }
    Ok(stop)
}

/// Opens what the user named. Several interfaces become one source; the rest is read one after another.
fn open(options: &Watch, problems: &mut Vec<Problem>) -> Vec<Opened> {
    let mut sources = Vec::new();
    let (mut live, mut live_names) = (Vec::new(), Vec::new());
    for name in &options.sources {
        let path = Path::new(name);
        if recorded::is_named(path) {
            match Recorded::open(path).and_then(|source| Ok((source, identity(path)?))) {
                Ok((source, (key, beginning))) => {
                    let (name, input) = (name.clone(), Input::Recorded(source));
                    sources.push(Opened { name, key, beginning, resumable: true, input });
                }
                Err(error) => {
                    problems.push(Problem::Other(format!("cannot read {name}: {error}; check the file")));
                }
            }
            continue;
        }
        let source = match capture::open(name, &capture::Options::default()) {
            Ok(source) => source,
            Err(error) => {
                problems.push(error.into());
                continue;
            }
        };
        if name == "-" {
            let (name, key) = ("standard input".to_owned(), "stdin".to_owned());
            let input = Input::One(source);
            sources.push(Opened { name, key, beginning: None, resumable: false, input });
        } else if path.exists() && !name.starts_with("if:") {
            match identity(path) {
                Ok((key, beginning)) => {
                    let (name, input) = (name.clone(), Input::One(source));
                    sources.push(Opened { name, key, beginning, resumable: true, input });
                }
                Err(error) => {
                    problems.push(Problem::Other(format!("cannot read {name}: {error}; check the file")));
                }
            }
        } else {
            live.push(source);
            live_names.push(name.trim_start_matches("if:").to_owned());
        }
    }
    if !live.is_empty() {
        let name = live_names.join("+");
        let key = format!("{LIVE}{name}");
        let input = match live.pop() {
            Some(only) if live.is_empty() => Input::One(only),
            Some(last) => {
                live.push(last);
                Input::Several(Together::new(live))
            }
            None => return sources,
        };
        sources.push(Opened { name, key, beginning: None, resumable: false, input });
    }
    sources
}

/// What a file or folder is, wherever it is named from: where it lies, and for a file how it begins, so
/// that another capture under the same name is another source.
fn identity(path: &Path) -> io::Result<(String, Option<Vec<u8>>)> {
    let canonical = path.canonicalize()?;
    if canonical.is_dir() {
        return Ok((format!("folder:{}", canonical.display()), None));
    }
    let mut beginning = Vec::new();
    fs::File::open(&canonical)?.take(IDENTITY_BYTES as u64).read_to_end(&mut beginning)?;
    Ok((format!("file:{}", canonical.display()), Some(beginning)))
}

/// The key of a file that lies at `place` and begins with `beginning`: how many bytes were looked at, and
/// their digest (FNV-1a, 64 bits, which is the same for every build).
fn file_key(place: &str, beginning: &[u8]) -> String {
    let digest = beginning.iter().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{place}:{}:{digest:016x}", beginning.len())
}

/// The key of a file among those that are known: the file may have been shorter when it was read first.
fn key_of(place: &str, beginning: &[u8], known: &[SourceState]) -> String {
    let is_same = |key: &&str| {
        let length = key.strip_prefix(place).and_then(|rest| rest.strip_prefix(':')).and_then(|rest| {
            let (length, _) = rest.split_once(':')?;
            length.parse::<usize>().ok()
        });
        length
            .and_then(|length| beginning.get(..length))
            .is_some_and(|beginning| file_key(place, beginning) == **key)
    };
    let same = known.iter().map(|source| source.key.as_str()).rfind(is_same);
    same.map_or_else(|| file_key(place, beginning), str::to_owned)
}

/// Refuses a file that cannot be written at the end because its folder does not exist.
fn has_folder(path: &Path) -> Result<(), Problem> {
    match path.parent() {
        Some(folder) if folder != Path::new("") && !folder.is_dir() => Err(Problem::Other(format!(
            "cannot write the report {}: there is no folder {}; make it first",
            path.display(),
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// The state on disk; or, if every source is in it to its end, a state in memory in which they are shown
/// again without being added twice. Also whether it is the one on disk.
fn store_for(sources: &mut [Opened], options: &Watch) -> Result<(Box<dyn Store>, bool), Problem> {
    let store = Sqlite::create(&options.state.state)?;
    let states = store.sources()?;
    let mut again = true;
    for source in sources {
        if let Some(beginning) = source.beginning.take() {
            source.key = key_of(&source.key, &beginning, &states);
        }
        let known = states.iter().find(|known| known.key == source.key);
        again &= source.resumable
            && known.is_some_and(|known| known.complete && known.size == source.input.progress().total);
    }
    if again {
        say(format_args!(
            "Already in {} to the end; shown again without being added twice.",
            options.state.state.display()
        ));
        return Ok((Box::new(Memory::default()), false));
    }
    Ok((Box::new(store), true))
}

/// Reads one source to its end, or until told to stop.
fn read(
    session: &mut Session,
    engine: &mut Engine<Captured>,
    source: &mut Opened,
    options: &Watch,
    stop: &Arc<AtomicBool>,
) -> Result<SourceState, Problem> {
    let state = session.begin(&source.key, &source.name)?;
    if source.resumable && state.packets > 0 {
        let (packets, interrupted) = (state.packets, state.interrupted);
        let skipped = source.input.skip_to(packets)?;
        if skipped < packets {
            return Err(Problem::Other(format!(
                "{} has only {skipped} packets, but {packets} were read from it before: it was replaced; \
                 name another folder with --state to read it anew",
                source.name
            )));
        }
        let mut text = format!("Going on with {} after packet {packets}.", source.name);
        if interrupted > 0 {
            text.push_str(&format!(
                " {interrupted} packets of conversations that were open when it was cut off are not told as \
                 conversations."
            ));
        }
        say(text);
    }
    let is_live = source.key.starts_with(LIVE);
    if is_live {
        say(format_args!("Listening on {}; Ctrl-C ends it.", source.name));
    }
    let signals = Signals { stop: Arc::clone(stop), count: session.count() };
    let ways = (is_live, source.resumable);
    let sensor = Sensor::new((&mut source.input, engine), ways, signals, session.spare());
    let mut line = Line::new(&source.name, options.quiet);
    let take = |sensed: Sensed| {
        let read = sensed.progress;
        session.take(sensed)?;
        line.show(|| progress::State {
            read: read.bytes,
            total: read.total,
            packets: session.packets,
            bytes: session.bytes,
            dropped: read.dropped,
            devices: session.device_count(),
            findings: session.finding_count(),
            anomalies: session.anomaly_count(),
        });
        Ok::<(), Problem>(())
    };
    let outcome = sensor.each(works_beside(options), take)?;
    drop(line);
    let read = source.input.progress();
    let damages: Vec<String> =
        source.input.damages().iter().map(ToString::to_string).chain(session.unread()).collect();
    let damage = match (&outcome.failure, damages.is_empty()) {
        (Some(error), _) => Some(error.to_string()),
        (None, false) => Some(damages.join("; ")),
        (None, true) => None,
    };
    session.size(read.total);
    session.end(outcome.complete, read.dropped, damage)
}

/// Whether sensing and judging work side by side.
fn works_beside(options: &Watch) -> bool {
    options.shards.map_or_else(
        || thread::available_parallelism().is_ok_and(|processors| processors.get() > 1),
        |shards| shards > 1,
    )
}
