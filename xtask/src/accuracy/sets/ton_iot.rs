//! Values that devices of a testbed told, a label for each (TON_IoT, UNSW Canberra).
//!
//! One table for each device: date, time, values, label and kind of attack. Rows are not in the order of
//! time, so they are put in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;

use super::batadal;
use crate::accuracy::label::moment;
use crate::accuracy::made::Row;
use crate::accuracy::trial::{Prepare, Set, Trial, files, text};
use crate::r#gen::csv;
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "ton_iot",
    unit: "rows",
    caution: "Labels follow the date alone: values in attacks are as usual, so an honest figure is near chance.",
    trials,
};

/// What a row says is true for its second.
const HOLDS: Duration = Duration::from_nanos(999_999_999);
const TOLERANCE: Duration = Duration::from_secs(60);
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Columns that are no values.
const OTHERS: [&str; 5] = ["ts", "date", "time", "label", "type"];
/// Rows of one kind that are further apart than this are of two attacks.
const PAUSE: Duration = Duration::from_secs(3_600);

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let prepare_one = |path: PathBuf| {
        Box::new(move |folder: &Path| prepare(folder, &read_table(&text(&path)?)?)) as Prepare
    };
    Ok(files(data, ".csv")?.into_iter().map(prepare_one).collect())
}

fn prepare(folder: &Path, table: &[(Row, Option<String>)]) -> Result<Trial, Failure> {
    let rows: Vec<Row> = table.iter().map(|(row, _)| row.clone()).collect();
    let marks: Vec<bool> = table.iter().map(|(_, kind)| kind.is_some()).collect();
    let mut trial = batadal::trial(folder, &rows, &marks, HOLDS, TOLERANCE)?;
    let mut kinds = BTreeMap::<&str, Vec<_>>::new();
    for (unit, (_, kind)) in trial.units.iter().zip(table) {
        if let Some(kind) = kind {
            kinds.entry(kind).or_default().push(unit.clone());
        }
    }
    trial.attacks = kinds
        .into_iter()
        .flat_map(|(kind, units)| crate::accuracy::label::bursts(kind, &units, PAUSE))
        .collect();
    trial.attacks.iter_mut().for_each(|attack| attack.hosts.clear());
    Ok(trial)
}

/// Rows in the order of time, each with its kind of attack, if any.
fn read_table(table: &str) -> Result<Vec<(Row, Option<String>)>, Failure> {
    let mut records = csv(table).into_iter();
    let head = records.next().unwrap_or_default();
    let mut rows = Vec::new();
    for record in records {
        let cells: BTreeMap<&str, &str> =
            head.iter().map(String::as_str).zip(record.iter().map(|cell| cell.trim())).collect();
        let cell = |name: &str| {
            cells.get(name).copied().ok_or_else(|| Failure(format!("no column {name} in {record:?}")))
        };
        let at = read_time(cell("date")?, cell("time")?)?;
        let kind = (cell("label")? != "0").then(|| cell("type")).transpose()?.map(str::to_owned);
        let values = cells
            .iter()
            .filter(|(name, _)| !OTHERS.contains(name))
            .filter_map(|(name, value)| Some(((*name).to_owned(), number(value)?)))
            .collect();
        rows.push((Row { at, values }, kind));
    }
    rows.sort_by_key(|(row, _)| row.at);
    Ok(rows)
}

/// A number, or a state that has two names.
fn number(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "high" | "open" => Some(1.0),
        "false" | "off" | "low" | "closed" => Some(0.0),
        other => other.parse().ok(),
    }
}

/// A moment such as `25-Apr-19` and `19:19:40`.
fn read_time(date: &str, time: &str) -> Result<Timestamp, Failure> {
    let wrong = || Failure(format!("no date: {date}"));
    let parts: Vec<&str> = date.split('-').collect();
    let [day, month, year] = parts[..] else { return Err(wrong()) };
    let month = MONTHS.iter().position(|name| *name == month).ok_or_else(wrong)? + 1;
    Ok(moment(&format!("20{year}-{month:02}-{day:0>2}T{time:0>8}Z"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "date,time,fridge_temperature,temp_condition,label,type\r\n\
        25-Apr-19, 19:19:40 ,9.25,high  ,1,ddos\r\n2-Apr-19, 4:04:17 ,1,low,0,normal\r\n";

    #[test]
    fn rows_are_put_in_the_order_of_time() {
        let rows = read_table(TABLE).map_err(|failure| failure.0).unwrap();
        assert_eq!(rows[0].0.at, moment("2019-04-02T04:04:17Z").unwrap());
        let kinds: Vec<_> = rows.iter().map(|(_, kind)| kind.as_deref()).collect();
        assert_eq!(kinds, [None, Some("ddos")]);
        let values = [("fridge_temperature".to_owned(), 9.25), ("temp_condition".to_owned(), 1.0)];
        assert_eq!(rows[1].0.values, values);
        assert!(read_table("date,time,label\n25-Apr-19,19:19:40,1\n").is_err());
        assert!(read_table("date,time,label,type\n25-Foo-19,19:19:40,1,x\n").is_err());
    }
}
