//! Figures for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::score::{Counts, Tally};
use super::trial::Set;

/// A set's figures as a table. For attacks, TP are attacks that were found, FP findings that were wrong;
/// precision is the share of findings that were right.
pub(crate) fn table(set: &Set, trials: usize, tally: &Tally, published: &str) -> String {
    let mut text = format!("\n{} ({trials} trials)\n", set.name);
    let head = ["unit", "positives", "TP", "FP", "FN", "precision", "recall", "F1", "FPR", "AUC"];
    line(&mut text, head.map(str::to_owned));
    let mut row = |unit: &str, counts: Counts, rate, auc| {
        let Counts { found, missed, wrong, .. } = counts;
        let [positives, found, wrong, missed] =
            [counts.positives(), found, wrong, missed].map(|count| count.to_string());
        let [precision, recall, f1, rate, auc] =
            [counts.precision(), counts.recall(), counts.f1(), rate, auc].map(|share| figure(share, 3));
        line(&mut text, [unit.into(), positives, found, wrong, missed, precision, recall, f1, rate, auc]);
    };
    row("attacks", tally.attacks, None, None);
    if has_units(tally) {
        row(set.unit, tally.units, tally.units.false_positive_rate(), tally.auc());
    }
    let (median, worst) = delays(tally);
    let days = tally.clean_device_s / 86_400.0;
    let lines = [
        ("time to detect", format!("median {} s, worst {} s", figure(median, 1), figure(worst, 1))),
        (
            "false findings",
            format!(
                "{} in {days:.3} clean device-days: {} a device-day; {} of the clean time within findings",
                tally.attacks.wrong,
                figure(tally.wrong_per_device_day(), 2),
                figure(tally.alarmed_share(), 3),
            ),
        ),
        ("false, by detector", counted(&tally.wrong_by_detector, usize::to_string)),
        ("found, by kind", counted(&tally.kinds, |(found, all)| format!("{found}/{all}"))),
        ("published", published.to_owned()),
        ("caution", set.caution.to_owned()),
    ];
    for (name, told) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}: {told}");
    }
    text
}

fn line(text: &mut String, cells: [String; 10]) {
    let [unit, rest @ ..] = cells;
    let rest: String = rest.iter().map(|cell| format!("{cell:>11}")).collect();
    let _ = writeln!(text, "  {unit:12}{rest}");
}

/// A set's figures as JSON; absent figures are null.
pub(crate) fn json(set: &Set, trials: usize, tally: &Tally, published: &str) -> Value {
    let counts = |counts: Counts| {
        json!({
            "positives": counts.positives(),
            "tp": counts.found,
            "fp": counts.wrong,
            "fn": counts.missed,
            "precision": counts.precision(),
            "recall": counts.recall(),
            "f1": counts.f1(),
        })
    };
    let (median, worst) = delays(tally);
    let kinds: BTreeMap<_, _> =
        tally.kinds.iter().map(|(kind, (found, all))| (kind, json!({"found": found, "all": all}))).collect();
    json!({
        "set": set.name,
        "trials": trials,
        "attacks": counts(tally.attacks),
        "unit": set.unit,
        "units": has_units(tally).then(|| counts(tally.units)),
        "unit_true_negatives": tally.units.quiet,
        "unit_false_positive_rate": tally.units.false_positive_rate(),
        "unit_auc": tally.auc(),
        "time_to_detect_s": {"median": median, "worst": worst},
        "clean_device_days": tally.clean_device_s / 86_400.0,
        "false_findings_per_clean_device_day": tally.wrong_per_device_day(),
        "clean_time_within_findings": tally.alarmed_share(),
        "false_by_detector": tally.wrong_by_detector,
        "kinds": kinds,
        "published": published,
        "caution": set.caution,
    })
}

/// Whether anything smaller than an attack has a label.
fn has_units(tally: &Tally) -> bool {
    tally.units != Counts::default()
}

/// The median and the worst time to detect, in seconds.
fn delays(tally: &Tally) -> (Option<f64>, Option<f64>) {
    let mut sorted = tally.delays_s.clone();
    sorted.sort_by(f64::total_cmp);
    (sorted.get(sorted.len() / 2).copied(), sorted.last().copied())
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}

fn counted<T>(counts: &BTreeMap<String, T>, show: impl Fn(&T) -> String) -> String {
    if counts.is_empty() {
        return "-".into();
    }
    let all: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {}", show(count))).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: Set = Set { name: "plant", unit: "packets", caution: "Small.", trials: |_| Ok(Vec::new()) };

    fn tally() -> Tally {
        Tally {
            attacks: Counts { found: 3, missed: 1, right: 3, wrong: 1, quiet: 0 },
            delays_s: vec![9.0, 1.0, 2.0],
            kinds: [("scan".to_owned(), (3, 4))].into(),
            clean_s: 43_200.0,
            clean_device_s: 86_400.0,
            ..Tally::default()
        }
    }

    #[test]
    fn a_table_tells_each_figure_and_leaves_out_units_without_labels() {
        let text = table(&SET, 2, &tally(), "F1 0.9");
        let words = |line: usize| text.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(3), ["attacks", "4", "3", "1", "1", "0.750", "0.750", "0.750", "-", "-"]);
        assert!(!text.contains("packets"), "{text}");
        for told in ["median 2.0 s, worst 9.0 s", "1.00 a device-day", "scan 3/4", "F1 0.9"] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }

    #[test]
    fn json_has_null_where_there_is_no_figure() {
        let value = json(&SET, 0, &Tally::default(), "-");
        for absent in ["unit_auc", "units", "false_findings_per_clean_device_day"] {
            assert!(value[absent].is_null(), "{absent}");
        }
        assert!(value["attacks"]["f1"].is_null());
        assert!(value["time_to_detect_s"]["median"].is_null());
        assert_eq!(json(&SET, 1, &tally(), "-")["kinds"]["scan"]["all"], 4);
    }
}
