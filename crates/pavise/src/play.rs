//! Frames shown to a Pavise that knows nothing and keeps nothing.

use std::sync::Arc;

use brain::{Brain, Settings};
use dissect::proto::Wants;
use dissect::wire::LinkType;
use flow::{Engine, Limits};
use model::{Event, Observation, Timestamp};

use crate::session::Captured;

/// Engine and brain, and the frames that they have not seen yet.
pub(crate) struct Play {
    engine: Engine<Captured>,
    brain: Brain,
    batch: Captured,
    observations: Vec<Observation>,
    events: Vec<Event>,
}

impl Play {
    /// With room for so many conversations at once.
    pub(crate) fn new(flows: usize, settings: Settings) -> Self {
        let limits = Limits { flows, ..Limits::default() };
        Self {
            engine: Engine::new(limits, Wants { messages: false, judged: true }, 1, 0),
            brain: Brain::new(inventory::Limits::default(), settings),
            batch: Captured::default(),
            observations: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Adds a frame; whether there are so many that they should be looked at.
    pub(crate) fn push(
        &mut self,
        at: Timestamp,
        link: LinkType,
        interface: u16,
        frame: &[u8],
        wire_length: u32,
    ) -> bool {
        self.batch.0.push(at, link, frame, wire_length);
        if let Some(frame) = self.batch.0.frames.last_mut() {
            frame.interface = interface;
        }
        self.batch.0.frames.len() >= capture::MAX_BATCH_FRAMES
    }

    /// Looks at the frames that were added; what followed from them.
    pub(crate) fn look(&mut self) -> Vec<Event> {
        self.engine.submit(&Arc::new(std::mem::take(&mut self.batch)));
        while self.engine.in_flight() > 0 {
            self.engine.collect(&mut self.observations);
        }
        self.judge();
        std::mem::take(&mut self.events)
    }

    /// There are no more frames; what followed from the last ones, and from all conversations being over.
    pub(crate) fn end(&mut self) -> Vec<Event> {
        self.events = self.look();
        while self.engine.finish(&mut self.observations) {
            self.judge();
        }
        self.judge();
        std::mem::take(&mut self.events)
    }

    fn judge(&mut self) {
        for observation in self.observations.drain(..) {
            self.brain.observe(&observation, &mut self.events);
        }
    }

    /// What it knows.
    pub(crate) const fn brain(&self) -> &Brain {
        &self.brain
    }
}
