//! Pavise in a drill: a process that is started, listened to and ended, of which nothing else is known.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::Post;
use super::clock::Moment;
use super::net::{Net, PATIENCE, Process};
use crate::run::{Failure, target};

/// Pavise at its post.
pub(super) struct Defence {
    process: Process,
}

/// What it said.
#[derive(Default)]
pub(super) struct Report {
    /// The first finding about the attacker that is more than a weakness, and by which detector.
    pub(super) found: Option<(Moment, String)>,
    /// The first response that was in force.
    pub(super) acted: Option<(Moment, String)>,
}

/// The program as it was built.
pub(super) fn pavise() -> PathBuf {
    target().join("debug").join("pavise")
}

impl Defence {
    /// Starts it and waits until it listens.
    pub(super) fn start(net: &Net, post: &Post) -> Result<Self, Failure> {
        let folder = net.folder();
        let (protection, settings) = (folder.join("protect.toml"), folder.join("settings.toml"));
        let Post { host, interfaces, family, .. } = post;
        std::fs::write(
            &protection,
            format!("family = \"{family}\"\nmode = \"enforce\"\n{}", post.protection),
        )?;
        std::fs::write(&settings, post.settings)?;
        let mut command = net.command(host, pavise());
        command.arg("watch").args(interfaces.iter().map(|name| format!("if:{name}")));
        command.arg("--protect").arg(&protection).arg("--settings").arg(&settings);
        command.arg("--state").arg(folder.join("state")).args(["--json", "--quiet"]);
        let mut process = net.start("pavise", &mut command)?;
        process.expect("Listening on", PATIENCE)?;
        Ok(Self { process })
    }

    /// Ends it; what it said of an attack that began at a moment, by hosts with these addresses.
    pub(super) fn finish(self, first: Moment, attackers: &[&str]) -> Result<Report, Failure> {
        let mut report = Report::default();
        for line in self.process.finish(Some(Signal::SIGTERM))? {
            let is_told =
                ["\"finding-raised\"", "\"action-taken\""].iter().any(|word| line.text.contains(word));
            if line.at < first || !is_told {
                continue;
            }
            let Ok(event) = serde_json::from_str::<Value>(&line.text) else { continue };
            match event["event"].as_str() {
                Some("finding-raised") if report.found.is_none() => {
                    let finding = &event["finding"];
                    let is_about = ["actor", "victim"]
                        .iter()
                        .filter_map(|party| {
                            finding[party]["host"]["ip"].as_str().or(finding[party]["ip"].as_str())
                        })
                        .any(|ip| attackers.contains(&ip));
                    let is_bad = matches!(finding["severity"].as_str(), Some("medium" | "high" | "critical"));
                    if is_about && is_bad {
                        let detector = finding["detector"].as_str().unwrap_or("?").to_owned();
                        report.found = Some((line.at, detector));
                    }
                }
                Some("action-taken") if report.acted.is_none() => {
                    let action = &event["action"];
                    if action["outcome"] == "taken" && action["action"] != "notify" {
                        let words = ["action", "target"].map(|word| action[word].as_str().unwrap_or("?"));
                        report.acted = Some((line.at, words.join(" ")));
                    }
                }
                _ => {}
            }
        }
        Ok(report)
    }
}
