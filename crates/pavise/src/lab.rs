//! `pavise lab`: scenes, and attacks in them, as captures.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::command::Lab;
use crate::output::{Output, Problem, say};

pub(crate) fn run(options: &Lab) -> Result<(), Problem> {
    let Lab { seed, packets, hosts, established, .. } = *options;
    let attack = options.scene == "attack";
    if !attack && (options.name.is_some() || options.stage.is_some() || options.list) {
        return Err(Problem::Other("a NAME, --scene and --list are for an attack".into()));
    }
    if !matches!(&*options.scene, "crowd" | "flood") && packets.is_some() {
        return Err(Problem::Other("--packets is for a crowd or a flood; a scene has --minutes".into()));
    }
    if options.scene != "crowd" && hosts.is_some() {
        return Err(Problem::Other("--hosts is for a crowd".into()));
    }
    if options.scene != "flood" && established.is_some() {
        return Err(Problem::Other("--established is for a flood".into()));
    }
    if options.list {
        return list();
    }
    match &*options.scene {
        "crowd" => {
            let usual = lab::Crowd::default();
            let packets = packets.unwrap_or(usual.packets);
            let crowd = lab::Crowd { seed, packets, hosts: hosts.unwrap_or(usual.hosts), ..usual };
            let summary = write(options, |out| lab::crowd(&crowd, out))?;
            wrote(options, summary.packets, format_args!("{} hosts", summary.hosts));
        }
        "flood" => {
            let usual = lab::Flood::default();
            let spoofed = packets.unwrap_or(usual.spoofed);
            let established = established.unwrap_or(usual.established);
            let flood = lab::Flood { seed, spoofed, established, ..usual };
            let truth = write(options, |out| lab::flood(&flood, out))?;
            wrote(options, truth.packets, format_args!("{} devices", truth.devices.len()));
        }
        name => {
            let duration = Duration::from_secs(u64::from(options.minutes) * 60);
            let scene = lab::SceneOptions { seed, duration, ..lab::SceneOptions::default() };
            let scene = if attack {
                let Some(name) = &options.name else {
                    return Err(Problem::Other(
                        "which attack? `pavise lab attack --list` tells which there are".into(),
                    ));
                };
                lab::attack(name, options.stage.as_deref(), &scene).map_err(|error| error.to_string())
            } else {
                lab::scene(name, &scene).map_err(|error| error.to_string())
            };
            let scene = scene.map_err(Problem::Other)?;
            let truth = write(options, |out| scene.write(out))?;
            let (devices, stages) = (truth.devices.len(), truth.stages.len());
            if attack {
                wrote(options, truth.packets, format_args!("{devices} devices, {stages} stages"));
            } else {
                wrote(options, truth.packets, format_args!("{devices} devices"));
            }
        }
    }
    Ok(())
}

/// Prints all attacks.
fn list() -> Result<(), Problem> {
    let mut out = Output::new();
    for (benign, head) in [(false, "Attacks:"), (true, "\nHarmless, but looks like an attack:")] {
        out.line(head)?;
        for attack in lab::ATTACKS.iter().filter(|attack| attack.benign == benign) {
            let lab::AttackKind { name, about, .. } = attack;
            out.line(format_args!("  {name:<24}{about} ({})", attack.scenes.join(", ")))?;
        }
    }
    out.flush()
}

/// Writes the capture that `make` makes, and beside it what `make` says is true of it.
fn write<T: Serialize>(
    options: &Lab,
    make: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
) -> Result<T, Problem> {
    let capture_problem = |error| Problem::file("capture", out(options), error);
    let file = File::create(out(options)).map_err(capture_problem)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let truth = make(&mut writer).map_err(capture_problem)?;
    writer.flush().map_err(capture_problem)?;
    let text = serde_json::to_string_pretty(&truth).map_err(|error| Problem::Other(error.to_string()))?;
    let path = truth_path(options);
    std::fs::write(&path, text + "\n").map_err(|error| Problem::file("truth", &path, error))?;
    Ok(truth)
}

/// Where the capture is written: the command line has it unless it only lists.
fn out(options: &Lab) -> &Path {
    options.out.as_deref().unwrap_or(Path::new(""))
}

fn truth_path(options: &Lab) -> PathBuf {
    out(options).with_extension("truth.json")
}

fn wrote(options: &Lab, packets: u64, of: std::fmt::Arguments<'_>) {
    let (capture, truth) = (out(options).display(), truth_path(options));
    say(format_args!("Wrote {capture} ({packets} packets, {of}) and its truth, {}.", truth.display()));
}
