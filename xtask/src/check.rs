//! `cargo xtask check`: what a change must pass besides its tests.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::run::{Done, Failure, cargo, root, run};

/// Which crate may know which, straight. Everything else is refused: an engine that knew an edge could
/// do input and output, two engines that knew each other could not be changed apart.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("dissect", &["model"]),
    ("capture", &["model", "dissect"]),
    ("flow", &["model", "dissect"]),
    ("inventory", &["model"]),
    ("detect", &["model", "inventory"]),
    ("brain", &["model", "inventory", "detect", "policy", "mud", "trust"]),
    ("query", &["model"]),
    ("policy", &["model", "query"]),
    ("mud", &["model"]),
    ("trust", &["model"]),
    ("store", &["model"]),
    ("seal", &["model"]),
    ("account", &["model"]),
    ("api", &["model", "query", "detect", "store", "trust", "account", "tell"]),
    ("enforce", &["model", "policy"]),
    ("tell", &["model", "store", "enforce"]),
    ("lab", &["model"]),
    ("testkit", &[]),
    (
        "pavise",
        &[
            "model",
            "capture",
            "dissect",
            "flow",
            "inventory",
            "detect",
            "brain",
            "query",
            "policy",
            "mud",
            "trust",
            "store",
            "enforce",
            "tell",
            "lab",
            "account",
            "api",
            "seal",
        ],
    ),
    ("xtask", &["inventory", "detect", "model", "testkit"]),
];

/// Which crates may besides be known in tests and examples only.
const TEST_EDGES: &[(&str, &[&str])] = &[
    ("flow", &["capture", "inventory", "lab"]),
    ("capture", &[]),
    ("inventory", &[]),
    ("brain", &["lab", "capture", "dissect", "flow"]),
];

/// Licences that may be shipped with Pavise, which is Apache-2.0.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    // Of tests only.
    "BlueOak-1.0.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    // Of files that are used as they are (decisions/0010).
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(crate) fn check() -> Done {
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    run(&mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let metadata = metadata()?;
    edges(&metadata)?;
    licences(&metadata)?;
    eprintln!("Format, lints, crate edges and licences are in order.");
    Ok(())
}

fn metadata() -> Result<Value, Failure> {
    let output = cargo(["metadata", "--format-version", "1", "--locked"]).output()?;
    if !output.status.success() {
        return Err(Failure(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn is_ours(package: &Value) -> bool {
    package["source"].is_null()
}

/// Refuses a dependency between our crates that the table does not allow.
fn edges(metadata: &Value) -> Done {
    let allowed: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let tests: BTreeMap<_, _> = TEST_EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in packages(metadata).filter(|package| is_ours(package)) {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(known) = allowed.get(name) else {
            wrong.push(format!("{name} is in no row of the table in xtask/src/check.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let in_tests = dependency["kind"].as_str() == Some("dev");
            let ours = dependency["path"].as_str().is_some_and(|path| Path::new(path).starts_with(root()));
            let may = known.contains(&to)
                || in_tests && (to == "testkit" || tests.get(name).is_some_and(|known| known.contains(&to)));
            if ours && !may {
                wrong.push(format!("{name} may not depend on {to}"));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure(wrong.join("\n"))) }
}

/// Refuses a part whose licence cannot be shipped.
fn licences(metadata: &Value) -> Done {
    let wrong: Vec<String> = packages(metadata)
        .filter(|package| !is_ours(package))
        .filter(|package| !package["license"].as_str().is_some_and(is_allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure(format!("licences that are not allowed:\n{}", wrong.join("\n"))))
    }
}

/// Whether a licence expression (SPDX) leaves a choice that is allowed.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ");
    plain.split(" OR ").any(|choice| {
        choice
            .split(" AND ")
            .all(|part| LICENCES.contains(&part.trim_matches(|c: char| c == '(' || c == ')' || c == ' ')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_crates_depend_on_each_other_only_as_the_table_allows() {
        edges(&metadata().map_err(|failure| failure.0).unwrap()).map_err(|failure| failure.0).unwrap();
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        let path = root().join("crates/store");
        let metadata = serde_json::json!({"packages": [{
            "name": "dissect", "source": null,
            "dependencies": [{"name": "store", "kind": null, "path": path}]
        }]});
        assert_eq!(
            edges(&metadata).map_err(|failure| failure.0),
            Err("dissect may not depend on store".into())
        );
    }

    #[test]
    fn licence_expressions_are_understood() {
        for good in ["MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "GPL-3.0 OR MIT"] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-2.0", ""] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
