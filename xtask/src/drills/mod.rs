//! `cargo xtask drills`: the attacks that define the field, live, before a Pavise that contains them.
//!
//! Each drill builds a small network of its own in network namespaces, with real sockets and real servers; nothing leaves it.
//! Devices and people do what they always do, then somebody attacks. Pavise is a black box: it watches the bridge or router in
//! the middle and responds there. What it says is compared with what really happened: which steps of the attack succeeded, when
//! the attacker's packets stopped arriving at his victims, and whether anybody else's conversation suffered.

mod clock;
mod defence;
mod jeep;
mod mirai;
mod net;
pub(crate) mod peer;
mod stuxnet;
mod target;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;
use serde::Serialize;

use crate::run::{Done, Failure, cargo, run};
use clock::{Moment, now, seconds};
use defence::Defence;
use net::{Net, PATIENCE, Process, pace};

/// How the drills are to be run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often each is run
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Only this one: mirai, stuxnet, target or jeep
    #[arg(long)]
    only: Option<String>,
    /// Without Pavise: every step of each attack must succeed then, or the drill proves nothing
    #[arg(long)]
    undefended: bool,
    /// Prints a line of JSON for each run
    #[arg(long)]
    json: bool,
    /// Keeps what every process said in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Everybody does what they always do for so long before the attack.
const PEACE: Duration = Duration::from_secs(4);
/// The attacker goes on for so long, whatever is done about it.
const ATTACK: Duration = Duration::from_secs(4);
/// If nobody stops him, he has come to his end within so long.
const ATTACK_MAX: Duration = Duration::from_secs(30);
/// What Pavise is to need at most until the attacker is cut off, from his first packet that the network can show.
const GOAL_S: f64 = 1.0;
/// Time between two attempts of an attacker.
const BETWEEN: Duration = Duration::from_millis(20);

/// Programs that every drill needs, and Debian's packages with them.
const TOOLS: [(&str, &str); 3] = [("ip", "iproute2"), ("ss", "iproute2"), ("nft", "nftables")];

/// A place, what goes on in it, and an attack on it.
trait Scene {
    fn name(&self) -> &'static str;

    /// Programs that it needs besides, and Debian's packages with them.
    fn tools(&self) -> &'static [(&'static str, &'static str)];

    /// Builds the network and starts its servers.
    fn build(&mut self, net: &Net) -> Done;

    /// Where Pavise stands, and what it was told.
    fn post(&self) -> Post;

    /// Conversations that go on all the time: on which host, and which part that is.
    fn benign(&self) -> Vec<(&'static str, String)>;

    /// Where and whose packets are malicious: on which host, and the arguments of the part that counts them.
    fn victims(&self) -> Vec<(&'static str, String)>;

    /// Where the attacker is, and the arguments of the part that counts what he sends.
    fn attacker(&self) -> (&'static str, String);

    /// Addresses of hosts that the attacker has, or gets.
    fn attackers(&self) -> &'static [&'static str];

    /// The attack's steps.
    fn steps(&self) -> &'static [&'static str];

    /// Begins the attack: when the first malicious packet was sent.
    fn begin(&mut self, net: &Net) -> Result<Moment, Failure>;

    /// Tries a step once, and looks whether it succeeded in reality.
    fn attempt(&mut self, net: &Net, step: usize) -> Result<bool, Failure>;
}

/// Where Pavise stands, and what it was told.
struct Post {
    host: &'static str,
    interfaces: &'static [&'static str],
    /// `bridged` or `routed`.
    family: &'static str,
    /// Lines of the protection file besides family and mode.
    protection: &'static str,
    /// Settings of the detectors.
    settings: &'static str,
}

impl Post {
    /// At the bridge of the host `switch`.
    const fn switch(protection: &'static str, settings: &'static str) -> Self {
        Self { host: "switch", interfaces: &["br0"], family: "bridged", protection, settings }
    }
}

/// What came of one run.
#[derive(Serialize)]
struct Outcome {
    attack: &'static str,
    run: usize,
    defended: bool,
    /// Seconds from the first malicious packet to the first finding about the attacker, and which that was.
    found_after_s: Option<f64>,
    found_by: Option<String>,
    /// To the moment at which Pavise says that a response is in force, and which.
    acted_after_s: Option<f64>,
    action: Option<String>,
    /// To the last malicious packet that arrived at a victim, of how many.
    last_arrival_s: Option<f64>,
    arrivals: u64,
    /// To the last malicious packet that was sent.
    last_sent_s: Option<f64>,
    steps_done: usize,
    steps: &'static [&'static str],
    benign: usize,
    broken: Vec<String>,
}

impl Outcome {
    /// When the attacker was cut off, if he was: a response is in force, and from some moment on nothing of his arrived.
    fn contained_after_s(&self) -> Option<f64> {
        let acted = self.acted_after_s?;
        let contained = acted.max(self.last_arrival_s.unwrap_or_default());
        // He must have gone on sending for a while, or silence says nothing.
        (self.last_sent_s? - contained >= GOAL_S).then_some(contained)
    }

    /// Whether it is as it should be: contained without harm to others; or, with nobody to defend, the attack complete.
    fn is_good(&self) -> bool {
        let stopped = if self.defended {
            self.contained_after_s().is_some()
        } else {
            self.steps_done == self.steps.len()
        };
        stopped && self.broken.is_empty()
    }
}

/// Runs the drills.
pub(crate) fn drills(arguments: &Arguments) -> Done {
    let names: Vec<_> = scenes().iter().map(|scene| scene.name()).collect();
    if let Some(only) = &arguments.only
        && !names.contains(&only.as_str())
    {
        return Err(Failure(format!("there is no drill {only}: name one of {}", names.join(", "))));
    }
    if let Some(reason) = hindrance() {
        eprintln!("SKIPPED all drills: {reason}");
        return Ok(());
    }
    net::mind_signals()?;
    run(&mut cargo(["build", "--package", "pavise"]))?;
    // A copy, which nobody builds anew meanwhile.
    let tools = tempfile::Builder::new().prefix("pavise-drill-").tempdir()?;
    let program = tools.path().join("xtask");
    std::fs::copy("/proc/self/exe", &program)?;
    let mut outcomes = Vec::new();
    for round in 1..=arguments.runs {
        for mut scene in scenes() {
            let name = scene.name();
            if arguments.only.as_deref().is_some_and(|only| only != name) {
                continue;
            }
            if let Some(reason) = missing(scene.tools()) {
                eprintln!("SKIPPED drill {name}: {reason}");
                continue;
            }
            eprintln!("Drill {name}, run {round} of {} ...", arguments.runs);
            let folder = Folder::new(arguments.keep.as_deref(), name, round)?;
            let outcome =
                drill(scene.as_mut(), round, !arguments.undefended, &Net::new(folder.path(), &program))
                    .map_err(|Failure(reason)| Failure(format!("drill {name}: {reason}")))?;
            if arguments.json {
                println!("{}", serde_json::to_string(&outcome)?);
            }
            outcomes.push(outcome);
        }
    }
    if !arguments.json {
        print!("{}", table(&outcomes));
    }
    let wrong: Vec<_> = outcomes
        .iter()
        .filter(|outcome| !outcome.is_good())
        .map(|outcome| format!("{} (run {})", outcome.attack, outcome.run))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure(format!("not as it should be: {}", wrong.join(", ")))) }
}

fn scenes() -> [Box<dyn Scene>; 4] {
    [
        Box::<mirai::City>::default(),
        Box::<stuxnet::Plant>::default(),
        Box::<target::Shop>::default(),
        Box::<jeep::Car>::default(),
    ]
}

/// Why no drill can be run here, if so.
fn hindrance() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("network namespaces take root".into());
    }
    missing(&TOOLS)
}

/// Which programs are missing, if any are.
fn missing(tools: &[(&str, &str)]) -> Option<String> {
    let missing: Vec<_> = tools
        .iter()
        .filter(|(program, _)| !crate::test::is_installed(program))
        .map(|(program, package)| format!("{program} (Debian package {package})"))
        .collect();
    (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
}

/// Where a run's files lie.
enum Folder {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Folder {
    fn new(keep: Option<&Path>, name: &str, round: usize) -> Result<Self, Failure> {
        let Some(keep) = keep else {
            return Ok(Self::Passing(tempfile::Builder::new().prefix("pavise-drill-").tempdir()?));
        };
        let path = keep.join(format!("{name}-{round}"));
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)?;
        Ok(Self::Kept(path.canonicalize()?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }
}

/// One run of one drill.
fn drill(scene: &mut dyn Scene, run: usize, defended: bool, net: &Net) -> Result<Outcome, Failure> {
    scene.build(net)?;
    let defence = if defended { Some(Defence::start(net, &scene.post())?) } else { None };
    let mut benign = Vec::new();
    for (number, (host, words)) in scene.benign().into_iter().enumerate() {
        let mut process = net.start(&format!("{host}-benign-{number}"), &mut net.peer(host, &words))?;
        process.expect("ready", PATIENCE)?;
        benign.push((format!("{host}: {words}"), process));
    }
    pace(PEACE)?;
    let mut sniffers = Vec::new();
    for (host, words) in scene.victims() {
        sniffers.push(net.play(host, &format!("sniff {words}"))?);
    }
    let (host, words) = scene.attacker();
    let mut sender = net.start("attacker-sniff", &mut net.peer(host, &format!("sniff {words}")))?;
    sender.expect("ready", PATIENCE)?;
    let first = scene.begin(net)?;
    let steps = scene.steps();
    let mut steps_done = 0;
    let lasts = if defended { ATTACK } else { ATTACK_MAX };
    while seconds(first, now()) < lasts.as_secs_f64() {
        // Who has come to the end goes on with the last.
        let step = steps_done.min(steps.len() - 1);
        if scene.attempt(net, step)? && steps_done == step {
            steps_done += 1;
        } else {
            pace(BETWEEN)?;
        }
        if !defended && steps_done == steps.len() {
            break;
        }
    }
    let arrived = counted(sniffers)?;
    let sent = counted(vec![sender])?;
    let mut broken = Vec::new();
    let count = benign.len();
    for (name, process) in benign {
        let said = process.finish(None)?;
        if !said.iter().any(|line| line.text.starts_with("fine")) {
            let why = said.iter().rev().find(|line| line.text.starts_with("broken"));
            broken.push(format!("{name}: {}", why.map_or("it ended without a word", |line| &line.text)));
        }
    }
    let report =
        defence.map(|defence| defence.finish(first, scene.attackers())).transpose()?.unwrap_or_default();
    let after = |at: Moment| seconds(first, at);
    Ok(Outcome {
        attack: scene.name(),
        run,
        defended,
        found_after_s: report.found.as_ref().map(|(at, _)| after(*at)),
        found_by: report.found.map(|(_, detector)| detector),
        acted_after_s: report.acted.as_ref().map(|(at, _)| after(*at)),
        action: report.acted.map(|(_, action)| action),
        last_arrival_s: arrived.last.map(after),
        arrivals: arrived.count,
        last_sent_s: sent.last.map(after),
        steps_done,
        steps,
        benign: count,
        broken,
    })
}

/// What was seen of an attacker.
#[derive(Default)]
struct Counted {
    count: u64,
    last: Option<Moment>,
}

fn counted(sniffers: Vec<Process>) -> Result<Counted, Failure> {
    let mut all = Counted::default();
    for sniffer in sniffers {
        let said = sniffer.finish(None)?;
        let words = said.iter().rev().find_map(|line| line.text.strip_prefix("arrived "));
        let numbers: Vec<u64> =
            words.unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[count, _, last, _] = numbers.as_slice() else {
            return Err(Failure("somebody who was to count the attacker's packets did not".into()));
        };
        all.count += count;
        if count > 0 {
            all.last = all.last.max(Some(last));
        }
    }
    Ok(all)
}

/// The outcomes for people.
fn table(outcomes: &[Outcome]) -> String {
    let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.2} s"));
    let mut rows = vec![[
        "ATTACK".to_owned(),
        "FIRST FINDING".to_owned(),
        "CONTAINED".to_owned(),
        "LAST PACKET".to_owned(),
        "ATTACK STEPS".to_owned(),
        "BENIGN BROKEN".to_owned(),
    ]];
    for outcome in outcomes {
        let found = outcome.found_by.as_ref().map_or(String::new(), |by| format!(" {by}"));
        rows.push([
            outcome.attack.to_owned(),
            time(outcome.found_after_s) + &found,
            time(outcome.contained_after_s()),
            time(outcome.last_arrival_s),
            format!("{} of {}", outcome.steps_done, outcome.steps.len()),
            format!("{} of {}", outcome.broken.len(), outcome.benign),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    for outcome in outcomes {
        for broken in &outcome.broken {
            text.push_str(&format!("{}, run {}: {broken}\n", outcome.attack, outcome.run));
        }
    }
    let defended: Vec<_> = outcomes.iter().filter(|outcome| outcome.defended).collect();
    if !defended.is_empty() {
        let contained = defended.iter().filter_map(|outcome| outcome.contained_after_s());
        let times: Vec<_> = contained.collect();
        let soon = times.iter().filter(|after| **after <= GOAL_S).count();
        text.push_str(&format!(
            "{} of {} attacks contained, {soon} of them within {GOAL_S} s of their first packet.\n",
            times.len(),
            defended.len()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(defended: bool) -> Outcome {
        Outcome {
            attack: "mirai",
            run: 1,
            defended,
            found_after_s: Some(0.2),
            found_by: Some("brute-force".into()),
            acted_after_s: Some(0.3),
            action: Some("contain".into()),
            last_arrival_s: Some(0.4),
            arrivals: 9,
            last_sent_s: Some(3.9),
            steps_done: 1,
            steps: &["scan", "guess"],
            benign: 2,
            broken: Vec::new(),
        }
    }

    #[test]
    fn contained_is_who_is_cut_off_while_he_goes_on() {
        assert_eq!(outcome(true).contained_after_s(), Some(0.4));
        assert!(outcome(true).is_good());
        let no_action = Outcome { acted_after_s: None, ..outcome(true) };
        assert_eq!(no_action.contained_after_s(), None);
        // Packets arrived until he ended by himself.
        let leaking = Outcome { last_arrival_s: Some(3.9), ..outcome(true) };
        assert!(!leaking.is_good());
        let gave_up = Outcome { last_sent_s: Some(0.4), ..outcome(true) };
        assert_eq!(gave_up.contained_after_s(), None);
        let harmful = Outcome { broken: vec!["till: broken".into()], ..outcome(true) };
        assert!(!harmful.is_good());
    }

    #[test]
    fn with_nobody_to_defend_the_attack_must_be_complete() {
        assert!(!outcome(false).is_good());
        assert!(Outcome { steps_done: 2, ..outcome(false) }.is_good());
    }

    #[test]
    fn the_table_says_what_was_measured() {
        let text = table(&[outcome(true)]);
        assert!(text.contains("mirai   0.20 s brute-force  0.40 s"), "{text}");
        assert!(
            text.ends_with("1 of 1 attacks contained, 1 of them within 1 s of their first packet.\n"),
            "{text}"
        );
    }
}
