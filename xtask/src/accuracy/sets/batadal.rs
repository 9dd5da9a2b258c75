//! Hourly values of a water network's SCADA (BATADAL, Taormina et al., 2018).
//!
//! One table: the hour, values by name, and whether an attack is known in that hour. What comes before the
//! first attack is watched first.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;

use crate::accuracy::label::{Name, Span, Unit, bursts, moment};
use crate::accuracy::made::{self, Row, STATION, flow_id, write_rows};
use crate::accuracy::trial::{Prepare, Set, Trial, files, text};
use crate::r#gen::csv;
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "batadal",
    unit: "hours",
    caution: "Not every hour of an attack is labelled, by design: some false alarms may be right.",
    trials,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let prepare_one = |path: PathBuf| {
        Box::new(move |folder: &Path| {
            let (rows, marks) = read_table(&text(&path)?)?;
            // A value holds for its hour.
            trial(folder, &rows, &marks, HOUR - Duration::from_nanos(1), Duration::ZERO)
        }) as Prepare
    };
    Ok(files(data, ".csv")?.into_iter().map(prepare_one).collect())
}

/// A trial of a table of values: what stands before the first marked row is clean. Each row is true for
/// `holds`.
pub(super) fn trial(
    folder: &Path,
    rows: &[Row],
    marks: &[bool],
    holds: Duration,
    tolerance: Duration,
) -> Result<Trial, Failure> {
    let first = marks.iter().position(|mark| *mark).unwrap_or(rows.len());
    let mut trial = Trial { tolerance, ..Trial::default() };
    for (number, (part, name, into)) in
        [(&rows[..first], "clean", &mut trial.clean), (&rows[first..], "watched", &mut trial.attacked)]
            .into_iter()
            .enumerate()
    {
        if let (Some(begin), Some(end)) = (part.first(), part.last()) {
            let path = folder.join(format!("{name}{}", made::ENDING));
            write_rows(&path, part, number)?;
            into.push(path);
            trial.watched.push(Span { first: begin.at, last: end.at + holds });
        }
    }
    trial.ranked_from = rows.get(first).map(|row| row.at);
    trial.units = rows
        .iter()
        .zip(marks)
        .enumerate()
        .map(|(row_number, (row, malicious))| Unit {
            span: Span { first: row.at, last: row.at + holds },
            flow: Some(flow_id(usize::from(row_number >= first))),
            ends: None,
            hosts: vec![Name::Ip(STATION.client.0), Name::Ip(STATION.server.0)],
            malicious: *malicious,
        })
        .collect();
    trial.attacks = bursts("values", &trial.units, holds.max(Duration::from_nanos(1)));
    // There is one station only: a finding need not name it.
    trial.attacks.iter_mut().for_each(|attack| attack.hosts.clear());
    Ok(trial)
}

fn read_table(table: &str) -> Result<(Vec<Row>, Vec<bool>), Failure> {
    let mut records = csv(table).into_iter();
    let head: Vec<String> =
        records.next().unwrap_or_default().iter().map(|name| name.trim().to_owned()).collect();
    let [_, names @ .., flag] = &head[..] else { return Err(Failure("a table without columns".into())) };
    if flag != "ATT_FLAG" {
        return Err(Failure("the last column is not ATT_FLAG".into()));
    }
    let mut rows = Vec::new();
    let mut marks = Vec::new();
    for record in records {
        let [hour, cells @ .., mark] = &record[..] else {
            return Err(Failure(format!("a row is not understood: {record:?}")));
        };
        let values = names
            .iter()
            .zip(cells)
            .map(|(name, cell)| Ok((name.clone(), cell.trim().parse::<f64>()?)))
            .collect::<Result<_, Failure>>()?;
        rows.push(Row { at: read_hour(hour)?, values });
        // -999 and 0 both say that no attack is known.
        marks.push(mark.trim() == "1");
    }
    Ok((rows, marks))
}

/// An hour such as `04/07/16 00`: day, month, year, hour.
fn read_hour(text: &str) -> Result<Timestamp, Failure> {
    let parts: Vec<&str> = text.trim().split(['/', ' ']).collect();
    let [day, month, year, hour] = parts[..] else { return Err(Failure(format!("no hour: {text}"))) };
    Ok(moment(&format!("20{year}-{month}-{day}T{hour}:00:00Z"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "DATETIME, L_T1, F_PU1, ATT_FLAG\n04/07/16 00,2.44,93.6,-999\n\
        04/07/16 01,2.5,0,1\n04/07/16 02,2.6,0,1\n04/07/16 03,2.6,0,0\n";

    #[test]
    fn a_table_of_hours_is_read_with_its_marks() {
        let (rows, marks) = read_table(TABLE).map_err(|failure| failure.0).unwrap();
        assert_eq!(marks, [false, true, true, false]);
        assert_eq!(rows[0].at, moment("2016-07-04T00:00:00Z").unwrap());
        assert_eq!(rows[0].values, [("L_T1".to_owned(), 2.44), ("F_PU1".to_owned(), 93.6)]);
        assert!(read_table("a,b\n").is_err());
        assert!(read_table("").is_err());
        assert!(read_table("DATETIME,ATT_FLAG\nnoon,1\n").is_err());
    }

    #[test]
    fn what_comes_before_the_first_attack_is_clean_and_marked_hours_in_a_row_are_one_attack() {
        let (rows, marks) = read_table(TABLE).map_err(|failure| failure.0).unwrap();
        let folder = crate::run::target().join("tmp").join("batadal");
        std::fs::create_dir_all(&folder).unwrap();
        let holds = HOUR - Duration::from_nanos(1);
        let trial =
            trial(&folder, &rows, &marks, holds, Duration::ZERO).map_err(|failure| failure.0).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((trial.clean.len(), trial.attacked.len(), trial.units.len()), (1, 1, 4));
        assert_eq!((trial.units[0].flow, trial.units[1].flow), (Some(flow_id(0)), Some(flow_id(1))));
        assert_eq!(trial.attacks.len(), 1);
        assert_eq!(trial.attacks[0].span, Span { first: rows[1].at, last: rows[2].at + holds });
    }
}
