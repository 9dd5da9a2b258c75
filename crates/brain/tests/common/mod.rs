//! What the tests share that begin with packets.

use capture::Batch;
use flow::{Frame, Frames};

/// A batch of packets as the flow engine takes it.
#[derive(Default)]
pub(crate) struct Captured(pub(crate) Batch);

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
