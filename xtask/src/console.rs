//! Building and testing the console.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{Done, cargo, root, run, target};
use crate::test::is_installed;

/// Where the console is.
fn folder() -> PathBuf {
    root().join("console")
}

/// npm, in the console's folder.
fn npm<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(folder()).args(arguments);
    command
}

/// Whether it can be built here; says so if not.
pub(crate) fn can_build(what: &str) -> bool {
    if !folder().join("package.json").is_file() {
        return false;
    }
    let can = is_installed("npm") && is_installed("node");
    if !can {
        eprintln!("SKIPPED {what}: Node.js and npm are not installed; the API works without the console");
    }
    can
}

/// Builds it for the binary, which takes it in when it is built after that.
pub(crate) fn build() -> Done {
    // What is installed follows the lock file, and no script of a package runs.
    run(&mut npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    run(&mut npm(["run", "build"]))
}

/// Types, lints and tests that need no server.
pub(crate) fn test() -> Done {
    run(&mut npm(["test"]))
}

/// Plays a day of an analyst in a real browser before a real server, and looks at every screen.
pub(crate) fn e2e() -> Done {
    if !can_build("the tests of the console in a browser") {
        return Ok(());
    }
    let browser =
        std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    if !browser.is_file() {
        eprintln!(
            "SKIPPED the tests of the console in a browser: there is no {} (Debian package chromium; `.ci/run` installs it)",
            browser.display()
        );
        return Ok(());
    }
    build()?;
    // Of the whole workspace, as the suite has built it: features of parts would be others for one package.
    run(&mut cargo(["build", "--workspace", "--bin", "pavise"]))?;
    run(npm(["run", "e2e"]).env("PAVISE", target().join("debug").join("pavise")).env("CHROMIUM", browser))
}
