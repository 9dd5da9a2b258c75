//! `pavise drill`: an attack of the laboratory, played before Pavise and explained step by step.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use brain::Settings;
use dissect::wire::LinkType;
use lab::{SceneOptions, TrueStage, Truth};
use model::{Change, Event, Finding, FindingId, Severity, Timestamp};
use serde::Serialize;

use crate::command::Drill;
use crate::found::{self, paragraph};
use crate::output::{Output, Problem};
use crate::play::Play;
use crate::show::{self, LEFT, RIGHT, Set, moment, table};

/// Pavise hears so much packet time at once, in nanoseconds, so that what it says comes when it happens.
const STEP: u64 = 1_000_000_000;
/// A scene has fewer conversations at once.
const MAX_FLOWS: usize = 1 << 16;
/// Nobody waits longer than this for the next thing to happen.
const PATIENCE: Duration = Duration::from_secs(5);
/// What does not fit a line begins in the next one below what stands behind the time, in columns.
const HANG: usize = 12;

pub(crate) fn run(options: &Drill) -> Result<(), Problem> {
    let duration = Duration::from_secs(u64::from(options.minutes) * 60);
    let scene = SceneOptions { seed: options.seed, duration, ..SceneOptions::default() };
    let scene = lab::attack(&options.name, options.scene.as_deref(), &scene).map_err(|error| {
        Problem::Other(format!("{error}; `pavise lab attack --list` tells what each shows"))
    })?;
    let truth = scene.truth();
    let speed = if options.json { 0.0 } else { options.speed };
    let mut stage = Stage::new(&truth, speed, options.json);
    // What cannot be printed is found out here, for a sink can only say that it failed.
    let mut problem = None;
    stage.introduce()?;
    let played = scene.play(&mut |at, frame| {
        stage.frame(at, frame).map_err(|error| {
            problem = Some(error);
            io::Error::other("stopped")
        })
    });
    match (played, problem) {
        (_, Some(problem)) => return Err(problem),
        (Err(error), None) => return Err(Problem::Other(format!("the scene cannot be played: {error}"))),
        (Ok(_), None) => {}
    }
    stage.end()
}

/// A scene under way, and Pavise before it.
struct Stage<'a> {
    truth: &'a Truth,
    play: Play,
    /// When the frames that were added are to be looked at.
    next: Timestamp,
    /// How many stages have been told.
    told: usize,
    /// Findings that were told.
    found: Vec<FindingId>,
    out: Output,
    /// Seconds of packet time in one second; 0 for as fast as can be.
    speed: f64,
    /// Packet time up to which was waited, and when.
    waited: (Timestamp, Instant),
    quiet: bool,
}

/// How a stage was found, for programs.
#[derive(Serialize)]
struct Outcome<'a> {
    stage: &'a str,
    techniques: &'a [String],
    first: Timestamp,
    /// How many seconds after the stage began it was found, by detector.
    found: BTreeMap<String, f64>,
}

impl<'a> Stage<'a> {
    fn new(truth: &'a Truth, speed: f64, quiet: bool) -> Self {
        Self {
            truth,
            play: Play::new(MAX_FLOWS, Settings::default()),
            next: truth.start,
            told: 0,
            found: Vec::new(),
            out: Output::new(),
            speed,
            waited: (truth.start, Instant::now()),
            quiet,
        }
    }

    fn line(&mut self, text: impl fmt::Display) -> Result<(), Problem> {
        if self.quiet {
            return Ok(());
        }
        self.out.line(text)?;
        self.out.flush()
    }

    fn introduce(&mut self) -> Result<(), Problem> {
        let Truth { scene, devices, attack, .. } = self.truth;
        let kind = lab::ATTACKS.iter().find(|known| Some(known.name) == attack.as_deref());
        let about = kind.map_or("", |kind| kind.about);
        let name = attack.as_deref().unwrap_or("nothing");
        let drill =
            format!("Drill: {name} in a scene called {scene} with {} devices: {about}.", devices.len());
        self.line(format_args!(
            "{}\n\
             Lines with > tell what the attacker does, lines with ! what Pavise says of it.\n\n\
             {}  Everybody does what they always do; Pavise learns.",
            show::fit(&drill, 0),
            clock(self.truth.start)
        ))
    }

    fn frame(&mut self, at: Timestamp, frame: &[u8]) -> Result<(), Problem> {
        if at >= self.next {
            self.look()?;
            self.next = Timestamp::from_nanos(at.as_nanos() + STEP);
            self.wait(at);
        }
        while let Some(stage) = self.truth.stages.get(self.told).filter(|stage| stage.first <= at) {
            self.told += 1;
            self.tell(stage)?;
        }
        let link = match lab::Link::of(frame) {
            lab::Link::Ethernet => LinkType::ETHERNET,
            lab::Link::Can => LinkType::CAN_SOCKETCAN,
        };
        if self.play.push(at, link, 0, frame, frame.len() as u32) {
            self.look()?;
        }
        Ok(())
    }

    /// Lets real time pass as packet time does.
    #[expect(
        clippy::disallowed_methods,
        reason = "a learner's eyes need the time; nothing else waits for it"
    )]
    fn wait(&mut self, at: Timestamp) {
        if self.speed > 0.0 {
            let (before, since) = self.waited;
            let due = at.since(before).div_f64(self.speed).min(PATIENCE);
            thread::sleep(due.saturating_sub(since.elapsed()));
            self.waited = (at, Instant::now());
        }
    }

    /// Says what the attacker begins to do.
    fn tell(&mut self, stage: &TrueStage) -> Result<(), Problem> {
        let techniques: Vec<_> = stage
            .techniques
            .iter()
            .map(|id| {
                detect::technique(id).map_or_else(|| id.clone(), |known| format!("{id} {}", known.name))
            })
            .collect();
        let harmless = if stage.hostile { "" } else { "harmless: " };
        let (at, techniques) = (clock(stage.first), techniques.join(", "));
        let said = format!("{at}  > {harmless}{} by {} ({techniques})", stage.name, stage.actor);
        self.line(format_args!("\n{}\n{}", show::fit(&said, HANG), paragraph(&stage.about).trim_end()))
    }

    /// Shows Pavise what has happened, and says what it says.
    fn look(&mut self) -> Result<(), Problem> {
        let events = self.play.look();
        self.say(events)
    }

    fn say(&mut self, events: Vec<Event>) -> Result<(), Problem> {
        for event in events {
            let Change::FindingRaised { finding } = event.change else { continue };
            let worse = if self.found.contains(&finding.id) { "now " } else { "" };
            self.found.push(finding.id);
            let (at, severity) = (clock(event.at), finding.severity);
            let said = format!("{at}  ! {worse}{severity}  {}: {}", finding.title, finding.summary);
            self.line(show::fit(&said, HANG))?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Problem> {
        let events = self.play.end();
        self.say(events)?;
        let mut findings: Vec<Finding> = self.play.brain().detect().findings().cloned().collect();
        found::in_order(&mut findings);
        let outcomes: Vec<_> = self.truth.stages.iter().map(|stage| self.outcome(stage, &findings)).collect();
        if self.quiet {
            self.out.json(&outcomes)?;
            return self.out.flush();
        }
        let hostile = self.truth.stages.iter().any(|stage| stage.hostile);
        if hostile {
            self.sum_up(&outcomes)?;
        } else {
            let alarms = findings.iter().filter(|finding| finding.severity > Severity::Low).count();
            self.line(match alarms {
                0 => "\nIt was harmless, and Pavise raised no alarm.".to_owned(),
                alarms => format!("\nIt was harmless, but Pavise raised {alarms} alarms."),
            })?;
        }
        let mut incidents: Vec<_> = self.play.brain().detect().incidents().cloned().collect();
        found::incidents_in_order(&mut incidents);
        if let Some(worst) = incidents.first() {
            let response = paragraph(&worst.response);
            self.line(format_args!(
                "\nThe incident: {} ({})\nWhat to do first\n{response}",
                worst.title, worst.severity
            ))?;
        }
        let hint =
            "`pavise lab attack` writes the same as a capture; `pavise detectors ID` explains a detector.";
        self.line(show::fit(hint, 0))
    }

    fn sum_up(&mut self, outcomes: &[Outcome<'_>]) -> Result<(), Problem> {
        let mut rows =
            table(&[("STAGE", LEFT), ("BEGAN", LEFT), ("FOUND BY", Set::Text(72)), ("AFTER", RIGHT)]);
        for outcome in outcomes {
            let soonest = outcome.found.values().copied().min_by(f64::total_cmp);
            let by: Vec<_> = outcome.found.keys().map(String::as_str).collect();
            rows.add_row([
                outcome.stage.to_owned(),
                moment(outcome.first),
                if by.is_empty() { "-".to_owned() } else { by.join(", ") },
                soonest.map_or_else(|| "-".to_owned(), |after| format!("{after:.1} s")),
            ]);
        }
        let found = outcomes.iter().filter(|outcome| !outcome.found.is_empty()).count();
        self.line(format_args!("\n{rows}\n{found} of {} stages were found.", outcomes.len()))
    }

    /// Which findings tell of a stage, weaknesses aside: they name one of those who take part, at that time.
    fn outcome<'s>(&self, stage: &'s TrueStage, findings: &[Finding]) -> Outcome<'s> {
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        let telling =
            |finding: &&Finding| finding.severity > Severity::Low && self.truth.is_told(stage, finding);
        for finding in findings.iter().filter(telling) {
            let after = finding.raised.since(stage.first).as_secs_f64();
            let soonest = found.entry(finding.detector.to_string()).or_insert(after);
            *soonest = soonest.min(after);
        }
        Outcome { stage: &stage.name, techniques: &stage.techniques, first: stage.first, found }
    }
}

/// The time of day.
fn clock(at: Timestamp) -> String {
    let text = moment(at);
    text.split_once('T').map_or(text.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}
