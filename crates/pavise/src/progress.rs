//! The live progress line.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line is drawn at most this often.
const REDRAW: Duration = Duration::from_millis(200);

/// A line on standard error that says how far a run has come. Not shown where nobody would see it.
pub(crate) struct Line {
    bar: ProgressBar,
    started: Instant,
    drawn: Instant,
}

/// How far a run has come.
pub(crate) struct State {
    /// Bytes of the source that were read, and of how many.
    pub(crate) read: u64,
    pub(crate) total: Option<u64>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
    pub(crate) devices: usize,
    pub(crate) findings: usize,
    pub(crate) anomalies: u64,
}

impl Line {
    pub(crate) fn new(name: &str, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        let now = Instant::now();
        Self { bar, started: now, drawn: now }
    }

    /// Shows how far the run has come, if it is time to. `state` is only asked for then.
    pub(crate) fn show(&mut self, state: impl FnOnce() -> State) {
        if self.bar.is_hidden() || self.drawn.elapsed() < REDRAW {
            return;
        }
        self.drawn = Instant::now();
        let state = state();
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let mut text = format!(
            "{}{}  {} packets  {}/s  {} devices  {} findings  {} anomalies",
            HumanBytes(state.bytes),
            state.total.map_or_else(String::new, |total| format!(" ({} %)", state.read * 100 / total.max(1))),
            HumanCount(state.packets),
            HumanCount((state.packets as f64 / seconds) as u64),
            HumanCount(state.devices as u64),
            HumanCount(state.findings as u64),
            HumanCount(state.anomalies),
        );
        if state.dropped > 0 {
            text.push_str(&format!("  {} dropped by the kernel", HumanCount(state.dropped)));
        }
        if let Some(total) = state.total
            && state.read > 0
        {
            let left = seconds * total.saturating_sub(state.read) as f64 / state.read as f64;
            text.push_str(&format!("  {:#} left", HumanDuration(Duration::from_secs_f64(left))));
        }
        self.bar.set_message(text);
        self.bar.tick();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
