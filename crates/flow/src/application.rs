//! What a conversation carries: recognising it and feeding its parser.

use std::borrow::Cow;

use dissect::proto::{Emit, Input, Opening, PROTOCOLS, Parser, Progress, Told, Yield};
use model::{
    Anomaly, BusFrame, Fact, FlowHead, FlowIdentified, Message, Name, Observation, Operation, Resolved,
    Samples, Side, Timestamp, Transport, Weakness, What,
};

use crate::counters::Counters;
use crate::lane::Environment;
use crate::registry::{Guess, Index};
use crate::tcp::HeldBack;

/// A protocol that has not been recognised within so many bytes of one side is not looked for any more.
const MAX_PROBED_BYTES: usize = 4096;
/// A protocol that has not been recognised within so many pieces is not looked for any more.
const MAX_PROBES: u8 = 10;
/// One conversation reports at most so many anomalies; all are counted.
const MAX_ANOMALIES: u8 = 16;

/// What all conversations of a lane share to be read.
pub(crate) struct Reader {
    /// One parser for each protocol whose packets have no conversations of their own.
    common: Vec<Option<Box<dyn Parser>>>,
    found: Vec<Yield>,
    pub(crate) counters: Counters,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            common: (0..PROTOCOLS.len()).map(|_| None).collect(),
            found: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// The reader at work on one conversation.
    pub(crate) const fn read<'a>(
        &'a mut self,
        environment: &'a Environment,
        head: FlowHead,
        at: Timestamp,
        out: &'a mut Vec<Observation>,
    ) -> Reading<'a> {
        Reading { reader: self, environment, head, at, out }
    }
}

/// A reader at work on one conversation.
pub(crate) struct Reading<'a> {
    pub(crate) reader: &'a mut Reader,
    pub(crate) environment: &'a Environment,
    pub(crate) head: FlowHead,
    /// Packet time.
    pub(crate) at: Timestamp,
    out: &'a mut Vec<Observation>,
}

impl Reading<'_> {
    pub(crate) fn say(&mut self, what: What) {
        self.out.push(Observation { at: self.at, what });
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

    fn guess(&self, bytes: &[u8], from: Side) -> Guess {
        self.environment.registry.guess(self.head.transport, &self.opening(bytes, from))
    }
}

/// One direction of a stream, while bytes of it wait.
#[derive(Default)]
struct Stream {
    /// Bytes in order that were not taken yet.
    pending: Vec<u8>,
    /// How many of the following bytes are passed over.
    skip: u64,
    /// Segments ahead of their time.
    held: HeldBack,
}

/// Both directions.
#[derive(Default)]
struct Streams {
    sides: [Stream; 2],
    /// Bytes that wait in them.
    bytes: usize,
}

/// How far recognition has come.
enum State {
    /// The protocol is looked for.
    Probing { tries: u8 },
    /// A parser of its own reads the conversation; whether it has taken anything yet.
    Reading { index: Index, parser: Box<dyn Parser>, took: bool },
    /// The lane's common parser reads each packet.
    Common { index: Index },
    /// Nobody reads it any more.
    Unread,
}

/// What a conversation carries. Little of it, for most conversations never have bytes that wait, and many
/// are never answered.
pub(crate) struct Application {
    state: State,
    told: Told,
    /// There once bytes have had to wait.
    streams: Option<Box<Streams>>,
    /// The protocol, once it is recognised.
    pub(crate) protocol: Option<Index>,
    /// Whether it was said that the conversation exists.
    pub(crate) opened: bool,
    anomalies: u8,
    /// Whether no protocol knows what this side sends.
    unknown: [bool; 2],
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
    pub(crate) fn new() -> Self {
        Self {
            state: State::Probing { tries: 0 },
            told: Told::default(),
            streams: None,
            protocol: None,
            opened: false,
            anomalies: 0,
            unknown: [false; 2],
        }
    }

    /// Whether nobody reads the conversation any more.
    pub(crate) const fn is_unread(&self) -> bool {
        matches!(self.state, State::Unread)
    }

    /// Nobody reads the conversation any more. Returns how many bytes that waited are given up.
    pub(crate) fn leave(&mut self) -> usize {
        self.state = State::Unread;
        self.streams.take().map_or(0, |streams| streams.bytes)
    }

    /// How many bytes wait.
    pub(crate) fn held_bytes(&self) -> usize {
        self.streams.as_ref().map_or(0, |streams| streams.bytes)
    }

    /// Begins to read packets that have no conversation of their own and whose protocol is given by
    /// their header.
    pub(crate) fn read_common(&mut self, index: Index, reading: &mut Reading<'_>) {
        self.state = State::Common { index };
        self.identified(index, reading);
    }

    /// Whether the protocol is still, or again, looked for.
    pub(crate) const fn is_looked_for(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// One datagram, frame or packet.
    pub(crate) fn datagram(&mut self, input: &Input<'_>, reading: &mut Reading<'_>) -> Next {
        // Once more if a parser hands this very datagram on.
        for handed_on in [false, true] {
            if let State::Probing { tries } = &mut self.state {
                *tries += 1;
                let give_up = *tries >= MAX_PROBES;
                match reading.guess(input.bytes, input.from) {
                    Guess::Is(index) => self.start(index, reading),
                    Guess::More | Guess::Unknown => return if give_up { Next::Drop } else { Next::Keep },
                }
            }
            match self.parse(input, reading) {
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
                Progress::Lost(reason) => return self.lost(reason, input.from, reading),
            }
        }
        Next::Keep
    }

    /// Bytes of a stream, in order.
    pub(crate) fn stream(&mut self, from: Side, mut bytes: &[u8], reading: &mut Reading<'_>) -> Next {
        // Bytes go to the parser from the packet itself unless earlier ones still wait.
        let mut waiting = Vec::new();
        if let Some(streams) = &mut self.streams {
            let stream = &mut streams.sides[from.index()];
            let skipped = usize::try_from(stream.skip).unwrap_or(usize::MAX).min(bytes.len());
            stream.skip -= skipped as u64;
            bytes = &bytes[skipped..];
            waiting = std::mem::take(&mut stream.pending);
            streams.bytes -= waiting.len();
        }
        if bytes.is_empty() {
            self.wait(from, waiting);
            return Next::Keep;
        }
        if waiting.is_empty() {
            let next = self.consume(from, &mut bytes, reading);
            if next == Next::Keep {
                waiting = bytes.to_vec();
            }
            return self.wait_within(next, from, waiting, reading);
        }
        waiting.extend_from_slice(bytes);
        let mut rest = &*waiting;
        let next = self.consume(from, &mut rest, reading);
        let gone = waiting.len() - rest.len();
        if gone == waiting.len() {
            waiting = Vec::new();
        } else {
            waiting.drain(..gone);
        }
        self.wait_within(next, from, waiting, reading)
    }

    /// Keeps bytes until more come, or gives them up if they are too many.
    fn wait_within(&mut self, next: Next, from: Side, bytes: Vec<u8>, reading: &mut Reading<'_>) -> Next {
        let length = bytes.len();
        self.wait(from, bytes);
        if next == Next::Keep && length > reading.environment.limits.stream_bytes {
            return self.overflow(from, reading);
        }
        next
    }

    fn wait(&mut self, from: Side, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let streams = self.streams.get_or_insert_default();
            streams.bytes += bytes.len();
            streams.sides[from.index()].pending = bytes;
        }
    }

    /// Gives `rest` to the probes or the parser and leaves in it what was not taken.
    fn consume(&mut self, from: Side, rest: &mut &[u8], reading: &mut Reading<'_>) -> Next {
        loop {
            if let State::Probing { tries } = &mut self.state {
                *tries += 1;
                let tries = *tries;
                match reading.guess(rest, from) {
                    Guess::Is(index) => {
                        self.start(index, reading);
                        match self.hear_earlier(from, reading) {
                            Some(Next::Drop) => return Next::Drop,
                            Some(Next::Keep) => continue,
                            None => {}
                        }
                    }
                    guess => {
                        self.unknown[from.index()] = guess == Guess::Unknown;
                        let hopeless = self.unknown == [true; 2];
                        let enough = rest.len() >= MAX_PROBED_BYTES || tries >= MAX_PROBES;
                        return if hopeless || enough { Next::Drop } else { Next::Keep };
                    }
                }
            }
            match self.parse(&Input { bytes: rest, from, at: reading.at, cut: 0 }, reading) {
                Progress::Took(taken) => {
                    if taken > 0 {
                        self.took();
                    }
                    if let Some(skip) = taken.checked_sub(rest.len()).filter(|skip| *skip > 0) {
                        self.streams.get_or_insert_default().sides[from.index()].skip += skip as u64;
                    }
                    *rest = &rest[taken.min(rest.len())..];
                    return Next::Keep;
                }
                Progress::Enough => return Next::Drop,
                Progress::Lost(reason) => return self.lost(reason, from, reading),
                Progress::Upgrade(taken) => {
                    self.state = State::Probing { tries: 0 };
                    self.unknown = [false; 2];
                    *rest = &rest[taken.min(rest.len())..];
                    if rest.is_empty() {
                        return Next::Keep;
                    }
                }
                Progress::Become(taken, id) => {
                    *rest = &rest[taken.min(rest.len())..];
                    self.state = State::Probing { tries: 0 };
                    if let Some(index) = index_of(id) {
                        self.start(index, reading);
                        if self.hear_earlier(from, reading) == Some(Next::Drop) {
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
    fn hear_earlier(&mut self, from: Side, reading: &mut Reading<'_>) -> Option<Next> {
        let streams = self.streams.as_mut()?;
        let earlier = std::mem::take(&mut streams.sides[from.other().index()].pending);
        streams.bytes -= earlier.len();
        if earlier.is_empty() { None } else { Some(self.stream(from.other(), &earlier, reading)) }
    }

    /// `missing` bytes from `from` will never come.
    pub(crate) fn gap(&mut self, from: Side, mut missing: u64, reading: &mut Reading<'_>) -> Next {
        if let Some(streams) = &mut self.streams {
            let stream = &mut streams.sides[from.index()];
            let skipped = stream.skip.min(missing);
            stream.skip -= skipped;
            missing -= skipped;
            if missing > 0 {
                streams.bytes -= std::mem::take(&mut stream.pending).len();
            }
        }
        let State::Reading { parser, .. } = &mut self.state else { return Next::Keep };
        if missing == 0 {
            return Next::Keep;
        }
        let wants = reading.environment.wants;
        let mut emit =
            Emit::new(&reading.head, wants, &mut self.told, &mut reading.reader.found).at(reading.at);
        let goes_on = parser.gap(from, missing, &mut emit);
        self.tell(reading);
        if goes_on { Next::Keep } else { Next::Drop }
    }

    /// A parser wants more bytes than one direction may hold.
    fn overflow(&mut self, from: Side, reading: &mut Reading<'_>) -> Next {
        let waiting = self.streams.as_ref().map_or(0, |streams| streams.sides[from.index()].pending.len());
        let length = waiting as u64;
        reading.reader.counters.bytes_shed += length;
        self.anomaly(from, "stream.message-too-long".into(), "", reading);
        self.gap(from, length, reading)
    }

    fn held(&self, side: Side) -> Option<&HeldBack> {
        self.streams.as_ref().map(|streams| &streams.sides[side.index()].held)
    }

    /// Whether no more segments of one direction can be held back.
    pub(crate) fn is_full(&self, side: Side) -> bool {
        self.held(side).is_some_and(HeldBack::is_full)
    }

    /// How many bytes are missing before the first segment held back in one direction.
    pub(crate) fn first_gap(&self, side: Side, expected: u32) -> Option<u32> {
        self.held(side)?.first_gap(expected)
    }

    /// Whether the receiver has acknowledged bytes that are missing.
    pub(crate) fn is_acknowledged(&self, side: Side, expected: u32, acknowledgement: u32) -> bool {
        self.held(side).is_some_and(|held| held.is_acknowledged(expected, acknowledgement))
    }

    /// Holds back a segment that came before its time.
    pub(crate) fn hold(
        &mut self,
        side: Side,
        expected: u32,
        sequence: u32,
        bytes: &[u8],
        reading: &mut Reading<'_>,
    ) {
        let streams = self.streams.get_or_insert_default();
        let (added, conflict) = streams.sides[side.index()].held.hold(expected, sequence, bytes);
        streams.bytes += added;
        if conflict {
            self.anomaly(side, "tcp.overlap-conflict".into(), "", reading);
        }
    }

    /// The bytes held back that come next.
    pub(crate) fn release(&mut self, side: Side, expected: u32) -> Option<Vec<u8>> {
        let streams = self.streams.as_mut()?;
        let (bytes, length) = streams.sides[side.index()].held.release(expected)?;
        streams.bytes -= length;
        Some(bytes)
    }

    /// Gives up what was held back in one direction.
    pub(crate) fn forget_held(&mut self, side: Side) {
        if let Some(streams) = &mut self.streams {
            streams.bytes -= streams.sides[side.index()].held.clear();
        }
    }

    /// The conversation is over.
    pub(crate) fn finish(&mut self, reading: &mut Reading<'_>) {
        if let State::Reading { parser, .. } = &mut self.state {
            let wants = reading.environment.wants;
            let mut emit =
                Emit::new(&reading.head, wants, &mut self.told, &mut reading.reader.found).at(reading.at);
            parser.finish(&mut emit);
            self.tell(reading);
        }
    }

    fn start(&mut self, index: Index, reading: &mut Reading<'_>) {
        let parser = (PROTOCOLS[usize::from(index)].start)();
        self.state = State::Reading { index, parser, took: false };
        self.identified(index, reading);
    }

    /// Says that the conversation exists, once.
    pub(crate) fn open(&mut self, reading: &mut Reading<'_>) {
        if !self.opened {
            self.opened = true;
            reading.say(What::FlowOpened(Box::new(reading.head)));
        }
    }

    /// Says that the protocol is recognised.
    fn identified(&mut self, index: Index, reading: &mut Reading<'_>) {
        if self.protocol == Some(index) {
            return;
        }
        self.protocol = Some(index);
        self.open(reading);
        reading.reader.counters.protocols[usize::from(index)].flows += 1;
        let identified = FlowIdentified { flow: reading.head, protocol: name(index) };
        reading.say(What::FlowIdentified(Box::new(identified)));
    }

    const fn took(&mut self) {
        if let State::Reading { took, .. } = &mut self.state {
            *took = true;
        }
    }

    const fn index(&self) -> Option<Index> {
        match self.state {
            State::Probing { .. } | State::Unread => None,
            State::Reading { index, .. } | State::Common { index } => Some(index),
        }
    }

    fn parse(&mut self, input: &Input<'_>, reading: &mut Reading<'_>) -> Progress {
        let Reader { common, found, .. } = &mut *reading.reader;
        let mut emit =
            Emit::new(&reading.head, reading.environment.wants, &mut self.told, found).at(reading.at);
        let progress = match &mut self.state {
            State::Probing { .. } | State::Unread => return Progress::Took(0),
            State::Reading { parser, .. } => parser.parse(input, &mut emit),
            State::Common { index } => common[usize::from(*index)]
                .get_or_insert_with(|| (PROTOCOLS[usize::from(*index)].start)())
                .parse(input, &mut emit),
        };
        self.tell(reading);
        progress
    }

    /// The parser does not recognise what it reads. If it never did, neither do we.
    fn lost(&mut self, reason: &'static str, from: Side, reading: &mut Reading<'_>) -> Next {
        if let Some(index) = self.index() {
            let kind = format!("{}.{reason}", PROTOCOLS[usize::from(index)].id);
            reading.reader.counters.protocols[usize::from(index)].anomalies += 1;
            self.anomaly(from, kind.into(), "", reading);
        }
        match &self.state {
            State::Reading { took: false, .. } => {
                self.protocol = None;
                Next::Drop
            }
            State::Reading { .. } if reading.head.transport == Transport::Tcp => Next::Drop,
            _ => Next::Keep,
        }
    }

    fn anomaly(&mut self, from: Side, kind: Name, detail: &str, reading: &mut Reading<'_>) {
        if self.anomalies < MAX_ANOMALIES {
            self.anomalies += 1;
            let host = reading.head.endpoint(from).host;
            let anomaly = Anomaly { flow: Some(reading.head), host, kind, detail: detail.into() };
            reading.say(What::Anomaly(Box::new(anomaly)));
        }
    }

    /// Turns what the parser found into observations.
    fn tell(&mut self, reading: &mut Reading<'_>) {
        if reading.reader.found.is_empty() {
            return;
        }
        let Some(index) = self.index() else { return reading.reader.found.clear() };
        let (flow, protocol) = (reading.head, name(index));
        let mut found = std::mem::take(&mut reading.reader.found);
        for item in found.drain(..) {
            let what = match item {
                Yield::Message { from, kind, fields } => {
                    reading.reader.counters.protocols[usize::from(index)].messages += 1;
                    let protocol = protocol.clone();
                    What::Message(Box::new(Message { flow, from, protocol, kind, fields }))
                }
                Yield::Fact { about, attribute, value, source, confidence } => {
                    let source = Cow::Borrowed(source);
                    What::Fact(Box::new(Fact { about, attribute, value, source, confidence }))
                }
                Yield::Binding(binding) => What::Binding(binding),
                Yield::Operation { from, kind, name, target, value, outcome, asked } => {
                    let protocol = protocol.clone();
                    let operation =
                        Operation { flow, from, protocol, kind, name, target, value, outcome, asked };
                    What::Operation(Box::new(operation))
                }
                Yield::Weakness { side, kind, detail } => {
                    let kind = format!("{protocol}.{kind}").into();
                    What::Weakness(Box::new(Weakness { flow, side, kind, detail }))
                }
                Yield::BusFrame { id, extended, data } => What::BusFrame(Box::new(BusFrame {
                    flow: flow.id,
                    bus: flow.client.port,
                    id,
                    extended,
                    data,
                })),
                Yield::Samples { from, values } => {
                    let protocol = protocol.clone();
                    What::Samples(Box::new(Samples { flow, from, protocol, values }))
                }
                Yield::Resolved { name, addresses, ttl } => {
                    What::Resolved(Box::new(Resolved { flow, name, addresses, ttl }))
                }
                Yield::Anomaly { from, reason, detail } => {
                    reading.reader.counters.protocols[usize::from(index)].anomalies += 1;
                    self.anomaly(from, format!("{protocol}.{reason}").into(), &detail, reading);
                    continue;
                }
            };
            reading.say(what);
        }
        reading.reader.found = found;
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
