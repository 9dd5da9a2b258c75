//! What tests share: where real captures lie, which peers are installed, how a skip is said, networks of their own.
//!
//! Tests on real captures and with real peers run wherever those are, and say on one line that they
//! were skipped where they are not. Nothing here is part of the shipped program.

pub mod namespaces;
#[cfg(feature = "tls")]
pub mod tls;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().collect::<PathBuf>()
}

/// A folder of real captures, by its path below the corpus, or `None` after saying that the test is
/// skipped. The corpus is the folder that `PAVISE_CORPUS` names, else `../shared/data` beside the
/// workspace.
pub fn corpus(test: &str, below: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("PAVISE_CORPUS").map_or_else(|| workspace().join("../shared/data"), PathBuf::from);
    let path = root.join(below);
    if path.exists() {
        return Some(path);
    }
    skip(test, &format!("no corpus folder {below} (set PAVISE_CORPUS)"));
    None
}

/// The path of an installed program, or `None` after saying that the test is skipped.
pub fn peer(test: &str, program: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PATH").and_then(|paths| {
        std::env::split_paths(&paths)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|folder| folder.join(program))
            .find(|candidate| candidate.is_file())
    });
    if found.is_none() {
        skip(test, &format!("{program} is not installed"));
    }
    found
}

/// Says, past the test runner's capture of output, that a test was skipped and why.
pub fn skip(test: &str, reason: &str) {
    use std::io::Write;
    // The runner captures `eprintln!`; a skip must be seen, so it is written to the stream itself.
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED {test}: {reason}");
}

/// All files below `folder` whose content starts like a capture (pcap, pcapng, gzip), sorted by path.
pub fn captures(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else if looks_like_capture(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn looks_like_capture(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && matches!(
            u32::from_be_bytes(magic),
            0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1 | 0x0a0d_0d0a
        )
}

/// What a program prints on standard output, or `None` if it fails.
pub fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let result =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&result.stdout).into_owned())
}
