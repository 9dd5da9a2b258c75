//! Days of a DNP3 substation as a port of its switch sees them (Rodofile et al., Queensland University of
//! Technology 2017): GOOSE, PTP, NTP and broadcasts; DNP3 only where an attacker speaks it.
//!
//! Each day is a folder with a capture and a log of attacks, both packed. Days without attacks are clean:
//! the first is learnt from before every other day.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::qut;
use crate::accuracy::pcap::Capture;
use crate::accuracy::trial::{Prepare, Set, Trial, files};
use crate::accuracy::zip;
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "qut_dnp3",
    unit: "packets",
    caution: "Most attacks forge the master's addresses; one of them is a single stray frame.",
    trials,
};

/// The attacker, whom the log does not name.
const HOSTS: [&str; 2] = ["192.168.10.66", "00:10:18:cb:8c:13"];
/// Packets of an attack come up to this long after the log says that it ended.
const TOLERANCE: Duration = Duration::from_secs(10);

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let mut clean = Vec::new();
    let mut attacked = Vec::new();
    for log in files(data, "Attack_script_log.log.zip")? {
        let capture = log.with_file_name("attacker.pcap.zip");
        if !capture.exists() {
            testkit::skip("accuracy qut_dnp3", "a log without a capture");
            continue;
        }
        let day = (capture, unpacked(&log)?);
        if day.1.is_empty() { clean.push(day) } else { attacked.push(day) }
    }
    let lesson = clean.first().map(|(capture, _)| capture.clone());
    // A clean day that was not learnt from is watched as any other; all of it is clean.
    let days = clean.into_iter().skip(usize::from(!attacked.is_empty())).chain(attacked);
    Ok(days
        .map(|(capture, log)| {
            let lesson = lesson.clone().filter(|lesson| *lesson != capture);
            Box::new(move |folder: &Path| prepare(folder, &capture, &log, lesson)) as Prepare
        })
        .collect())
}

fn unpacked(path: &Path) -> Result<Vec<u8>, Failure> {
    zip::first_file(&std::fs::read(path)?).map_err(|reason| Failure(format!("{}: {reason}", path.display())))
}

fn prepare(folder: &Path, path: &Path, log: &[u8], lesson: Option<PathBuf>) -> Result<Trial, Failure> {
    let capture = Capture::new(unpacked(path)?)?;
    let written = folder.join("day.pcap");
    std::fs::write(&written, capture.bytes())?;
    let mut trial = Trial {
        attacked: vec![written],
        watched: capture.span().into_iter().collect(),
        attacks: qut::read_log(&String::from_utf8_lossy(log), &HOSTS)?,
        tolerance: TOLERANCE,
        ..Trial::default()
    };
    drop(capture);
    if let Some(lesson) = lesson {
        qut::learn_from(&mut trial, Capture::new(unpacked(&lesson)?)?, folder, "clean.pcap")?;
    }
    Ok(trial)
}
