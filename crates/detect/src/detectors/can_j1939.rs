//! Abuse of the rules of SAE J1939: see [`DETECTOR`].

use model::{BusFrame, FlowId, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::can::{BUS, seconds};
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
    finds: "A control unit claims the address of another that has had it for long; or a long message is announced with \
            lengths that contradict each other, announced anew while it is under way, or broken off again and again.",
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
    ],
    listens: &[Kind::BusFrame],
    keeps: "254 addresses and 256 pairs of units",
    start: || Box::new(J1939 { names: Table::new(MAX_ADDRESSES), sessions: Table::new(MAX_PAIRS) }),
};

const HELD: usize = 0;
const ABORTS: usize = 1;

/// Addresses that units can have (SAE J1939-81 clause 4.2): 254 is nobody's, 255 is everybody's.
const MAX_ADDRESSES: usize = 254;
const NULL_ADDRESS: u8 = 254;
const MAX_PAIRS: usize = 256;
/// Parameter groups (SAE J1939-81 clause 4.2.2, J1939-21 clause 5.10.2).
const ADDRESS_CLAIMED: u8 = 0xee;
const CONNECTION_MANAGEMENT: u8 = 0xec;
/// What connection management says (J1939-21 table 6).
const REQUEST_TO_SEND: u8 = 16;
const END_OF_MESSAGE: u8 = 19;
const BROADCAST: u8 = 32;
const ABORT: u8 = 255;
/// A message of the transport protocol has so many bytes, in packets of seven (J1939-21 clause 5.10.1).
const SIZES: std::ops::RangeInclusive<u16> = 9..=1785;
const PACKET: u16 = 7;
/// A message is over after so many seconds without a word (T2 and T3 of J1939-21 clause 5.10.2.4).
const TIMEOUT: f64 = 1.25;

struct J1939 {
    /// Who has an address: its name, and since when.
    names: Table<u8, Name>,
    /// Messages that are under way, by receiver and sender.
    sessions: Table<(u8, u8), Session>,
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
    begun: Timestamp,
    is_open: bool,
    aborts: u32,
    aborts_since: Timestamp,
}

/// Tells something about a unit.
fn tell(
    matter: &str,
    flow: FlowId,
    factor: (&'static str, String, String),
    crossed: Option<(usize, f64)>,
    out: &mut Out<'_>,
    summary: impl FnOnce() -> String,
) {
    let (name, seen, usual) = factor;
    let mut alarm = Alarm::about(BUS).matter(matter).flow(flow).factor(name, seen, usual);
    if let Some((threshold, seen)) = crossed {
        alarm = alarm.crossed(threshold, seen);
    }
    out.raise(alarm, summary);
}

impl J1939 {
    /// A unit says that an address is its own. Within 250 ms of power-up units may contend for one (J1939-81 clause
    /// 4.4); later nobody should.
    fn claimed(&mut self, address: u8, name: u64, frame: &BusFrame, at: Timestamp, out: &mut Out<'_>) {
        if address >= NULL_ADDRESS {
            return;
        }
        let (known, _) = self.names.entry(address, || Name { address, name, since: at });
        if known.name == name {
            return;
        }
        let held = seconds(known.since, at);
        if held < out.limit(HELD, &BUS) {
            (known.name, known.since) = (name, at);
            return;
        }
        let before = known.name;
        let factor = ("name of the unit", format!("{name:016x}"), format!("{before:016x}"));
        tell(&format!("address {address}"), frame.flow, factor, Some((HELD, held)), out, || {
            format!("Another unit claims address {address}, which one unit has had for {held:.0} s")
        });
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
                if contradicts {
                    let usual = format!("{} packets", size.div_ceil(PACKET));
                    let factor = ("announced", format!("{size} bytes in {packets} packets"), usual);
                    tell(&matter, frame.flow, factor, None, out, || {
                        format!("Unit {sender} announces {size} bytes in {packets} packets, which cannot be")
                    });
                } else if grows {
                    let factor = ("announced", format!("{size} bytes"), format!("{before} bytes, under way"));
                    tell(&matter, frame.flow, factor, None, out, || {
                        format!(
                            "Unit {sender} announces {size} bytes while it is sending a message of {before}"
                        )
                    });
                }
            }
            END_OF_MESSAGE | ABORT => {
                // The receiver ends messages, and both may break them off.
                session.is_open = false;
                if let Some(back) = self.sessions.get_mut(&(sender, receiver)) {
                    back.is_open = false;
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
        if seconds(session.aborts_since, at) >= 1.0 {
            (session.aborts, session.aborts_since) = (0, at);
        }
        session.aborts += 1;
        let (aborts, (receiver, sender)) = (f64::from(session.aborts), pair);
        let limit = out.limit(ABORTS, &BUS);
        if aborts >= limit && aborts < limit + 1.0 {
            let factor = ("broken off in a second", aborts.to_string(), "hardly any".to_owned());
            tell(matter, frame.flow, factor, Some((ABORTS, aborts)), out, || {
                format!("Unit {sender} breaks off every message to or from unit {receiver}")
            });
        }
    }
}

impl Detector for J1939 {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::BusFrame(frame) = seen.what else { return };
        // The identifier is divided as in J1939-21 clause 5.2; frames of these groups have eight bytes.
        let [head, format, receiver, sender] = frame.id.to_be_bytes();
        let (true, 0, Ok(data)) = (frame.extended, head & 0x03, <[u8; 8]>::try_from(frame.data.as_bytes()))
        else {
            return;
        };
        match format {
            ADDRESS_CLAIMED => self.claimed(sender, u64::from_le_bytes(data), frame, seen.at, out),
            CONNECTION_MANAGEMENT => self.managed((receiver, sender), data, frame, seen.at, out),
            _ => {}
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
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), id, extended: true, data }))
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
