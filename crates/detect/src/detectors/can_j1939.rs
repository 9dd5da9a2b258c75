//! Abuse of the rules of SAE J1939: see [`DETECTOR`].

use model::{BusFrame, FlowId, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::can::{BUS, Buses, raise, seconds};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};
use crate::table::Table;

/// Finds abuse of addresses and of the transport protocol on a J1939 bus.
pub(super) const DETECTOR: Rule = Rule {
    id: "can-j1939",
    title: "Abuse of a J1939 network",
    severity: Severity::Medium,
    attack: &["T0830", "T0814", "T0848"],
    finds: "A control unit claims the address of another that has had it for long, or is talking at that moment and was \
            not asked; or a long message is announced with lengths that contradict each other, announced anew while it \
            is under way, begun and never sent, sent without being announced, or broken off again and again; or somebody \
            asks for the same again and again.",
    matters: "On the buses of trucks, tractors and ships, whoever claims an address speaks for the unit that had it, and \
              the unit must be silent. Contradicting announcements make units overwrite their memory or keep them from \
              being talked to.",
    fix: "Find out what was connected to the bus, the diagnostic socket first, and take it off. A unit that was exchanged \
          claims its address once.",
    thresholds: &[
        Threshold {
            name: "held",
            about: "how long an address must have been held before another unit claims it",
            unit: "s",
            usual: 5.0,
        },
        Threshold {
            name: "aborts",
            about: "broken off messages in a second between two units",
            unit: "messages",
            usual: 10.0,
        },
        Threshold {
            name: "requests",
            about: "requests of a unit for the same in a second, of which the standard recommends no more than three",
            unit: "requests",
            usual: 10.0,
        },
        Threshold {
            name: "stalled",
            about: "messages in a minute that a unit was ready to take and that were never sent",
            unit: "messages",
            usual: 3.0,
        },
        Threshold {
            name: "stray",
            about: "packets in a second of messages that nobody announced",
            unit: "packets",
            usual: 8.0,
        },
    ],
    listens: &[Kind::BusFrame, Kind::Tick],
    keeps: "254 addresses, 256 pairs of units and 256 things that are asked for, of each of 32 buses",
    start: || {
        Box::new(Buses::of(|| J1939 {
            names: Table::new(MAX_ADDRESSES),
            units: Table::new(MAX_ADDRESSES),
            sessions: Table::new(MAX_PAIRS),
            requests: Table::new(MAX_REQUESTS),
            stalled: Table::new(MAX_ADDRESSES),
            asked: Timestamp::EPOCH,
            begun: None,
            bus: 0,
        }))
    },
};

const HELD: usize = 0;
const ABORTS: usize = 1;
const REQUESTS: usize = 2;
const STALLED: usize = 3;
const STRAY: usize = 4;

/// Addresses that units can have (SAE J1939-81 clause 4.2): 254 is nobody's, 255 is everybody's.
const MAX_ADDRESSES: usize = 254;
const NULL_ADDRESS: u8 = 254;
const MAX_PAIRS: usize = 256;
const MAX_REQUESTS: usize = 256;
/// Parameter groups (SAE J1939-81 clause 4.2.2, J1939-21 clause 5.10.2).
const ADDRESS_CLAIMED: u8 = 0xee;
const CONNECTION_MANAGEMENT: u8 = 0xec;
const DATA_TRANSFER: u8 = 0xeb;
const REQUEST: u8 = 0xea;
/// What connection management says (J1939-21 table 6).
const REQUEST_TO_SEND: u8 = 16;
const CLEAR_TO_SEND: u8 = 17;
const END_OF_MESSAGE: u8 = 19;
const BROADCAST: u8 = 32;
const ABORT: u8 = 255;
/// A message of the transport protocol has so many bytes, in packets of seven (J1939-21 clause 5.10.1).
const SIZES: std::ops::RangeInclusive<u16> = 9..=1785;
const PACKET: u16 = 7;
/// A message is over after so many seconds without a word (T2 and T3 of J1939-21 clause 5.10.2.4).
const TIMEOUT: f64 = 1.25;

/// A unit that says nothing for so many seconds may have been switched off and on.
const SILENT: f64 = 1.0;
/// Stalled messages are counted for so many seconds.
const STALLED_WINDOW: f64 = 60.0;

struct J1939 {
    /// Who has an address: its name, and since when.
    names: Table<u8, Name>,
    /// Who talks.
    units: Table<u8, Unit>,
    /// Messages that are under way, by receiver and sender.
    sessions: Table<(u8, u8), Session>,
    /// What is asked for, by sender and group.
    requests: Table<(u8, u32), Count>,
    /// Messages that were never sent, by receiver.
    stalled: Table<u8, Count>,
    /// When addresses were asked for.
    asked: Timestamp,
    /// When the first frame came.
    begun: Option<Timestamp>,
    /// Which bus it is.
    bus: u16,
}

/// A unit that talks.
#[derive(Clone, Copy, Debug, Default)]
struct Unit {
    last: Timestamp,
    /// Since when it was never silent, and its longest pause since then, in seconds.
    since: Timestamp,
    pause: f64,
    /// When its address was claimed last.
    claimed: Timestamp,
}

/// How often something was there, in a window of time.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    since: Timestamp,
    count: u32,
}

impl Count {
    /// One more; how many there are in the window.
    fn add(&mut self, at: Timestamp, window: f64) -> f64 {
        if seconds(self.since, at) >= window {
            *self = Self { since: at, count: 0 };
        }
        self.count += 1;
        f64::from(self.count)
    }
}

/// Whether a count has come to a limit just now.
fn reaches(count: f64, limit: f64) -> bool {
    count >= limit && count < limit + 1.0
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Name {
    address: u8,
    name: u64,
    since: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Session {
    size: u16,
    packets: u8,
    /// When it was announced, or the last packet of it came.
    begun: Timestamp,
    is_open: bool,
    /// When the receiver said that it is ready, if nothing came since, and where the message was announced.
    ready: Option<Timestamp>,
    announced: Option<FlowId>,
    aborts: Count,
    stray: Count,
}

/// Tells something about a unit.
fn tell(
    matter: &str,
    frame: &BusFrame,
    factor: (&'static str, String, String),
    crossed: Option<(usize, f64)>,
    out: &mut Out<'_>,
    summary: impl FnOnce() -> String,
) {
    let (name, seen, usual) = factor;
    let mut alarm = Alarm::about(BUS).matter(matter).flow(frame.flow).factor(name, seen, usual);
    if let Some((threshold, seen)) = crossed {
        alarm = alarm.crossed(threshold, seen);
    }
    raise(frame.bus, alarm, out, summary);
}

impl J1939 {
    /// A unit says that an address is its own. Within 250 ms of power-up units may contend for one (J1939-81 clause
    /// 4.4); later nobody should.
    fn claimed(&mut self, address: u8, name: u64, frame: &BusFrame, at: Timestamp, out: &mut Out<'_>) {
        if address >= NULL_ADDRESS {
            return;
        }
        let is_unasked = self.is_unasked(address, at);
        if let Some(unit) = self.units.get_mut(&address) {
            unit.claimed = at;
        }
        let mut is_first = false;
        let (known, _) = self.names.entry(address, || {
            is_first = true;
            Name { address, name, since: at }
        });
        let held = match (is_first, self.units.get(&address)) {
            (true, Some(unit)) if is_unasked => seconds(unit.since, at),
            (true, _) => return,
            (false, _) if known.name == name => return,
            (false, _) => seconds(known.since, at),
        };
        if held < out.limit(HELD, &BUS) {
            (known.name, known.since) = (name, at);
            return;
        }
        let before = if is_first { "that of who talks".to_owned() } else { format!("{:016x}", known.name) };
        if is_first {
            // Who talks will say what its name is.
            known.since = at;
        }
        let factor = ("name of the unit", format!("{name:016x}"), before);
        tell(&format!("address {address}"), frame, factor, Some((HELD, held)), out, || {
            format!("Another unit claims address {address}, which one unit has had for {held:.0} s")
        });
    }

    /// Whether nothing gives reason to claim the address of a unit: it was not switched on just now, for it was talking
    /// all the time; nobody asked for addresses, and nobody else claimed this one (J1939-81 clauses 4.2.1 and 4.4.3).
    fn is_unasked(&self, address: u8, at: Timestamp) -> bool {
        self.units.get(&address).is_some_and(|unit| {
            let pause = seconds(unit.last, at);
            pause <= unit.pause.min(SILENT)
                && [self.asked, unit.claimed].iter().all(|reason| seconds(*reason, at) > TIMEOUT)
        })
    }

    /// A unit talks.
    fn talks(&mut self, address: u8, at: Timestamp) {
        let (unit, _) = self.units.entry(address, || Unit { last: at, since: at, ..Unit::default() });
        let pause = seconds(unit.last, at);
        if pause > SILENT {
            (unit.since, unit.pause) = (at, 0.0);
        } else {
            unit.pause = unit.pause.max(pause);
        }
        unit.last = unit.last.max(at);
    }

    /// A unit asks for something. The same should be asked for no more than two or three times in a second
    /// (J1939-21 clause 5.4.2).
    fn requested(
        &mut self,
        pair: (u8, u8),
        group: [u8; 3],
        frame: &BusFrame,
        at: Timestamp,
        out: &mut Out<'_>,
    ) {
        let [low, middle, high] = group;
        if (high, middle) == (0, ADDRESS_CLAIMED) {
            self.asked = at;
        }
        let (receiver, sender) = pair;
        let group = u32::from_le_bytes([low, middle, high, 0]);
        let count = self.requests.entry((sender, group), Count::default).0.add(at, 1.0);
        let limit = out.limit(REQUESTS, &BUS);
        if reaches(count, limit) {
            let factor = ("requests in a second", count.to_string(), "three at most".to_owned());
            let matter = format!("requests {sender}");
            tell(&matter, frame, factor, Some((REQUESTS, count)), out, || {
                format!("Unit {sender} asks unit {receiver} for group {group:05X} again and again")
            });
        }
    }

    /// A packet of a message comes.
    fn transferred(
        &mut self,
        pair: (u8, u8),
        packet: u8,
        frame: &BusFrame,
        at: Timestamp,
        out: &mut Out<'_>,
    ) {
        let begun = *self.begun.get_or_insert(at);
        let (receiver, sender) = pair;
        let matter = format!("transport {sender}-{receiver}");
        let (session, _) = self.sessions.entry(pair, Session::default);
        let is_open = session.is_open && seconds(session.begun, at) < TIMEOUT;
        let was_quiet = seconds(session.begun.max(begun), at) > TIMEOUT;
        (session.begun, session.ready) = (at, None);
        if is_open && packet > session.packets {
            let (factor, packets) =
                (("packet", packet.to_string(), session.packets.to_string()), session.packets);
            tell(&matter, frame, factor, None, out, || {
                format!("Unit {sender} sends packet {packet} of a message that it announced with {packets}")
            });
        } else if !is_open && (was_quiet || session.stray.count > 0) {
            let count = session.stray.add(at, 1.0);
            if reaches(count, out.limit(STRAY, &BUS)) {
                let factor =
                    ("packets in a second", count.to_string(), "of announced messages only".to_owned());
                tell(&matter, frame, factor, Some((STRAY, count)), out, || {
                    format!("Unit {sender} sends packets of a message that it did not announce")
                });
            }
        }
    }

    fn managed(&mut self, pair: (u8, u8), data: [u8; 8], frame: &BusFrame, at: Timestamp, out: &mut Out<'_>) {
        let [control, low, high, packets, ..] = data;
        let size = u16::from_le_bytes([low, high]);
        let (receiver, sender) = pair;
        let matter = format!("transport {sender}-{receiver}");
        let (session, _) = self.sessions.entry(pair, Session::default);
        match control {
            REQUEST_TO_SEND | BROADCAST => {
                let contradicts = !SIZES.contains(&size) || u16::from(packets) != size.div_ceil(PACKET);
                let is_open = session.is_open && seconds(session.begun, at) < TIMEOUT;
                let grows = control == REQUEST_TO_SEND && is_open && session.size != size;
                let before = session.size;
                (session.size, session.begun, session.is_open) = (size, at, true);
                (session.packets, session.ready, session.stray) = (packets, None, Count::default());
                session.announced = Some(frame.flow);
                if contradicts {
                    let usual = format!("{} packets", size.div_ceil(PACKET));
                    let factor = ("announced", format!("{size} bytes in {packets} packets"), usual);
                    tell(&matter, frame, factor, None, out, || {
                        format!("Unit {sender} announces {size} bytes in {packets} packets, which cannot be")
                    });
                } else if grows {
                    let factor = ("announced", format!("{size} bytes"), format!("{before} bytes, under way"));
                    tell(&matter, frame, factor, None, out, || {
                        format!(
                            "Unit {sender} announces {size} bytes while it is sending a message of {before}"
                        )
                    });
                }
            }
            CLEAR_TO_SEND => {
                // It says for how many packets it is ready, none for later.
                if let Some(back) = self.sessions.get_mut(&(sender, receiver)).filter(|back| back.is_open) {
                    (back.begun, back.ready) = (at, (low > 0).then_some(at));
                }
            }
            END_OF_MESSAGE | ABORT => {
                // The receiver ends messages, and both may break them off.
                (session.is_open, session.ready) = (false, None);
                if let Some(back) = self.sessions.get_mut(&(sender, receiver)) {
                    (back.is_open, back.ready) = (false, None);
                }
                if control == ABORT {
                    self.aborted(pair, &matter, frame, at, out);
                }
            }
            _ => {}
        }
    }

    fn aborted(&mut self, pair: (u8, u8), matter: &str, frame: &BusFrame, at: Timestamp, out: &mut Out<'_>) {
        let (session, _) = self.sessions.entry(pair, Session::default);
        let (aborts, (receiver, sender)) = (session.aborts.add(at, 1.0), pair);
        let limit = out.limit(ABORTS, &BUS);
        if reaches(aborts, limit) {
            let factor = ("broken off in a second", aborts.to_string(), "hardly any".to_owned());
            tell(matter, frame, factor, Some((ABORTS, aborts)), out, || {
                format!("Unit {sender} breaks off every message to or from unit {receiver}")
            });
        }
    }
}

impl Detector for J1939 {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::BusFrame(frame) = seen.what else { return };
        // The identifier is divided as in J1939-21 clause 5.2.
        let [head, format, receiver, sender] = frame.id.to_be_bytes();
        if !frame.extended || head & 0x03 != 0 {
            return;
        }
        self.begun.get_or_insert(seen.at);
        self.bus = frame.bus;
        let (pair, data) = ((receiver, sender), frame.data.as_bytes());
        match (format, <[u8; 8]>::try_from(data)) {
            (ADDRESS_CLAIMED, Ok(data)) => {
                self.claimed(sender, u64::from_le_bytes(data), frame, seen.at, out);
                return;
            }
            (CONNECTION_MANAGEMENT, Ok(data)) => self.managed(pair, data, frame, seen.at, out),
            (DATA_TRANSFER, Ok([packet, ..])) => self.transferred(pair, packet, frame, seen.at, out),
            (REQUEST, _) => {
                if let Some(group) = data.first_chunk() {
                    self.requested(pair, *group, frame, seen.at, out);
                }
            }
            _ => {}
        }
        self.talks(sender, seen.at);
    }

    fn tick(&mut self, now: Timestamp, out: &mut Out<'_>) {
        for ((receiver, sender), session) in self.sessions.iter_mut() {
            let Some(ready) = session.ready.filter(|ready| seconds(*ready, now) > TIMEOUT) else { continue };
            (session.ready, session.is_open) = (None, false);
            let count = self.stalled.entry(*receiver, Count::default).0.add(ready, STALLED_WINDOW);
            if count >= out.limit(STALLED, &BUS) {
                let matter = format!("stalled {receiver}");
                let factor = ("messages never sent in a minute", count.to_string(), "none".to_owned());
                let alarm = Alarm::about(BUS)
                    .matter(&matter)
                    .flows(session.announced.as_slice())
                    .since(ready)
                    .crossed(STALLED, count);
                let (name, seen, usual) = factor;
                raise(self.bus, alarm.factor(name, seen, usual), out, || {
                    format!(
                        "Unit {receiver} waits for messages that unit {sender} and others announce and never send"
                    )
                });
            }
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.names.iter().map(|(_, name)| name).collect::<Vec<_>>())
    }

    fn restore(&mut self, learnt: &[u8]) {
        for name in from_bytes::<Vec<Name>>(learnt).into_iter().flatten().take(MAX_ADDRESSES) {
            *self.names.entry(name.address, || name).0 = name;
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{BusData, BusFrame, FlowId, What};

    use super::DETECTOR;
    use crate::testing::Story;

    fn frame(id: u32, data: [u8; 8]) -> What {
        let data = BusData::new(&data);
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), bus: 0, id, extended: true, data }))
    }

    fn claim(address: u32, name: u64) -> What {
        frame(0x18ee_ff00 | address, name.to_le_bytes())
    }

    #[test]
    fn an_address_is_told_when_another_unit_takes_it_after_contention_is_over() {
        let story = Story::of(&DETECTOR).then(claim(3, 0xaaaa)).wait_ms(100).then(claim(3, 0xbbbb));
        let story = story.wait(60).then(claim(3, 0xbbbb)).then(claim(254, 1)).then(claim(254, 2));
        story.silent();
        let mut story = story.then(claim(3, 0x1111));
        assert_eq!(&*story.only().matter, "address 3");
        let saved = story.detect().save();
        let mut other = Story::of(&DETECTOR).wait(86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        assert_eq!(&*other.then(claim(3, 0x1111)).only().matter, "address 3");
    }

    /// A unit that talks ten times a second.
    fn talks(mut story: Story, address: u32, tenths: u32) -> Story {
        for _ in 0..tenths {
            story = story.wait_ms(100).then(frame(0x0cf0_0400 | address, [0; 8]));
        }
        story
    }

    #[test]
    fn the_address_of_who_talks_is_not_claimed_unless_there_is_a_reason() {
        let request = || {
            let data = BusData::new(&[0, 0xee, 0]);
            let id = 0x18ea_fff9;
            What::BusFrame(Box::new(BusFrame { flow: FlowId(1), bus: 0, id, extended: true, data }))
        };
        // It was asked, or switched on again, or began just now.
        talks(Story::of(&DETECTOR), 3, 100).then(request()).wait_ms(50).then(claim(3, 0xaaaa)).silent();
        talks(Story::of(&DETECTOR), 3, 100).wait(2).then(claim(3, 0xaaaa)).silent();
        talks(Story::of(&DETECTOR), 3, 10).then(claim(3, 0xaaaa)).silent();
        let story = talks(Story::of(&DETECTOR), 3, 100).wait_ms(40).then(claim(3, 0x1111));
        assert_eq!(&*story.only().matter, "address 3");
        // It defends itself.
        let story = talks(story.wait_ms(5).then(claim(3, 0xaaaa)), 3, 100);
        assert_eq!(story.only().count, 1);
    }

    #[test]
    fn who_asks_for_the_same_again_and_again_is_told() {
        let ask = |story: Story| {
            let data = BusData::new(&[0xeb, 0xfe, 0]);
            let id = 0x18ea_000b;
            story.then(What::BusFrame(Box::new(BusFrame {
                flow: FlowId(1),
                bus: 0,
                id,
                extended: true,
                data,
            })))
        };
        (0..60).fold(Story::of(&DETECTOR), |story, _| ask(story.wait_ms(400))).silent();
        let story = (0..60).fold(Story::of(&DETECTOR), |story, _| ask(story.wait_ms(10)));
        assert_eq!(&*story.only().matter, "requests 11");
    }

    fn data(number: u8) -> What {
        frame(0x1ceb_000b, [number, 1, 2, 3, 4, 5, 6, 7])
    }

    fn ready() -> What {
        frame(0x1cec_0b00, [17, 3, 1, 255, 255, 0xeb, 0xfe, 0])
    }

    #[test]
    fn messages_that_are_never_sent_and_packets_that_were_never_announced_are_told() {
        let mut story = Story::of(&DETECTOR).wait(1);
        for _ in 0..20 {
            story = story.wait_ms(500).then(request(20, 3)).wait_ms(50).then(ready());
            story = (1..=3).fold(story, |story, number| story.wait_ms(5).then(data(number)));
            story = story.then(frame(0x1cec_0b00, [19, 20, 0, 3, 255, 0xeb, 0xfe, 0]));
        }
        story.silent();
        let stalled = (0..5).fold(story, |story, _| story.wait(3).then(request(20, 3)).then(ready()));
        assert_eq!(&*stalled.wait(3).then(request(20, 3)).only().matter, "stalled 0");
        // One packet of a message the beginning of which was missed, and many that were never announced.
        let begin = || Story::of(&DETECTOR).then(claim(3, 1)).wait(9);
        begin().then(data(7)).silent();
        let story = (1..40).fold(begin(), |story, number| story.wait_ms(5).then(data(number)));
        assert!(story.only().summary.contains("did not announce"));
        let story = (1..40).fold(Story::of(&DETECTOR), |story, number| story.wait_ms(5).then(data(number)));
        story.silent();
        let story = (1..=4).fold(begin().then(request(20, 3)), |story, number| story.then(data(number)));
        assert!(story.only().summary.contains("packet 4"));
    }

    /// A request to send from unit 11 to unit 0.
    fn request(size: u16, packets: u8) -> What {
        let [low, high] = size.to_le_bytes();
        frame(0x1cec_000b, [16, low, high, packets, 255, 0xeb, 0xfe, 0])
    }

    #[test]
    fn announcements_that_contradict_themselves_or_each_other_are_told() {
        let end = || frame(0x1cec_0b00, [19, 20, 0, 3, 255, 0xeb, 0xfe, 0]);
        let story = Story::of(&DETECTOR).then(request(20, 3)).wait_ms(100).then(end());
        let story = story.wait_ms(100).then(request(100, 15)).wait(10).then(request(50, 8));
        story.silent();
        assert!(Story::of(&DETECTOR).then(request(20, 9)).only().summary.contains("cannot be"));
        assert!(
            Story::of(&DETECTOR)
                .then(request(20, 3))
                .then(request(1785, 255))
                .only()
                .summary
                .contains("while")
        );
    }

    #[test]
    fn who_breaks_off_everything_is_told() {
        let abort = || frame(0x1cec_000b, [255, 1, 255, 255, 255, 0xeb, 0xfe, 0]);
        Story::of(&DETECTOR).then(abort()).then(abort()).silent();
        let story = (0..30).fold(Story::of(&DETECTOR), |story, _| story.wait_ms(20).then(abort()));
        assert_eq!(story.only().count, 1);
    }
}
