//! `cargo xtask fuzz`: runs the fuzz targets with the compiler and the tools that are there anyway.

use std::path::Path;

use crate::run::{Done, Failure, cargo, root, run, target};

/// The targets: the names of the files in `fuzz/fuzz_targets`, in the order of the alphabet.
fn targets() -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for file in std::fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        names.extend(file?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// The name of a target, if it is one.
fn target_name(name: &str) -> Result<String, String> {
    let targets = targets().map_err(|Failure(reason)| reason)?;
    if targets.iter().any(|target| target == name) {
        return Ok(name.to_owned());
    }
    Err(format!("the targets are {}", targets.join(", ")))
}

/// What makes the compiler count which code an input reaches, as `cargo fuzz` asks for it. No sanitizer:
/// all code but that of the ring buffers is safe.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// What to run, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One target, a file in `fuzz/fuzz_targets`; all by default
    #[arg(value_parser = target_name)]
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
    let names = match &arguments.target {
        Some(name) => vec![name.clone()],
        None => targets()?,
    };
    for name in &names {
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
    fn every_target_has_its_line_and_its_seeds() {
        let folder = root().join("fuzz");
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        for name in &targets {
            assert!(
                manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")),
                "{name}"
            );
            assert!(folder.join("corpus").join(name).read_dir().unwrap().next().is_some(), "{name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
        assert_eq!(folder.join("corpus").read_dir().unwrap().count(), targets.len());
        assert_eq!(target_name(&targets[0]), Ok(targets[0].clone()));
        assert_eq!(target_name("none"), Err(format!("the targets are {}", targets.join(", "))));
    }
}
