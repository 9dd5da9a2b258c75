//! `cargo xtask accuracy`: what Pavise finds in labelled sets, and what it says about nothing.
//!
//! Pavise is a black box here: each trial begins with an empty state, shows it what is clean where a set
//! has such a part, then what holds attacks, and compares the findings with the labels. Two things are
//! counted. By **attack**: an attack is found if a finding overlaps its time (with the set's tolerance)
//! and names one of its hosts, where the labels and the finding name any; a finding that does so for no attack
//! is wrong, while learning, too. The time to detect is from the attack's begin to when the first such finding
//! was raised. A finding that lasts long meets attacks by chance, so the share of clean time that lies within
//! findings is told beside. By **unit** (a packet, a conversation, a row), where units have labels: those that
//! findings point at, by conversation or by hosts and time, against those that are malicious.
//!
//! Sets that hold no packets are turned into observations, which `pavise watch` reads as well.

mod auc;
mod bus;
mod finding;
mod label;
mod made;
mod pcap;
mod program;
mod report;
mod score;
mod sets;
mod trial;
mod zip;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::finding::SEVERITIES;
use self::program::Program;
use self::score::Tally;
use self::trial::Set;
use crate::run::{Done, Failure, cargo, release, run, target};

/// What is to be scored, and how it is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this set
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// The least severity of a finding that counts as an alarm
    #[arg(long, value_name = "SEVERITY", default_value = "low", value_parser = SEVERITIES)]
    severity: String,
    /// Print one JSON object for each set instead of tables
    #[arg(long)]
    json: bool,
    /// Keep what was watched and the state of each trial, and say where
    #[arg(long)]
    keep: bool,
    /// A program to judge instead of the release build of this workspace
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

/// Scores all sets that are there.
pub(crate) fn accuracy(arguments: &Arguments) -> Done {
    let sets: Vec<&Set> = sets::SETS
        .iter()
        .filter(|set| arguments.set.as_deref().is_none_or(|name| name == set.name))
        .collect();
    if sets.is_empty() {
        let known: Vec<&str> = sets::SETS.iter().map(|set| set.name).collect();
        return Err(Failure(format!("no such set; there are {}", known.join(", "))));
    }
    let path = match &arguments.program {
        Some(path) => path.clone(),
        None => {
            run(&mut cargo(["build", "--release", "--package", "pavise"]))?;
            release("pavise")
        }
    };
    let program = Program::at(path)?;
    let severity = SEVERITIES.iter().position(|known| *known == arguments.severity).unwrap_or_default();
    let mut failed = Vec::new();
    for set in sets {
        let Some(data) = testkit::corpus(&format!("accuracy {}", set.name), set.name) else { continue };
        match judge(set, &data, &program, severity, arguments.keep) {
            Ok((tally, trials)) => {
                let published = published(&data, set.name);
                if arguments.json {
                    println!("{}", report::json(set, trials, &tally, &published));
                } else {
                    print!("{}", report::table(set, trials, &tally, &published));
                }
            }
            Err(Failure(reason)) => {
                eprintln!("FAILED accuracy {}: {reason}", set.name);
                failed.push(set.name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure(format!("not scored: {}", failed.join(", ")))) }
}

/// Runs a set's trials. Returns what came of them all, and how many there were.
fn judge(
    set: &Set,
    data: &Path,
    program: &Program,
    severity: usize,
    keep: bool,
) -> Result<(Tally, usize), Failure> {
    let mut sum = Tally::default();
    let mut trials = 0;
    // What another run kept is not mixed with this one.
    let all = target().join("accuracy").join(set.name);
    clear(&all)?;
    for prepare in (set.trials)(data)? {
        trials += 1;
        let folder = all.join(trials.to_string());
        std::fs::create_dir_all(&folder)?;
        let mut trial = prepare(&folder)?;
        let outcome = program.undergo(&mut trial, &folder)?;
        let alarms: Vec<_> =
            outcome.findings.into_iter().filter(|finding| finding.severity >= severity).collect();
        let mut tally = Tally::of(&trial, &alarms, outcome.devices_on_link);
        tally.take_scores(&trial, &outcome.scores, &outcome.devices);
        sum.add(tally);
        if keep {
            eprintln!("kept {}", folder.display());
        } else {
            clear(&folder)?;
        }
    }
    Ok((sum, trials))
}

fn clear(folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// The best published figure of a set, as the manifest beside it tells it.
fn published(data: &Path, name: &str) -> String {
    let manifest = data.parent().map(|corpus| corpus.join("MANIFEST.tsv"));
    let text = manifest.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    published_in(&text, name).unwrap_or_else(|| "-".into())
}

fn published_in(manifest: &str, name: &str) -> Option<String> {
    let mut lines = manifest.lines();
    let head: Vec<&str> = lines.next()?.split('\t').collect();
    lines
        .map(|line| head.iter().copied().zip(line.split('\t')).collect::<BTreeMap<_, _>>())
        .find(|row| row.get("set") == Some(&name))?
        .get("published_best")
        .map(|&figure| figure.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_figure_stands_in_the_manifest() {
        let manifest = "set\tfiles\tpublished_best\nplant\t3\tF1 0.9\nbus\t1\n";
        assert_eq!(published_in(manifest, "plant").as_deref(), Some("F1 0.9"));
        assert_eq!(published_in(manifest, "bus"), None);
        assert_eq!(published_in(manifest, "truck"), None);
        assert_eq!(published_in("", "plant"), None);
    }

    #[test]
    fn sets_have_names_of_their_own() {
        let mut names: Vec<&str> = sets::SETS.iter().map(|set| set.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), sets::SETS.len());
    }
}
