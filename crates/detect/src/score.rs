//! How unusual each observation is, for those who want to know.

use model::{FlowId, Host, Timestamp};

/// So many scores wait to be drained; later ones are given up until then.
pub const MAX_SCORES: usize = 1 << 16;

/// How unusual an observation is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Packet time.
    pub at: Timestamp,
    /// The detector that says so.
    pub detector: &'static str,
    /// From 0, as usual, to 1, never before: 1 less the share of what was learnt that is as unusual.
    pub score: f64,
    /// The conversation.
    pub flow: Option<FlowId>,
    /// Whom it is about.
    pub host: Option<Host>,
}

/// The scores that wait.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    wanted: bool,
    waiting: Vec<Score>,
    shed: u64,
}

impl Scores {
    pub(crate) const fn want(&mut self) {
        self.wanted = true;
    }

    pub(crate) const fn are_wanted(&self) -> bool {
        self.wanted
    }

    pub(crate) fn add(&mut self, score: impl FnOnce() -> Score) {
        if !self.wanted {
            return;
        }
        if self.waiting.len() < MAX_SCORES {
            self.waiting.push(score());
        } else {
            self.shed += 1;
        }
    }

    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, Score> {
        self.waiting.drain(..)
    }

    /// How many were given up since the last time, if any.
    pub(crate) fn take_shed(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.shed)).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_kept_only_if_wanted_and_within_the_limit() {
        let score = || Score { at: Timestamp::EPOCH, detector: "x", score: 0.5, flow: None, host: None };
        let mut scores = Scores::default();
        scores.add(score);
        assert_eq!(scores.drain().len(), 0);
        scores.want();
        (0..MAX_SCORES + 3).for_each(|_| scores.add(score));
        assert_eq!(scores.drain().len(), MAX_SCORES);
        assert_eq!((scores.take_shed(), scores.take_shed()), (Some(3), None));
    }
}
