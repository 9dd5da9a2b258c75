//! What a conversation carries: recognising it and feeding its parser.

use std::borrow::Cow;

use dissect::proto::{Emit, Input, Opening, PROTOCOLS, Parser, Progress, Told, Wants, Yield};
use model::{
    Anomaly, Fact, FlowHead, FlowIdentified, Message, Name, Observation, Operation, Side, Timestamp,
    Transport, What,
};

use crate::counters::Counters;
use crate::limits::Limits;
use crate::registry::{Guess, Index, Registry};
use crate::tcp::HeldBack;

/// A protocol that has not been recognised within so many bytes of one side is not looked for any more.
const MAX_PROBED_BYTES: usize = 4096;
/// A protocol that has not been recognised within so many pieces is not looked for any more.
const MAX_PROBES: u8 = 10;
/// One conversation reports at most so many anomalies; all are counted.
const MAX_ANOMALIES: u8 = 16;

/// What all conversations of a lane share while a packet is worked on.
pub(crate) struct Shared<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) limits: &'a Limits,
    pub(crate) wants: Wants,
    /// One parser for each protocol whose packets have no conversations of their own.
    pub(crate) common: &'a mut [Option<Box<dyn Parser>>],
    pub(crate) counters: &'a mut Counters,
    pub(crate) found: &'a mut Vec<Yield>,
    pub(crate) out: &'a mut Vec<Observation>,
}

impl Shared<'_> {
    pub(crate) fn say(&mut self, at: Timestamp, what: What) {
        self.out.push(Observation { at, what });
    }
}

/// One direction of a stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// Bytes in order that were not taken yet.
    pending: Vec<u8>,
    /// How many of the following bytes are passed over.
    skip: u64,
    /// Whether no protocol knows what this side sends.
    unknown: bool,
    /// Segments ahead of their time.
    pub(crate) held: HeldBack,
}

/// How far recognition has come.
enum State {
    /// The protocol is looked for.
    Probing { tries: u8 },
    /// A parser of its own reads the conversation; whether it has taken anything yet.
    Reading { index: Index, parser: Box<dyn Parser>, took: bool },
    /// The lane's common parser reads each packet.
    Common { index: Index },
}

/// What is kept of a conversation while somebody may still read it.
pub(crate) struct Application {
    pub(crate) head: FlowHead,
    /// Whether it was said that the conversation exists.
    pub(crate) opened: bool,
    told: Told,
    state: State,
    anomalies: u8,
    pub(crate) streams: [Stream; 2],
    /// Bytes held in both streams.
    pub(crate) held_bytes: usize,
}

/// What is to become of the application after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It goes on.
    Keep,
    /// Nothing more is wanted.
    Drop,
}

impl Application {
    /// Begins to look for the protocol of a conversation.
    pub(crate) fn new(head: FlowHead, opened: bool) -> Self {
        Self {
            head,
            opened,
            told: Told::default(),
            state: State::Probing { tries: 0 },
            anomalies: 0,
            streams: <[Stream; 2]>::default(),
            held_bytes: 0,
        }
    }

    /// Begins to read packets that have no conversation of their own and whose protocol is given by
    /// their header.
    pub(crate) fn read_common(
        &mut self,
        index: Index,
        at: Timestamp,
        protocol: &mut Option<Index>,
        shared: &mut Shared<'_>,
    ) {
        self.state = State::Common { index };
        self.identified(index, at, protocol, shared);
    }

    /// Whether the protocol is still, or again, looked for.
    pub(crate) const fn is_looked_for(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    fn opening<'a>(&self, bytes: &'a [u8], from: Side) -> Opening<'a> {
        Opening {
            bytes,
            from,
            client_port: self.head.client.port,
            server_port: self.head.server.port,
            stream: self.head.transport == Transport::Tcp,
        }
    }

    /// One datagram, frame or packet.
    pub(crate) fn datagram(
        &mut self,
        input: &Input<'_>,
        protocol: &mut Option<Index>,
        shared: &mut Shared<'_>,
    ) -> Next {
        // Once more if a parser hands this very datagram on.
        for handed_on in [false, true] {
            if let State::Probing { tries } = &mut self.state {
                *tries += 1;
                let give_up = *tries >= MAX_PROBES;
                match shared.registry.guess(self.head.transport, &self.opening(input.bytes, input.from)) {
                    Guess::Is(index) => self.start(index, input.at, protocol, shared),
                    Guess::More | Guess::Unknown => return if give_up { Next::Drop } else { Next::Keep },
                }
            }
            match self.parse(input, shared) {
                Progress::Took(_) => {
                    self.took();
                    return Next::Keep;
                }
                Progress::Enough => return Next::Drop,
                Progress::Upgrade(taken) | Progress::Become(taken, _) => {
                    self.state = State::Probing { tries: 0 };
                    if handed_on || taken > 0 {
                        return Next::Keep;
                    }
                }
                Progress::Lost(reason) => return self.lost(reason, input.from, input.at, protocol, shared),
            }
        }
        Next::Keep
    }

    /// Bytes of a stream, in order.
    pub(crate) fn stream(
        &mut self,
        from: Side,
        mut bytes: &[u8],
        at: Timestamp,
        protocol: &mut Option<Index>,
        shared: &mut Shared<'_>,
    ) -> Next {
        let skipped = usize::try_from(self.streams[from.index()].skip).unwrap_or(usize::MAX).min(bytes.len());
        self.streams[from.index()].skip -= skipped as u64;
        bytes = &bytes[skipped..];
        if bytes.is_empty() {
            return Next::Keep;
        }
        // Bytes go to the parser from the packet itself unless earlier ones still wait.
        let mut waiting = std::mem::take(&mut self.streams[from.index()].pending);
        let view = if waiting.is_empty() {
            bytes
        } else {
            waiting.extend_from_slice(bytes);
            self.held_bytes += bytes.len();
            &waiting
        };
        let mut rest = view;
        let next = self.consume(from, &mut rest, at, protocol, shared);
        let left = rest.len();
        if waiting.is_empty() {
            if left > 0 && next == Next::Keep {
                self.held_bytes += left;
                self.streams[from.index()].pending = rest.to_vec();
            }
        } else {
            let gone = waiting.len() - left;
            waiting.drain(..gone);
            self.held_bytes -= gone;
            self.streams[from.index()].pending = waiting;
        }
        if next == Next::Keep && self.streams[from.index()].pending.len() > shared.limits.stream_bytes {
            return self.overflow(from, at, shared);
        }
        next
    }

    /// Gives `rest` to the probes or the parser and leaves in it what was not taken.
    fn consume(
        &mut self,
        from: Side,
        rest: &mut &[u8],
        at: Timestamp,
        protocol: &mut Option<Index>,
        shared: &mut Shared<'_>,
    ) -> Next {
        loop {
            if let State::Probing { tries } = &mut self.state {
                *tries += 1;
                let tries = *tries;
                match shared.registry.guess(self.head.transport, &self.opening(rest, from)) {
                    Guess::Is(index) => {
                        self.start(index, at, protocol, shared);
                        match self.hear_earlier(from, at, protocol, shared) {
                            Some(Next::Drop) => return Next::Drop,
                            Some(Next::Keep) => continue,
                            None => {}
                        }
                    }
                    guess => {
                        self.streams[from.index()].unknown = guess == Guess::Unknown;
                        let hopeless = self.streams.iter().all(|stream| stream.unknown);
                        let enough = rest.len() >= MAX_PROBED_BYTES || tries >= MAX_PROBES;
                        return if hopeless || enough { Next::Drop } else { Next::Keep };
                    }
                }
            }
            match self.parse(&Input { bytes: rest, from, at, cut: 0 }, shared) {
                Progress::Took(taken) => {
                    if taken > 0 {
                        self.took();
                    }
                    self.streams[from.index()].skip += taken.saturating_sub(rest.len()) as u64;
                    *rest = &rest[taken.min(rest.len())..];
                    return Next::Keep;
                }
                Progress::Enough => return Next::Drop,
                Progress::Lost(reason) => return self.lost(reason, from, at, protocol, shared),
                Progress::Upgrade(taken) => {
                    self.state = State::Probing { tries: 0 };
                    self.streams.iter_mut().for_each(|stream| stream.unknown = false);
                    *rest = &rest[taken.min(rest.len())..];
                    if rest.is_empty() {
                        return Next::Keep;
                    }
                }
                Progress::Become(taken, id) => {
                    *rest = &rest[taken.min(rest.len())..];
                    self.state = State::Probing { tries: 0 };
                    if let Some(index) = index_of(id) {
                        self.start(index, at, protocol, shared);
                        if self.hear_earlier(from, at, protocol, shared) == Some(Next::Drop) {
                            return Next::Drop;
                        }
                    }
                    if rest.is_empty() {
                        return Next::Keep;
                    }
                }
            }
        }
    }

    /// Reads what the other side has said so far, which came before; `None` if that was nothing.
    fn hear_earlier(
        &mut self,
        from: Side,
        at: Timestamp,
        protocol: &mut Option<Index>,
        shared: &mut Shared<'_>,
    ) -> Option<Next> {
        let earlier = std::mem::take(&mut self.streams[from.other().index()].pending);
        if earlier.is_empty() {
            return None;
        }
        self.held_bytes -= earlier.len();
        Some(self.stream(from.other(), &earlier, at, protocol, shared))
    }

    /// `missing` bytes from `from` will never come.
    pub(crate) fn gap(&mut self, from: Side, missing: u64, at: Timestamp, shared: &mut Shared<'_>) -> Next {
        let stream = &mut self.streams[from.index()];
        let skipped = stream.skip.min(missing);
        stream.skip -= skipped;
        let missing = missing - skipped;
        if missing == 0 {
            return Next::Keep;
        }
        self.held_bytes -= stream.pending.len();
        stream.pending = Vec::new();
        let State::Reading { parser, .. } = &mut self.state else { return Next::Keep };
        let mut emit = Emit::new(&self.head, shared.wants, &mut self.told, shared.found);
        let goes_on = parser.gap(from, missing, &mut emit);
        self.tell(at, shared);
        if goes_on { Next::Keep } else { Next::Drop }
    }

    /// A parser wants more bytes than one direction may hold.
    fn overflow(&mut self, from: Side, at: Timestamp, shared: &mut Shared<'_>) -> Next {
        let length = self.streams[from.index()].pending.len() as u64;
        shared.counters.bytes_shed += length;
        self.anomaly(from, "stream.message-too-long".into(), "", at, shared);
        self.gap(from, length, at, shared)
    }

    /// The conversation is over.
    pub(crate) fn finish(&mut self, at: Timestamp, shared: &mut Shared<'_>) {
        if let State::Reading { parser, .. } = &mut self.state {
            let mut emit = Emit::new(&self.head, shared.wants, &mut self.told, shared.found);
            parser.finish(&mut emit);
            self.tell(at, shared);
        }
    }

    fn start(&mut self, index: Index, at: Timestamp, protocol: &mut Option<Index>, shared: &mut Shared<'_>) {
        let parser = (PROTOCOLS[usize::from(index)].start)();
        self.state = State::Reading { index, parser, took: false };
        self.identified(index, at, protocol, shared);
    }

    /// Says that the protocol is recognised.
    pub(crate) fn identified(
        &mut self,
        index: Index,
        at: Timestamp,
        protocol: &mut Option<Index>,
        shared: &mut Shared<'_>,
    ) {
        if *protocol == Some(index) {
            return;
        }
        *protocol = Some(index);
        if !self.opened {
            self.opened = true;
            shared.say(at, What::FlowOpened(Box::new(self.head)));
        }
        shared.counters.protocols[usize::from(index)].flows += 1;
        let identified = FlowIdentified { flow: self.head, protocol: name(index) };
        shared.say(at, What::FlowIdentified(Box::new(identified)));
    }

    const fn took(&mut self) {
        if let State::Reading { took, .. } = &mut self.state {
            *took = true;
        }
    }

    fn index(&self) -> Option<Index> {
        match self.state {
            State::Probing { .. } => None,
            State::Reading { index, .. } | State::Common { index } => Some(index),
        }
    }

    fn parse(&mut self, input: &Input<'_>, shared: &mut Shared<'_>) -> Progress {
        let mut emit = Emit::new(&self.head, shared.wants, &mut self.told, shared.found);
        let progress = match &mut self.state {
            State::Probing { .. } => return Progress::Took(0),
            State::Reading { parser, .. } => parser.parse(input, &mut emit),
            State::Common { index } => shared.common[usize::from(*index)]
                .get_or_insert_with(|| (PROTOCOLS[usize::from(*index)].start)())
                .parse(input, &mut emit),
        };
        self.tell(input.at, shared);
        progress
    }

    /// The parser does not recognise what it reads. If it never did, neither do we.
    fn lost(
        &mut self,
        reason: &'static str,
        from: Side,
        at: Timestamp,
        protocol: &mut Option<Index>,
        shared: &mut Shared<'_>,
    ) -> Next {
        if let Some(index) = self.index() {
            let kind = format!("{}.{reason}", PROTOCOLS[usize::from(index)].id);
            shared.counters.protocols[usize::from(index)].anomalies += 1;
            self.anomaly(from, kind.into(), "", at, shared);
        }
        match &self.state {
            State::Reading { took: false, .. } => {
                *protocol = None;
                Next::Drop
            }
            State::Reading { .. } if self.head.transport == Transport::Tcp => Next::Drop,
            _ => Next::Keep,
        }
    }

    pub(crate) fn anomaly(
        &mut self,
        from: Side,
        kind: Name,
        detail: &str,
        at: Timestamp,
        shared: &mut Shared<'_>,
    ) {
        if self.anomalies < MAX_ANOMALIES {
            self.anomalies += 1;
            let host = self.head.endpoint(from).host;
            let anomaly = Anomaly { flow: Some(self.head), host, kind, detail: detail.into() };
            shared.say(at, What::Anomaly(Box::new(anomaly)));
        }
    }

    /// Turns what the parser found into observations.
    fn tell(&mut self, at: Timestamp, shared: &mut Shared<'_>) {
        if shared.found.is_empty() {
            return;
        }
        let Some(index) = self.index() else { return shared.found.clear() };
        let protocol = name(index);
        let mut found = std::mem::take(shared.found);
        for item in found.drain(..) {
            let what = match item {
                Yield::Message { from, kind, fields } => {
                    shared.counters.protocols[usize::from(index)].messages += 1;
                    let protocol = protocol.clone();
                    What::Message(Box::new(Message { flow: self.head, from, protocol, kind, fields }))
                }
                Yield::Fact { about, attribute, value, source, confidence } => {
                    let source = Cow::Borrowed(source);
                    What::Fact(Box::new(Fact { about, attribute, value, source, confidence }))
                }
                Yield::Binding(binding) => What::Binding(binding),
                Yield::Operation { from, kind, name, target, value, outcome } => {
                    let (flow, protocol) = (self.head, protocol.clone());
                    What::Operation(Box::new(Operation {
                        flow,
                        from,
                        protocol,
                        kind,
                        name,
                        target,
                        value,
                        outcome,
                    }))
                }
                Yield::Anomaly { from, reason, detail } => {
                    shared.counters.protocols[usize::from(index)].anomalies += 1;
                    self.anomaly(from, format!("{protocol}.{reason}").into(), &detail, at, shared);
                    continue;
                }
            };
            shared.say(at, what);
        }
        *shared.found = found;
    }
}

/// The place of the protocol with this id.
fn index_of(id: &str) -> Option<Index> {
    PROTOCOLS.iter().position(|protocol| protocol.id == id).and_then(|place| Index::try_from(place).ok())
}

/// A protocol's id.
pub(crate) fn name(index: Index) -> Name {
    Cow::Borrowed(PROTOCOLS[usize::from(index)].id)
}
