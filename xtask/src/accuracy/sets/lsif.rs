//! Healthy devices in ordinary use, day after day (Charyyev and Gunes, ICC 2020).
//!
//! Each device has a folder with a capture a day, named by its date. All days of a device are watched one after the
//! other, with what was learnt on those before; whatever is found is false.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::accuracy::pcap::span_of;
use crate::accuracy::trial::{Prepare, Set, Trial, files};
use crate::run::Failure;

pub(crate) const SET: Set = Set {
    name: "lsif",
    unit: "days",
    caution: "There is no attack in it: only false findings are counted.",
    trials,
};

fn trials(data: &Path) -> Result<Vec<Prepare>, Failure> {
    let devices = by_device(data, files(data, ".pcap")?);
    Ok(devices.into_values().map(|days| Box::new(move |_: &Path| prepare(days)) as Prepare).collect())
}

/// The days of each device, in order.
fn by_device(data: &Path, captures: Vec<PathBuf>) -> BTreeMap<OsString, Vec<PathBuf>> {
    let mut devices = BTreeMap::<OsString, Vec<PathBuf>>::new();
    for capture in captures {
        let below = capture.strip_prefix(data).unwrap_or(&capture);
        let device = below.iter().next().unwrap_or_default().to_owned();
        devices.entry(device).or_default().push(capture);
    }
    for days in devices.values_mut() {
        days.sort_by_key(|day| day.file_name().map(OsString::from));
    }
    devices
}

fn prepare(days: Vec<PathBuf>) -> Result<Trial, Failure> {
    let mut trial = Trial::default();
    for day in &days {
        trial.watched.extend(span_of(std::fs::read(day)?)?);
    }
    trial.attacked = days;
    Ok(trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_go_by_device_and_date_whatever_folder_they_lie_in() {
        let paths =
            ["set/plug/b/2019-07-02.pcap", "set/plug/a/2019-07-03.pcap", "set/bulb/x/2019-07-01.pcap"];
        let devices = by_device(Path::new("set"), paths.map(PathBuf::from).into());
        let names: Vec<_> = devices.keys().filter_map(|name| name.to_str()).collect();
        assert_eq!(names, ["bulb", "plug"]);
        let plug: Vec<_> =
            devices[&OsString::from("plug")].iter().filter_map(|day| day.file_stem()).collect();
        assert_eq!(plug, ["2019-07-02", "2019-07-03"]);
    }
}
