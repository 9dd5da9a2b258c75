//! Modbus/TCP in a SCADA sandbox, a label for each packet (Lemay and Fernandez, CSET 2016).
//!
//! Beside each capture stands a table of packet numbers and labels, `1;0` for a benign first packet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::accuracy::label::{Span, Unit, bursts};
use crate::accuracy::pcap::{self, Capture};
use crate::accuracy::trial::{Prepare, Set, Trial, files, text};
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "modbus_lemay",
    unit: "packets",
    caution: "Some Windows browsing is labelled malicious in one capture and benign in another.",
    trials,
};

/// Malicious packets that are further apart than this are of two attacks.
const PAUSE: Duration = Duration::from_secs(5);

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let mut clean = Vec::new();
    let mut attacked = Vec::new();
    for path in files(data, "_labeled.csv")? {
        let capture = PathBuf::from(path.to_string_lossy().replace("_labeled.csv", ".pcap"));
        if !capture.exists() {
            testkit::skip("accuracy modbus_lemay", "labels without a capture");
            continue;
        }
        let labels = read_labels(&text(&path)?)?;
        if labels.contains(&true) { attacked.push((capture, labels)) } else { clean.push(capture) }
    }
    Ok(attacked
        .into_iter()
        .map(|(capture, labels)| {
            let clean = clean.clone();
            Box::new(move |folder: &Path| prepare(folder, &clean, &capture, &labels)) as Prepare
        })
        .collect())
}

fn read_labels(table: &str) -> Result<Vec<bool>, Failure> {
    table
        .lines()
        .filter(|line| !line.trim().is_empty())
        .zip(1_usize..)
        .map(|(line, number)| match line.trim().split_once(';') {
            Some((packet, label @ ("0" | "1"))) if packet.parse() == Ok(number) => Ok(label == "1"),
            _ => Err(Failure(format!("label {number} is not understood: {line}"))),
        })
        .collect()
}

fn prepare(folder: &Path, clean: &[PathBuf], path: &Path, labels: &[bool]) -> Result<Trial, Failure> {
    let capture = Capture::new(std::fs::read(path)?)?;
    let Some(span) = capture.span() else { return Err(Failure("an empty capture".into())) };
    let units: Vec<Unit> = capture
        .packets()
        .zip(labels)
        .map(|(packet, malicious)| Unit {
            span: Span::at(packet.at),
            flow: None,
            ends: pcap::ends(packet.frame),
            hosts: pcap::hosts(packet.frame),
            malicious: *malicious,
        })
        .collect();
    if units.len() != labels.len() || capture.packets().count() != labels.len() {
        return Err(Failure(format!("{}: not as many labels as packets", path.display())));
    }
    let mut trial = Trial {
        attacked: vec![path.to_path_buf()],
        watched: vec![span],
        attacks: bursts("modbus", &units, PAUSE),
        tolerance: Duration::from_secs(1),
        units,
        ..Trial::default()
    };
    for (number, path) in clean.iter().enumerate() {
        let mut capture = Capture::new(std::fs::read(path)?)?;
        capture.end_before(span.first);
        let moved = folder.join(format!("clean-{number}.pcap"));
        std::fs::write(&moved, capture.bytes())?;
        trial.watched.extend(capture.span());
        trial.clean.push(moved);
    }
    Ok(trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_of_packets_in_order() {
        assert_eq!(read_labels("1;0\r\n2;1\r\n").map_err(|failure| failure.0).unwrap(), [false, true]);
        assert!(read_labels("1;0\n3;1\n").is_err());
        assert!(read_labels("1;2\n").is_err());
        assert!(read_labels("").map_err(|failure| failure.0).unwrap().is_empty());
    }
}
