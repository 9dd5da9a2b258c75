//! Attacks on an S7 plant (Rodofile et al., Queensland University of Technology 2017).
//!
//! Each attack has a folder, named by its local time and kind, with cut-outs of captures at the attacker,
//! the master and the HMI; one view is watched, for all show the same packets. The clean part is a capture
//! at the attacker's port, moved before the attacks, for it was made after them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::qut;
use crate::accuracy::label::Attack;
use crate::accuracy::pcap::Capture;
use crate::accuracy::trial::{Prepare, Set, Trial, files, text};
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "qut_s7comm",
    unit: "packets",
    caution: "The clean part holds no S7 at all, so who writes usually cannot be learnt; attacks are cut-outs \
              of a few packets.",
    trials,
};

/// The attacker and the controller.
const HOSTS: [&str; 4] = ["10.10.10.66", "00:10:18:cb:8c:13", "10.10.10.10", "00:1b:1b:17:f8:82"];
/// The views, the one with the most packets first.
const VIEWS: [&str; 3] = ["master", "attacker", "hmi"];

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let mut all: Vec<Prepare> = Vec::new();
    let control: Vec<PathBuf> =
        files(data, ".pcap")?.into_iter().filter(|path| path.to_string_lossy().contains("control")).collect();
    for log in files(data, "Attack_script_log.log")? {
        let control = control.clone();
        all.push(Box::new(move |folder| prepare(folder, &log, &control)));
    }
    Ok(all)
}

fn prepare(folder: &Path, log: &Path, control: &[PathBuf]) -> Result<Trial, Failure> {
    let mut trial = Trial { tolerance: Duration::from_secs(1), ..Trial::default() };
    let captures = files(log.parent().unwrap_or(log), ".pcap")?;
    for attack in qut::read_log(&text(log)?, &HOSTS)? {
        let Some(path) = capture_of(&attack, &captures) else { continue };
        trial.watched.extend(Capture::new(std::fs::read(path)?)?.span());
        trial.attacked.push(path.clone());
        trial.attacks.push(attack);
    }
    for (number, path) in control.iter().enumerate() {
        let capture = Capture::new(std::fs::read(path)?)?;
        qut::learn_from(&mut trial, capture, folder, &format!("clean-{number}.pcap"))?;
    }
    Ok(trial)
}

/// The capture of an attack: its folder begins with the local time of its start, without the fraction.
fn capture_of<'a>(attack: &Attack, captures: &'a [PathBuf]) -> Option<&'a PathBuf> {
    let local = attack.span.first + Duration::from_secs(10 * 3600);
    let digits = local.to_string().chars().filter(char::is_ascii_digit).take(14).collect::<String>();
    let stem = format!("{digits}.{}", attack.kind);
    VIEWS.iter().find_map(|view| captures.iter().find(|path| path.ends_with(format!("{stem}.{view}.pcap"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::label::{Span, moment};

    #[test]
    fn the_capture_of_an_attack_is_found_by_its_local_time_and_kind() {
        let attack = Attack {
            kind: "On".into(),
            span: Span::at(moment("2016-12-15T17:26:09.303479+10:00").unwrap()),
            hosts: HOSTS.iter().filter_map(|host| crate::accuracy::label::Name::read(host)).collect(),
        };
        assert_eq!(attack.hosts.len(), 4);
        let captures = |names: &[&str]| -> Vec<PathBuf> {
            names.iter().map(|name| PathBuf::from(format!("a/{name}.pcap"))).collect()
        };
        let both = captures(&["20161215172609.On.attacker", "20161215172609.On.master"]);
        assert_eq!(capture_of(&attack, &both), Some(&both[1]));
        assert_eq!(capture_of(&attack, &captures(&["20161215172610.On.master"])), None);
        assert_eq!(capture_of(&attack, &captures(&["20161215172609.OnAgain.master"])), None);
    }
}
