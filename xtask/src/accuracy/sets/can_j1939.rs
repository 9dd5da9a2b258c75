//! A truck's J1939 bus with attacks by an application (Mukherjee et al.; labels by a rule engine).
//!
//! A clean drive as `candump` prints it, and tables of attacked drives with a label for each frame.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;

use super::can_daga::units;
use crate::accuracy::label::{Attack, Unit, bursts, epoch};
use crate::accuracy::pcap::{CanFrame, Capture, can_capture, unhex};
use crate::accuracy::trial::{Prepare, Set, Trial, files, text};
use crate::r#gen::csv;
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "can_j1939",
    unit: "frames",
    caution: "Labels come from a rule engine; there are 30 s to learn from, of another driving state.",
    trials,
};

/// Malicious frames that are further apart than this are of two attacks.
const PAUSE: Duration = Duration::from_millis(500);
/// Logs count from 0; drives are put at moments of their own, the clean one first.
const CLEAN_BEGIN: Timestamp = Timestamp::from_secs(1_500_000_000);
const ATTACKED_BEGIN: Timestamp = Timestamp::from_secs(1_500_086_400);

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let clean = data.join("normal.log");
    let tables = files(data, ".csv")?
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("labeled_")));
    Ok(tables
        .map(|table| {
            let clean = clean.clone();
            Box::new(move |folder: &Path| prepare(folder, &clean, &table)) as Prepare
        })
        .collect())
}

fn prepare(folder: &Path, clean: &Path, table: &Path) -> Result<Trial, Failure> {
    let written = |frames: &[CanFrame], begin, name: &str| -> Result<(PathBuf, Capture), Failure> {
        let capture = can_capture(frames, begin, true);
        let path = folder.join(name);
        std::fs::write(&path, &capture)?;
        Ok((path, Capture::new(capture)?))
    };
    let mut trial = Trial { tolerance: Duration::from_millis(100), ..Trial::default() };
    if clean.exists() {
        let (path, capture) = written(&read_log(&text(clean)?)?, CLEAN_BEGIN, "clean.pcap")?;
        trial.clean.push(path);
        trial.watched.extend(capture.span());
    }
    let (frames, labels) = read_table(&text(table)?)?;
    let (path, capture) = written(&frames, ATTACKED_BEGIN, "attacked.pcap")?;
    trial.attacked.push(path);
    trial.watched.extend(capture.span());
    let marks: Vec<bool> = labels.iter().map(Option::is_some).collect();
    trial.units = units(capture.bytes(), &marks)?;
    trial.attacks = attacks(&trial.units, &labels);
    Ok(trial)
}

/// The attacks of each kind, whose labels stand in the order of the units. They name no host: a finding
/// may be about an identifier, a source address or the bus.
fn attacks(units: &[Unit], labels: &[Option<String>]) -> Vec<Attack> {
    let mut kinds: Vec<&String> = labels.iter().flatten().collect();
    kinds.sort();
    kinds.dedup();
    let of_kind = |kind: &String| {
        let of_it: Vec<Unit> = units
            .iter()
            .zip(labels)
            .filter(|(_, label)| label.as_ref() == Some(kind))
            .map(|(unit, _)| unit.clone())
            .collect();
        bursts(kind, &of_it, PAUSE)
    };
    let mut attacks: Vec<Attack> = kinds.into_iter().flat_map(of_kind).collect();
    attacks.iter_mut().for_each(|attack| attack.hosts.clear());
    attacks
}

/// The frames of a log such as ` (000.005001)  can0  18FEDF00   [8]  8A A0 28 7D 7D FF FF F5`.
fn read_log(log: &str) -> Result<Vec<CanFrame>, Failure> {
    log.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let wrong = || Failure(format!("a frame is not understood: {line}"));
            let words: Vec<&str> = line.split_whitespace().collect();
            let [time, _, id, _, data @ ..] = &words[..] else { return Err(wrong()) };
            Ok(CanFrame {
                at: epoch(time.trim_matches(['(', ')']))?,
                id: u32::from_str_radix(id, 16).map_err(|_| wrong())?,
                data: unhex(&data.concat())?,
            })
        })
        .collect()
}

/// The frames of a table and the kind of attack that each is part of, if any.
fn read_table(table: &str) -> Result<(Vec<CanFrame>, Vec<Option<String>>), Failure> {
    let mut records = csv(table).into_iter();
    let head = records.next().unwrap_or_default();
    let column = |name: &str| {
        head.iter().position(|known| known == name).ok_or_else(|| Failure(format!("no column {name}")))
    };
    let [time, id, data, label] =
        [column("timestamp")?, column("can_id")?, column("data")?, column("label")?];
    let mut frames = Vec::new();
    let mut labels = Vec::new();
    for record in records {
        let wrong = || Failure(format!("a frame is not understood: {}", record.join(",")));
        let cell = |column: usize| record.get(column).ok_or_else(wrong);
        frames.push(CanFrame {
            at: epoch(cell(time)?)?,
            id: cell(id)?.parse().map_err(|_| wrong())?,
            data: unhex(cell(data)?)?,
        });
        let label = cell(label)?;
        labels.push((label != "normal").then(|| label.clone()));
    }
    Ok((frames, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_and_tables_hold_the_same_frames() {
        let log = " (000.005001)  can0  0C00000B   [2]  C9 70\n";
        let table = "timestamp,iface,can_id,dlc,data,pgn_label,label\n\
            0.005001,can0,201326603,2,C970,\"Torque, Speed\",high_torque\n0.1,can0,1,0,,x,normal\n";
        let (frames, labels) = read_table(table).map_err(|failure| failure.0).unwrap();
        assert_eq!(read_log(log).map_err(|failure| failure.0).unwrap(), frames[..1]);
        assert_eq!(frames[0].id, 0x0c00_000b);
        assert_eq!(labels, [Some("high_torque".to_owned()), None]);
        assert!(read_log("(0.1) can0\n").is_err());
        assert!(read_table("timestamp,can_id,data\n").is_err());
    }

    #[test]
    fn attacks_of_two_kinds_are_two_though_they_overlap() {
        let frame =
            |millis: u64| CanFrame { at: Timestamp::from_micros(millis * 1000), id: 1, data: Vec::new() };
        let labels = ["flood", "claim", "flood"].map(|kind| Some(kind.to_owned()));
        let capture = can_capture(&[frame(0), frame(1), frame(2)], CLEAN_BEGIN, true);
        let units = units(&capture, &[true; 3]).map_err(|failure| failure.0).unwrap();
        let attacks = attacks(&units, &labels);
        let kinds: Vec<&str> = attacks.iter().map(|attack| attack.kind.as_str()).collect();
        assert_eq!(kinds, ["claim", "flood"]);
        assert_eq!(attacks[1].span.last, CLEAN_BEGIN + Duration::from_millis(2));
    }
}
