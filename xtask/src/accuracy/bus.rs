//! Frames of a bus and the conversations that they belong to.

use std::collections::BTreeMap;

use model::{FlowId, Timestamp};
use serde_json::Value;

use super::label::{Name, Span, Unit};
use crate::run::Failure;

/// Fills in the conversations of frames. A bus names no hosts: a conversation is all frames of one identifier, and the
/// frame with which it begins tells which. `list` is what `pavise flows --json` prints, frames are in the order of
/// time.
pub(super) fn assign(units: &mut [Unit], list: &[Value]) -> Result<(), Failure> {
    let mut begins = BTreeMap::<Timestamp, Vec<(Timestamp, FlowId)>>::new();
    for record in list.iter().filter(|record| record["transport"] == "can") {
        let time = |name: &str| serde_json::from_value(record[name].clone());
        let span = Span { first: time("first")?, last: time("last")? };
        begins
            .entry(span.first)
            .or_default()
            .push((span.last, serde_json::from_value(record["id"].clone())?));
    }
    let mut open = BTreeMap::<Name, (Timestamp, FlowId)>::new();
    for unit in units.iter_mut().filter(|unit| unit.flow.is_none()) {
        let [name @ Name::Can(_)] = unit.hosts[..] else { continue };
        let at = unit.span.first;
        if open.get(&name).is_none_or(|(last, _)| *last < at)
            && let Some(begun) = begins.get_mut(&at).and_then(Vec::pop)
        {
            open.insert(name, begun);
        }
        unit.flow = open.get(&name).map(|(_, flow)| *flow);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_belongs_to_the_conversation_that_began_with_its_identifier() {
        let record = |id, first, last| json!({"id": id, "transport": "can", "first": first, "last": last});
        let list = [
            record("00000000000000aa", "1970-01-01T00:00:01Z", "1970-01-01T00:00:03Z"),
            record("00000000000000bb", "1970-01-01T00:00:02Z", "1970-01-01T00:00:02Z"),
            record("00000000000000cc", "1970-01-01T00:00:09Z", "1970-01-01T00:00:09Z"),
        ];
        let unit = |second, identifier| Unit {
            span: Span::at(Timestamp::from_secs(second)),
            flow: None,
            ends: None,
            hosts: vec![Name::Can(identifier)],
            malicious: false,
        };
        let mut units = [unit(1, 5), unit(2, 6), unit(3, 5), unit(9, 5), unit(9, 7)];
        assign(&mut units, &list).map_err(|failure| failure.0).unwrap();
        let flows = units.map(|unit| unit.flow.map(|flow| flow.0));
        assert_eq!(flows, [Some(0xaa), Some(0xbb), Some(0xaa), Some(0xcc), None]);
    }
}
