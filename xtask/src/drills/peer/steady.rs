//! Conversations that go on all the time, and whether anything ever went wrong with one.

use std::io;
use std::time::{Duration, Instant};

use super::{Stop, ready, tell};
use crate::run::Done;

/// How often something is said.
const EVERY: Duration = Duration::from_millis(50);
/// An answer that comes later than this is taken for a broken conversation.
pub(crate) const LATE: Duration = Duration::from_secs(1);

/// A conversation that goes on all the time.
pub(crate) trait Steady {
    /// Says something and takes in what comes back; fails if that is not what it should be.
    fn exchange(&mut self) -> io::Result<()>;
}

/// Keeps a conversation going until the part is over, and says how it went: `fine`, or `broken` as soon as it is.
pub(crate) fn keep(stop: &Stop, mut conversation: impl Steady) -> Done {
    ready();
    let (mut count, mut slowest) = (0_u64, Duration::ZERO);
    while stop.pace(EVERY) {
        let begun = Instant::now();
        let result = conversation.exchange();
        let took = begun.elapsed();
        slowest = slowest.max(took);
        match result {
            Ok(()) if took <= LATE => count += 1,
            Ok(()) => {
                tell(format_args!("broken: answer {count} took {} ms", took.as_millis()));
                return Ok(());
            }
            Err(error) => {
                tell(format_args!("broken: after {count} answers: {error}"));
                return Ok(());
            }
        }
    }
    tell(format_args!("fine: {count} answers, the slowest after {} ms", slowest.as_millis()));
    Ok(())
}
