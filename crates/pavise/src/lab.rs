//! `pavise lab`: scenes as captures.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use crate::command::Lab;
use crate::output::{Problem, say};

pub(crate) fn run(options: &Lab) -> Result<(), Problem> {
    let scene_options = lab::SceneOptions {
        seed: options.seed,
        duration: Duration::from_secs(u64::from(options.minutes) * 60),
        ..lab::SceneOptions::default()
    };
    let scene =
        lab::scene(&options.scene, &scene_options).map_err(|error| Problem::Other(error.to_string()))?;
    let truth_path = options.out.with_extension("truth.json");
    let capture_problem = |error| Problem::file("capture", &options.out, error);
    let file = File::create(&options.out).map_err(capture_problem)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let truth = scene.write(&mut writer).map_err(capture_problem)?;
    writer.flush().map_err(capture_problem)?;
    let text = serde_json::to_string_pretty(&truth).map_err(|error| Problem::Other(error.to_string()))?;
    std::fs::write(&truth_path, text + "\n").map_err(|error| Problem::file("truth", &truth_path, error))?;
    say(format_args!(
        "Wrote {} ({} packets, {} devices) and its truth, {}.",
        options.out.display(),
        truth.packets,
        truth.devices.len(),
        truth_path.display()
    ));
    Ok(())
}
