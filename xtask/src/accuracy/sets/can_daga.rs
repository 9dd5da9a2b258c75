//! A car's CAN bus with injected frames (DAGA, University of Modena and Reggio Emilia).
//!
//! Tables of frames, packed, with a mark at those that were injected. An attacked table is named for the
//! clean one into which frames were put, such as `lowestID_V40_03` for `V40_03`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;

use crate::accuracy::label::{Name, Span, Unit, bursts, epoch};
use crate::accuracy::pcap::{CanFrame, Capture, can_capture, unhex};
use crate::accuracy::trial::{Prepare, Set, Trial, files};
use crate::accuracy::zip;
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "can_daga",
    unit: "frames",
    caution: "The attacked drive is the very drive that is learnt from, so figures are better than they would \
              be on another.",
    trials,
};

const ENDING: &str = ".can.zip";
/// Injected frames that are further apart than this are of two attacks.
const PAUSE: Duration = Duration::from_millis(500);
/// Tables count from 0; drives are put at moments of their own, the clean one first.
const CLEAN_BEGIN: Timestamp = Timestamp::from_secs(1_500_000_000);
const ATTACKED_BEGIN: Timestamp = Timestamp::from_secs(1_500_086_400);

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let clean = files(&data.join("clean"), ENDING)?;
    let mut all: Vec<Prepare> = Vec::new();
    for path in files(&data.join("infected"), ENDING)? {
        match clean.iter().find(|clean| is_made_from(&path, clean)) {
            Some(clean) => {
                let clean = clean.clone();
                all.push(Box::new(move |folder| prepare(folder, &path, &clean)));
            }
            None => testkit::skip("accuracy can_daga", "an attacked drive without the clean one"),
        }
    }
    Ok(all)
}

fn is_made_from(attacked: &Path, clean: &Path) -> bool {
    let stem = |path: &Path| path.file_name().map(|name| name.to_string_lossy().replace(ENDING, ""));
    match (stem(attacked), stem(clean)) {
        (Some(attacked), Some(clean)) => attacked.ends_with(&format!("_{clean}")),
        _ => false,
    }
}

fn prepare(folder: &Path, attacked: &Path, clean: &Path) -> Result<Trial, Failure> {
    // The folder of a drive says which attack it is.
    let kind = attacked.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let mut trial = Trial { tolerance: Duration::from_millis(100), ..Trial::default() };
    let written = |path: &Path, begin, name: &str| -> Result<(PathBuf, Vec<bool>, Span), Failure> {
        let table = zip::first_file(&std::fs::read(path)?)?;
        let (frames, marks) = read_table(&String::from_utf8_lossy(&table))?;
        let capture = can_capture(&frames, begin, false);
        let path = folder.join(name);
        std::fs::write(&path, &capture)?;
        let span = Capture::new(capture)?.span().ok_or(Failure("an empty drive".into()))?;
        Ok((path, marks, span))
    };
    let (path, _, span) = written(clean, CLEAN_BEGIN, "clean.pcap")?;
    trial.clean.push(path);
    trial.watched.push(span);
    let (path, marks, span) = written(attacked, ATTACKED_BEGIN, "attacked.pcap")?;
    trial.watched.push(span);
    trial.units = units(&std::fs::read(&path)?, &marks)?;
    trial.attacked.push(path);
    trial.attacks = bursts(&kind, &trial.units, PAUSE);
    // A finding about a burst need not name the identifier: it may as well be about the bus.
    trial.attacks.iter_mut().for_each(|attack| attack.hosts.clear());
    Ok(trial)
}

/// The frames of a bus as units, from the capture in which they are watched and their marks.
pub(super) fn units(capture: &[u8], marks: &[bool]) -> Result<Vec<Unit>, Failure> {
    let capture = Capture::new(capture.to_vec())?;
    Ok(capture
        .packets()
        .zip(marks)
        .map(|(packet, malicious)| Unit {
            span: Span::at(packet.at),
            flow: None,
            ends: None,
            hosts: identifier(packet.frame).map(Name::Can).into_iter().collect(),
            malicious: *malicious,
        })
        .collect())
}

/// The identifier of a SocketCAN frame, without the flags in the three highest bits.
fn identifier(frame: &[u8]) -> Option<u32> {
    frame.first_chunk::<4>().map(|id| u32::from_be_bytes(*id) & 0x1fff_ffff)
}

/// The frames of a table and which of them were injected. Columns: time in seconds, identifier, length in
/// bits, payload in hexadecimal and in binary digits, mark.
fn read_table(table: &str) -> Result<(Vec<CanFrame>, Vec<bool>), Failure> {
    let mut frames = Vec::new();
    let mut marks = Vec::new();
    for line in table.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let wrong = || Failure(format!("a frame is not understood: {line}"));
        let [time, id, _, payload, _, mark] = line.split(',').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let id = u32::from_str_radix(id, 16).map_err(|_| wrong())?;
        frames.push(CanFrame { at: epoch(time)?, id, data: unhex(payload)? });
        marks.push(match mark.trim().to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => return Err(wrong()),
        });
    }
    Ok((frames, marks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_frames_is_read_with_its_marks() {
        let table = "timestamp,CAN_ID,DLC,PAYLOAD_HEX,PAYLOAD_BIN,ANOMALY\n\
            9e-06,1D0,16,0061,0000000001100001,FALSE\n0.56,1,8,39,00111001,True\n";
        let (frames, marks) = read_table(table).map_err(|failure| failure.0).unwrap();
        assert_eq!(marks, [false, true]);
        assert_eq!(frames[0], CanFrame { at: Timestamp::from_micros(9), id: 0x1d0, data: vec![0, 0x61] });
        let units =
            units(&can_capture(&frames, CLEAN_BEGIN, false), &marks).map_err(|failure| failure.0).unwrap();
        assert_eq!(units[1].hosts, [Name::Can(1)]);
        assert_eq!(units[1].span.first, CLEAN_BEGIN + Duration::from_millis(560));
        assert!(units[1].malicious && !units[0].malicious);
        assert!(read_table("head\n1,2,3\n").is_err());
        assert!(read_table("head\n0,1,8,39,0,perhaps\n").is_err());
    }

    #[test]
    fn an_attacked_drive_is_named_for_its_clean_one() {
        let made_from = |attacked, clean| is_made_from(Path::new(attacked), Path::new(clean));
        assert!(made_from("infected/a/n_5_V40_03.can.zip", "clean/V40_03.can.zip"));
        assert!(!made_from("infected/a/n_5_V40_13.can.zip", "clean/V40_03.can.zip"));
    }
}
