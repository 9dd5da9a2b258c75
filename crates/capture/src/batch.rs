//! Frames in bulk, and the memory they lie in.

use std::sync::Arc;

use dissect::wire::LinkType;
use model::Timestamp;

use crate::sys::Map;

/// A batch holds at most this many frames: few enough that all that is made of them, some kilobytes of
/// observations, is taken in and given back while it still lies in the nearest caches.
pub const MAX_BATCH_FRAMES: usize = 256;

/// A batch that was copied (from a pipe, a compressed file, a ring) is handed over when it holds this many
/// bytes, even if it has room for more frames.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// A run of frames, with the memory they lie in.
///
/// For uncompressed files that is the mapped file itself, so nothing is copied. A batch is filled by
/// [`Source::next_batch`](crate::Source::next_batch), may then be shared between threads in an `Arc`, and
/// is filled again when nobody else holds it: it keeps its buffers.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) data: Data,
    /// The frames, in the order of the source.
    pub frames: Vec<Frame>,
    /// The number of the first of these frames in its source, counted from 0 at the start of the source.
    pub first: u64,
}

/// The memory that frames lie in.
#[derive(Debug)]
pub(crate) enum Data {
    /// A file or a buffer that many batches share.
    Shared(Arc<Held>),
    /// The batch's own.
    Owned(Vec<u8>),
}

impl Default for Data {
    fn default() -> Self {
        Self::Owned(Vec::new())
    }
}

/// A whole capture in memory.
#[derive(Debug)]
pub(crate) enum Held {
    /// A mapped file.
    Mapped(Map),
    /// Bytes that were given.
    Bytes(Vec<u8>),
}

impl Held {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// One captured frame: when, on what, how long. Its bytes are in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it was captured.
    pub at: Timestamp,
    /// Where in the batch's memory it begins, in bytes.
    pub(crate) offset: usize,
    /// How much of it was captured, in bytes.
    pub(crate) length: u32,
    /// How long it was on the wire, in bytes; never less than what was captured.
    pub wire_length: u32,
    /// How it begins.
    pub link: LinkType,
    /// Which interface of its source it was captured on: the number of the interface in its pcapng
    /// section, 0 for sources that have only one.
    pub interface: u16,
}

impl Frame {
    /// How much of the frame was captured, in bytes.
    #[inline]
    pub const fn captured_length(&self) -> u32 {
        self.length
    }
}

impl Batch {
    /// An empty batch, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// The memory that the frames lie in.
    #[inline]
    fn memory(&self) -> &[u8] {
        match &self.data {
            Data::Shared(held) => held.bytes(),
            Data::Owned(bytes) => bytes,
        }
    }

    /// The bytes of one of this batch's frames, as far as they were captured. A frame of another batch
    /// gives other bytes or none, but does not panic.
    #[inline]
    pub fn bytes(&self, frame: &Frame) -> &[u8] {
        lying_in(self.memory(), frame)
    }

    /// All frames with their bytes, in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Frame, &[u8])> {
        let memory = self.memory();
        self.frames.iter().map(move |frame| (frame, lying_in(memory, frame)))
    }

    /// How many frames there are.
    pub const fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no frames.
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds a copy of a frame. A batch that shared a file's memory lets go of it and of its frames first.
    ///
    /// `wire_length` is the frame's length on the wire; if it is less than `bytes` holds, the latter
    /// counts. Bytes beyond 4 GiB are left out.
    pub fn push(&mut self, at: Timestamp, link: LinkType, bytes: &[u8], wire_length: u32) {
        self.push_parts(at, link, [bytes, &[], &[]], wire_length);
    }

    /// Adds a copy of a frame that is given in three parts.
    pub(crate) fn push_parts(&mut self, at: Timestamp, link: LinkType, parts: [&[u8]; 3], wire_length: u32) {
        if matches!(self.data, Data::Shared(_)) {
            self.own();
        }
        let Data::Owned(memory) = &mut self.data else { return };
        let offset = memory.len();
        for part in parts {
            memory.extend_from_slice(part);
        }
        let length = u32::try_from(memory.len() - offset).unwrap_or(u32::MAX);
        let wire_length = wire_length.max(length);
        self.frames.push(Frame { at, offset, length, wire_length, link, interface: 0 });
    }

    /// Empties the batch and gives it memory of its own; returns that memory and the frames.
    pub(crate) fn own(&mut self) -> (&mut Vec<u8>, &mut Vec<Frame>) {
        self.frames.clear();
        if matches!(self.data, Data::Shared(_)) {
            self.data = Data::default();
        }
        match &mut self.data {
            Data::Owned(memory) => {
                memory.clear();
                (memory, &mut self.frames)
            }
            Data::Shared(_) => unreachable!("the batch was just given memory of its own"),
        }
    }

    /// Empties the batch and lets its frames lie in `held`.
    pub(crate) fn share(&mut self, held: &Arc<Held>) {
        self.frames.clear();
        match &self.data {
            Data::Shared(already) if Arc::ptr_eq(already, held) => {}
            _ => self.data = Data::Shared(Arc::clone(held)),
        }
    }

    /// How many bytes of memory the batch alone holds, room that nothing lies in included.
    pub const fn footprint(&self) -> usize {
        let memory = match &self.data {
            Data::Owned(memory) => memory.capacity(),
            Data::Shared(_) => 0,
        };
        memory + self.frames.capacity() * size_of::<Frame>()
    }

    /// The same frames, in no more memory than they take.
    pub fn compact(&self) -> Self {
        let data = match &self.data {
            Data::Owned(memory) => Data::Owned(memory.clone()),
            Data::Shared(held) => Data::Shared(Arc::clone(held)),
        };
        Self { data, frames: self.frames.clone(), first: self.first }
    }

    /// How many bytes of its own the batch holds.
    pub(crate) const fn owned_bytes(&self) -> usize {
        match &self.data {
            Data::Owned(memory) => memory.len(),
            Data::Shared(_) => 0,
        }
    }
}

#[inline]
fn lying_in<'a>(memory: &'a [u8], frame: &Frame) -> &'a [u8] {
    let end = frame.offset.saturating_add(frame.length as usize);
    memory.get(frame.offset..end).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compact_batch_has_the_same_frames_and_no_room() {
        let mut batch = Batch::new();
        for number in 0..1000_u64 {
            batch.push(Timestamp::from_secs(number), LinkType::ETHERNET, &[7; 100], 100);
        }
        let full = batch.footprint();
        batch.own();
        batch.push(Timestamp::from_secs(1), LinkType::ETHERNET, b"abc", 60);
        assert_eq!(batch.footprint(), full, "it keeps its buffers");
        let compact = batch.compact();
        assert_eq!(compact.footprint(), 3 + size_of::<Frame>());
        assert!(compact.iter().eq(batch.iter()));
    }

    #[test]
    fn a_pushed_frame_comes_back_and_the_wire_is_never_shorter_than_the_capture() {
        let mut batch = Batch::new();
        batch.push(Timestamp::from_secs(1), LinkType::ETHERNET, b"abc", 60);
        batch.push(Timestamp::from_secs(2), LinkType::RAW, b"defg", 0);
        let seen: Vec<_> =
            batch.iter().map(|(frame, bytes)| (bytes, frame.wire_length, frame.link)).collect();
        assert_eq!(seen, [(&b"abc"[..], 60, LinkType::ETHERNET), (b"defg", 4, LinkType::RAW)]);
        assert_eq!(batch.bytes(&batch.frames[1]), b"defg");
    }

    #[test]
    fn a_frame_of_another_batch_gives_no_bytes_and_does_not_panic() {
        let mut batch = Batch::new();
        batch.push(Timestamp::EPOCH, LinkType::ETHERNET, &[0; 100], 100);
        assert_eq!(Batch::new().bytes(&batch.frames[0]), b"");
    }

    #[test]
    fn a_frame_description_is_no_larger_than_its_documentation_says() {
        assert_eq!(size_of::<Frame>(), 32);
    }
}
