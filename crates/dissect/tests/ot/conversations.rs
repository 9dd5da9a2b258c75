//! Conversations out of a capture, with tshark as the reader, fed to the parsers as the flow engine
//! does: each direction in order, what was repeated left out, gaps announced.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use dissect::proto::{
    Emit, Input, Opening, PROTOCOLS, Parser, Progress, Protocol, Told, Verdict, Wants, Yield,
};
use model::{Endpoint, FlowHead, FlowId, Host, Reach, Side, Timestamp, Transport};

/// What one conversation was found to be, and what was found in it.
pub(crate) struct Conversation {
    pub(crate) protocol: Option<&'static str>,
    pub(crate) head: FlowHead,
    pub(crate) found: Vec<(usize, Yield)>,
    pub(crate) lost: Option<&'static str>,
    decided: bool,
    refused: Vec<&'static str>,
    parser: Option<Box<dyn Parser>>,
    told: Told,
    pending: [Vec<u8>; 2],
    skip: [usize; 2],
    next: [Option<u32>; 2],
    over: bool,
}

impl Conversation {
    fn new(head: FlowHead) -> Self {
        Self {
            protocol: None,
            head,
            found: Vec::new(),
            lost: None,
            decided: false,
            refused: Vec::new(),
            parser: None,
            told: Told::default(),
            pending: Default::default(),
            skip: [0; 2],
            next: [None; 2],
            over: false,
        }
    }

    fn identify(&mut self, side: Side) {
        let stream = self.head.transport == Transport::Tcp;
        let opening = Opening {
            bytes: &self.pending[side.index()],
            from: side,
            client_port: self.head.client.port,
            server_port: self.head.server.port,
            stream,
        };
        let mut best: Option<(Verdict, &'static Protocol)> = None;
        for protocol in PROTOCOLS {
            let carried = protocol.carriers.iter().find_map(|carrier| match (carrier, self.head.transport) {
                (dissect::proto::Carrier::Tcp(ports), Transport::Tcp)
                | (dissect::proto::Carrier::Udp(ports), Transport::Udp) => Some(*ports),
                _ => None,
            });
            let Some(ports) = carried else { continue };
            if self.refused.contains(&protocol.id) {
                continue;
            }
            let hinted = ports.contains(&self.head.server.port) || ports.contains(&self.head.client.port);
            match (protocol.probe)(&opening) {
                Verdict::No => self.refused.push(protocol.id),
                Verdict::Maybe if !hinted => {}
                Verdict::More => {}
                verdict => {
                    if best.is_none_or(|(other, _)| verdict > other) {
                        best = Some((verdict, protocol));
                    }
                }
            }
        }
        if let Some((_, protocol)) = best {
            self.decided = true;
            self.protocol = Some(protocol.id);
            self.parser = Some((protocol.start)());
        }
    }

    fn feed(
        &mut self,
        frame: usize,
        side: Side,
        bytes: &[u8],
        sequence: Option<u32>,
        at: Timestamp,
        messages: bool,
    ) {
        if self.over || bytes.is_empty() {
            return;
        }
        let mut bytes = bytes;
        let stream = sequence.is_some();
        if let Some(sequence) = sequence {
            if let Some(expected) = self.next[side.index()] {
                let ahead = sequence.wrapping_sub(expected) as i32;
                if ahead < 0 {
                    let Some(new) = bytes.get(ahead.unsigned_abs() as usize..).filter(|new| !new.is_empty())
                    else {
                        return;
                    };
                    bytes = new;
                } else if ahead > 0 {
                    self.pending[side.index()].clear();
                    self.skip[side.index()] = 0;
                    if let Some(parser) = &mut self.parser {
                        let mut found = Vec::new();
                        let mut emit = Emit::new(
                            &self.head,
                            Wants { messages, judged: true },
                            &mut self.told,
                            &mut found,
                        );
                        self.over = !parser.gap(side, ahead as u64, &mut emit);
                        self.found.extend(found.into_iter().map(|item| (frame, item)));
                    }
                }
            }
            self.next[side.index()] = Some(sequence.wrapping_add(bytes.len() as u32));
        }
        let skipped = self.skip[side.index()].min(bytes.len());
        self.skip[side.index()] -= skipped;
        self.pending[side.index()].extend_from_slice(&bytes[skipped..]);
        if !self.decided {
            self.identify(side);
        }
        for side in [side, side.other()] {
            let Some(parser) = &mut self.parser else { break };
            if self.pending[side.index()].is_empty() {
                continue;
            }
            let input = Input { bytes: &self.pending[side.index()], from: side, at, cut: 0 };
            let mut found = Vec::new();
            let mut emit =
                Emit::new(&self.head, Wants { messages, judged: true }, &mut self.told, &mut found);
            let progress = parser.parse(&input, &mut emit);
            self.found.extend(found.into_iter().map(|item| (frame, item)));
            let held = self.pending[side.index()].len();
            match progress {
                Progress::Took(taken) if stream => {
                    self.skip[side.index()] = taken.saturating_sub(held);
                    self.pending[side.index()].drain(..taken.min(held));
                }
                Progress::Took(_) => self.pending[side.index()].clear(),
                Progress::Enough | Progress::Upgrade(_) | Progress::Become(..) => self.over = true,
                Progress::Lost(reason) => {
                    self.lost = Some(reason);
                    self.over = true;
                }
            }
        }
        if !stream {
            self.pending[side.index()].clear();
        }
    }

    fn finish(&mut self, messages: bool) {
        if let Some(parser) = &mut self.parser {
            let mut found = Vec::new();
            let mut emit =
                Emit::new(&self.head, Wants { messages, judged: true }, &mut self.told, &mut found);
            parser.finish(&mut emit);
            self.found.extend(found.into_iter().map(|item| (0, item)));
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
    digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

/// All conversations of a capture, in the order of their first packets.
pub(crate) fn read(tshark: &Path, capture: &Path, messages: bool) -> Vec<Conversation> {
    let capture = capture.to_str().expect("a path of a capture is text");
    let fields = [
        "frame.number",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "tcp.stream",
        "tcp.srcport",
        "tcp.dstport",
        "tcp.seq_raw",
        "tcp.flags.syn",
        "tcp.payload",
        "udp.stream",
        "udp.srcport",
        "udp.dstport",
        "udp.payload",
    ];
    // ICMP quotes datagrams, which tshark would give again.
    let mut arguments = vec!["-r", capture, "-n", "-Y", "not icmp", "-T", "fields", "-E", "occurrence=f"];
    for field in fields {
        arguments.extend(["-e", field]);
    }
    let text = testkit::output(tshark, &arguments).expect("tshark runs");
    let mut conversations: BTreeMap<(bool, usize), usize> = BTreeMap::new();
    let mut list: Vec<Conversation> = Vec::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let column = |index: usize| columns.get(index).copied().unwrap_or_default();
        let address = |v4: usize, v6: usize| -> Option<IpAddr> {
            column(v4).parse().or_else(|_| column(v6).parse()).ok()
        };
        let tcp = !column(5).is_empty();
        let at = if tcp { 5 } else { 11 };
        let Ok(stream) = column(at).parse::<usize>() else { continue };
        let ports = if tcp { (6, 7) } else { (12, 13) };
        let (source, destination): (u16, u16) =
            (column(ports.0).parse().unwrap_or(0), column(ports.1).parse().unwrap_or(0));
        let from = Endpoint { host: Host { mac: None, ip: address(1, 3) }, port: source };
        let to = Endpoint { host: Host { mac: None, ip: address(2, 4) }, port: destination };
        let frame: usize = column(0).parse().unwrap_or(0);
        let index = *conversations.entry((tcp, stream)).or_insert_with(|| {
            list.push(Conversation::new(FlowHead {
                id: FlowId(frame as u64),
                transport: if tcp { Transport::Tcp } else { Transport::Udp },
                vlan: None,
                client: from,
                server: to,
                client_reach: Reach::Near,
                server_reach: Reach::Near,
            }));
            list.len() - 1
        });
        let conversation = &mut list[index];
        let side = if from == conversation.head.client { Side::Client } else { Side::Server };
        let time = Timestamp::from_secs(frame as u64);
        if tcp {
            let sequence: u32 = column(8).parse().unwrap_or(0);
            if matches!(column(9), "1" | "True") {
                conversation.next[side.index()] = Some(sequence.wrapping_add(1));
            }
            conversation.feed(frame, side, &unhex(column(10)), Some(sequence), time, messages);
        } else {
            conversation.feed(frame, side, &unhex(column(14)), None, time, messages);
        }
    }
    for conversation in &mut list {
        conversation.finish(messages);
    }
    list
}
