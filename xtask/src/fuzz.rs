//! `cargo xtask fuzz`: runs the fuzz targets with the compiler and the tools that are there anyway.

use std::path::Path;

use crate::run::{Done, Failure, cargo, root, run, target};

/// The targets, each a file in `fuzz/fuzz_targets`.
const TARGETS: &[&str] = &[
    "capture",
    "wire",
    "protocols",
    "engine",
    "store",
    "intel",
    "settings",
    "observations",
    "learnt",
    "query",
    "policy",
    "mud",
    "access",
];

/// What makes the compiler count which code an input reaches, as `cargo fuzz` asks for it. No sanitizer:
/// all code but that of the ring buffers is safe.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// What to run, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One target; all by default
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    target: Option<String>,
    /// How many seconds each runs
    #[arg(default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn fuzz(arguments: &Arguments) -> Done {
    let manifest = root().join("fuzz/Cargo.toml");
    let folder = target().join("fuzz");
    let host = host()?;
    // Naming the platform keeps the flags away from build scripts.
    run(cargo(["build", "--release", "--bins", "--target", &host])
        .arg("--manifest-path")
        .arg(&manifest)
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", FLAGS))?;
    for name in TARGETS.iter().filter(|name| arguments.target.as_deref().is_none_or(|one| one == **name)) {
        let (found, artifacts) = (folder.join("corpus").join(name), folder.join("artifacts").join(name));
        std::fs::create_dir_all(&found)?;
        std::fs::create_dir_all(&artifacts)?;
        run(std::process::Command::new(folder.join(&host).join("release").join(name))
            // What is found goes to the first folder; the seeds in the second stay as they are.
            .arg(&found)
            .arg(Path::new("fuzz/corpus").join(name))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args([format!("-max_total_time={}", arguments.seconds).as_str(), "-timeout=10"])
            .args(["-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1"])
            .current_dir(root()))?;
    }
    Ok(())
}

/// The platform that this is built for.
fn host() -> Result<String, Failure> {
    let output = std::process::Command::new("rustc").arg("-vV").output()?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Failure("rustc does not say what it builds for".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_its_file_its_line_and_its_seeds() {
        let folder = root().join("fuzz");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for name in TARGETS {
            assert!(folder.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name}");
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            assert!(folder.join("corpus").join(name).read_dir().unwrap().next().is_some(), "{name}");
        }
        assert_eq!(folder.join("fuzz_targets").read_dir().unwrap().count(), TARGETS.len());
    }
}
