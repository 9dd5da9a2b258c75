//! Observations that somebody else has written, whatever they say: nothing panics, and what is learnt has a form.

use brain::{Brain, Limits, Settings};
use model::Observation;
use proptest::prelude::*;

/// The seeds of the fuzz target of the same name.
fn seeds() -> Vec<String> {
    let folder = testkit::workspace().join("fuzz/corpus/observations");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The line with one of its numbers, or what looks like one, replaced.
fn with_number(line: &str, place: prop::sample::Index, digits: &str) -> String {
    let runs: Vec<_> = line
        .split_inclusive(|letter: char| !letter.is_ascii_digit())
        .scan(0, |at, piece| {
            let start = *at;
            *at += piece.len();
            Some((start, piece.bytes().take_while(u8::is_ascii_digit).count()))
        })
        .filter(|(_, length)| *length > 0)
        .collect();
    let (start, length) = runs[place.index(runs.len())];
    [&line[..start], digits, &line[start + length..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_observed_nothing_panics(
        order in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[0-9]{1,20}", any::<bool>()),
            1..120,
        ),
    ) {
        let seeds = seeds();
        let mut brain = Brain::new(Limits::default(), Settings::default());
        let (mut events, mut taken) = (Vec::new(), 0);
        for (which, place, digits, is_changed) in order {
            let line = &seeds[which.index(seeds.len())];
            let line = if is_changed { with_number(line, place, &digits) } else { line.clone() };
            let Ok(observation) = serde_json::from_str::<Observation>(&line) else {
                prop_assert!(is_changed, "a seed is no observation: {line}");
                continue;
            };
            brain.observe(&observation, &mut events);
            taken += 1;
        }
        prop_assert!(taken > 0 || events.is_empty());
        brain.detect().save();
        brain.drain_found(true);
    }
}
