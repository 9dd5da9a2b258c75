//! Delivery: one receiver's messages, from the outbox to the receiver, in their order. A step does what is due and says when to
//! come back; nothing here waits.

use std::sync::{Mutex, PoisonError};

use model::Timestamp;

use crate::tls::explain;
use crate::{Letter, Next, Outbox, TellError, text};

/// How many messages a receiver takes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// So many at a time.
    Now(usize),
    /// None before this moment.
    After(Timestamp),
}

/// The way to somebody who is told.
pub trait Carrier: Send {
    /// How many messages may be sent now, of so many that wait.
    fn most(&mut self, _waiting: u64, _now: Timestamp) -> Most {
        Most::Now(1)
    }

    /// Sends messages, at least one. They are taken all or, as far as is known here, none. `more` wait behind them.
    ///
    /// # Errors
    ///
    /// Why they were not taken.
    fn send(&mut self, letters: &[Letter], more: u64, now: Timestamp) -> Result<(), String>;

    /// Hears that Pavise is about to end.
    fn ends(&mut self) {}
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many messages were taken; there may be more.
    Sent(usize),
    /// They were not taken; the next try is due at this moment.
    Failed(Timestamp),
    /// There is nothing to be done before this moment, or at all.
    Idle(Option<Timestamp>),
}

/// Delivers to one receiver.
pub struct Delivery {
    receiver: String,
    name: String,
    carrier: Box<dyn Carrier>,
    is_failing: bool,
    /// What was taken, where the outbox could not be told so: it is not sent again by this process.
    taken: Vec<i64>,
}

/// What is to be sent.
enum Due {
    Letters(Vec<crate::Waiting>, u64),
    Idle(Option<Timestamp>),
}

impl Delivery {
    /// To the receiver with this key in the outbox, by this way. `name` says where it is, without secrets.
    pub fn new(receiver: &str, name: &str, carrier: Box<dyn Carrier>) -> Self {
        Self {
            receiver: receiver.to_owned(),
            name: name.to_owned(),
            carrier,
            is_failing: false,
            taken: Vec::new(),
        }
    }

    /// Does what is due, once. While something is sent the outbox is free for others. What is to be said to whoever watches goes
    /// to `say`: that somebody cannot be told is said once, and again when he is told anew.
    ///
    /// # Errors
    ///
    /// If the outbox cannot be used. What was sent then is kept in mind, and not sent again unless Pavise ends before the outbox
    /// can be told.
    pub fn step(
        &mut self,
        outbox: &Mutex<Outbox>,
        now: Timestamp,
        say: &dyn Fn(&str),
    ) -> Result<Step, TellError> {
        if !self.taken.is_empty() {
            outbox.lock().unwrap_or_else(PoisonError::into_inner).taken(&self.receiver, &self.taken)?;
            self.taken.clear();
        }
        let (waiting, more) = match self.due(outbox, now)? {
            Due::Letters(waiting, more) => (waiting, more),
            Due::Idle(until) => return Ok(Step::Idle(until)),
        };
        let (places, letters): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|waiting| (waiting.place, waiting.letter)).unzip();
        let sent = self.carrier.send(&letters, more, now).map_err(explain);
        let mut outbox = outbox.lock().unwrap_or_else(PoisonError::into_inner);
        match sent {
            Ok(()) => {
                let count = places.len();
                self.taken = places;
                outbox.taken(&self.receiver, &self.taken)?;
                self.taken.clear();
                if std::mem::take(&mut self.is_failing) {
                    let rest = if more > 0 {
                        format!("; still waiting: {}", text::count(more, "message"))
                    } else {
                        String::new()
                    };
                    say(&format!("pavise: {} is told again{rest}.", self.name));
                }
                Ok(Step::Sent(count))
            }
            Err(why) => {
                let next = outbox.failed(&self.receiver, &why, now)?;
                if !std::mem::replace(&mut self.is_failing, true) {
                    say(&format!(
                        "pavise: {} could not be told: {why}; it waits in the outbox and is tried again",
                        self.name
                    ));
                }
                Ok(Step::Failed(next))
            }
        }
    }

    fn due(&mut self, outbox: &Mutex<Outbox>, now: Timestamp) -> Result<Due, TellError> {
        let outbox = outbox.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it may be tried at all comes before how much it takes: that may be counted.
        match outbox.next(&self.receiver, 1, now)? {
            Next::Nothing => return Ok(Due::Idle(None)),
            Next::After(next) => return Ok(Due::Idle(Some(next))),
            Next::Send(_) => {}
        }
        let waiting = outbox.count(&self.receiver)?;
        let most = match self.carrier.most(waiting, now) {
            Most::Now(most) => most,
            Most::After(moment) => return Ok(Due::Idle(Some(moment))),
        };
        match outbox.next(&self.receiver, most, now)? {
            Next::Send(letters) => {
                let more = waiting.saturating_sub(letters.len() as u64);
                Ok(Due::Letters(letters, more))
            }
            Next::Nothing | Next::After(_) => Ok(Due::Idle(None)),
        }
    }

    /// Hears that Pavise is about to end: what may be sent once more is sent with the next steps.
    pub fn ends(&mut self) {
        self.carrier.ends();
    }

    /// The key of the receiver.
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// Where it is, without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests;
