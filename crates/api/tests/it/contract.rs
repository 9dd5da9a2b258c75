//! The contract that is checked in is the one that is served.

use serde_json::Value;

#[test]
fn the_contract_that_is_checked_in_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let kept = std::fs::read_to_string(path).unwrap();
    let served = api::openapi();
    let differs = kept.lines().zip(served.lines()).position(|(kept, served)| kept != served);
    assert!(
        kept == served,
        "line {differs:?} of docs/openapi.json: `pavise serve --openapi > docs/openapi.json`"
    );
}

#[test]
fn every_operation_has_a_name_an_answer_and_a_problem() {
    let contract: Value = serde_json::from_str(&api::openapi()).unwrap();
    assert_eq!(contract["openapi"], "3.1.0");
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with('2')), "{at}");
            let problem = &answers
                .get("default")
                .map_or(&Value::Null, |problem| &problem["content"]["application/problem+json"]);
            assert!(problem.is_object() || path.ends_with("/health"), "{at}");
        }
    }
}
