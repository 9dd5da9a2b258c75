//! What the tests on real captures share.

use std::path::Path;
use std::sync::Arc;

use capture::{Batch, Step};
use dissect::proto::Wants;
use flow::{Counters, Engine, Frame, Frames, Limits};
use model::Observation;

struct Captured(Batch);

impl Frames for Captured {
    fn count(&self) -> usize {
        self.0.frames.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let frame = &self.0.frames[index];
        Frame {
            at: frame.at,
            link: frame.link,
            wire_length: frame.wire_length,
            bytes: self.0.bytes(frame),
            interface: frame.interface,
        }
    }
}

/// What a capture gives, with so many shards.
pub(crate) fn observe(path: &Path, limits: &Limits, shards: usize) -> (Vec<Observation>, Counters) {
    let mut engine =
        Engine::<Captured>::new(limits.clone(), Wants { messages: true, judged: true }, shards, 7);
    let mut observations = Vec::new();
    let name = path.to_str().expect("corpus paths are text");
    let mut source = capture::open(name, &capture::Options::default()).expect("captures can be opened");
    loop {
        let mut batch = Batch::new();
        match source.next_batch(&mut batch) {
            Ok(Step::Batch) => {}
            _ => break,
        }
        while engine.in_flight() >= engine.capacity() {
            engine.collect(&mut observations);
        }
        engine.submit(&Arc::new(Captured(batch)));
    }
    while engine.in_flight() > 0 {
        engine.collect(&mut observations);
    }
    while engine.finish(&mut observations) {}
    let counters = engine.counters();
    (observations, counters)
}
