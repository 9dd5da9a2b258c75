//! Telling others of what was done and found: who knows detectors, the terminal, the clock and the state is here.

use std::path::Path;
use std::sync::Arc;

use enforce::notify::Technique;
use store::Sqlite;
use tell::{Outbox, Tell, TellError, Teller, Ways};

use super::clock;
use crate::output::{Problem, say};

/// The techniques of MITRE ATT&CK by which a detector's findings go.
pub(super) fn techniques(detector: &str) -> Vec<Technique> {
    let rule = detect::DETECTORS.iter().find(|rule| rule.id == detector);
    let ids = rule.map_or(&[][..], |rule| rule.attack);
    let known = ids.iter().filter_map(|id| detect::technique(id));
    known.map(|known| Technique { id: known.id, name: known.name, tactic: known.tactic.name() }).collect()
}

/// Begins to tell whoever is named, by the outbox in the state; nobody, if nobody is.
pub(super) fn start(tell: Tell, state: &Path) -> Result<Option<Teller>, Problem> {
    if tell.receivers.is_empty() {
        return Ok(None);
    }
    let cannot = |error: TellError| Problem::Other(error.to_string());
    let outbox = Outbox::open(state, tell.limits).map_err(cannot)?;
    let ways = Ways { say: Arc::new(|text: &str| say(text)), clock };
    let mut teller = Teller::start(tell, outbox, ways).map_err(cannot)?;
    if teller.follows() {
        teller.follow(Box::new(Sqlite::open(state)?)).map_err(cannot)?;
    }
    Ok(Some(teller))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use enforce::notify::signature_id;

    use super::*;

    #[test]
    fn each_detector_has_a_number_of_its_own_and_those_who_know_attack_are_told_it() {
        let numbers: BTreeSet<_> = detect::DETECTORS.iter().map(|rule| signature_id(rule.id)).collect();
        assert_eq!(numbers.len(), detect::DETECTORS.len());
        let named = techniques("host-scan");
        assert!(
            named.iter().any(|technique| technique.id == "T1046" || technique.id == "T0846"),
            "{named:?}"
        );
        assert!(techniques("no-such-detector").is_empty());
    }
}
