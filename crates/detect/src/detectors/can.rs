//! What the detectors of CAN buses share.

use std::collections::BTreeMap;

use model::{BusFrame, Host, Timestamp, What};

use crate::judge::{Alarm, Out, Seen};
use crate::rule::Detector;

/// So many identifiers of a bus are watched; the one that was quiet for longest is forgotten first. A bus has a few
/// hundred at most, but whoever fuzzes tries all.
pub(super) const MAX_IDENTIFIERS: usize = 1024;

/// Frames name no sender: what happens on a bus is about the bus.
pub(super) const BUS: Host = Host { mac: None, ip: None };

/// An identifier and its size, as one number: that with 29 bits has the highest bit.
pub(super) const fn key(frame: &BusFrame) -> u32 {
    if frame.extended { frame.id | 1 << 31 } else { frame.id }
}

/// An identifier as people write it.
pub(super) fn name(frame: &BusFrame) -> String {
    if frame.extended { format!("{:08X}", frame.id) } else { format!("{:03X}", frame.id) }
}

/// Seconds since the epoch, with parts.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}

/// Whether frames of an identifier with 29 bits come when there is something to say, and not by the clock: requests and
/// acknowledgements, the transport protocols, claims of addresses (SAE J1939-21 clauses 5.4.2 to 5.4.4 and 5.10,
/// J1939-81 clause 4.2), and diagnosis (ISO 15765-4 clause 10.3.2). Their third byte is the receiver.
pub(super) const fn comes_on_demand(frame: &BusFrame) -> bool {
    let format = (frame.id >> 16) as u8;
    frame.extended && matches!(format, 0xc7 | 0xc8 | 0xda | 0xdb | 0xe8 | 0xea..=0xec | 0xee)
}

/// So many buses are told apart; the frames of all others are taken for those of one.
pub(super) const MAX_BUSES: usize = 32;

/// What is known of each bus: equal identifiers on two of them have nothing to do with each other.
pub(super) struct Buses<D> {
    make: fn() -> D,
    known: BTreeMap<u16, D>,
}

impl<D> Buses<D> {
    /// No bus yet, and what each begins with.
    pub(super) const fn of(make: fn() -> D) -> Self {
        Self { make, known: BTreeMap::new() }
    }

    fn of_bus(&mut self, bus: u16) -> &mut D {
        let place =
            if self.known.len() < MAX_BUSES || self.known.contains_key(&bus) { bus } else { u16::MAX };
        self.known.entry(place).or_insert_with(self.make)
    }
}

impl<D: Detector> Detector for Buses<D> {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        if let What::BusFrame(frame) = seen.what {
            self.of_bus(frame.bus).observe(seen, out);
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Out<'_>) {
        self.known.values_mut().for_each(|detector| detector.tick(now, out));
    }

    /// The number of each bus, the length of what was learnt of it, and that.
    fn save(&self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        for (bus, detector) in &self.known {
            let Some(learnt) = detector.save() else { continue };
            let Ok(length) = u32::try_from(learnt.len()) else { continue };
            all.extend_from_slice(&bus.to_be_bytes());
            all.extend_from_slice(&length.to_be_bytes());
            all.extend_from_slice(&learnt);
        }
        Some(all)
    }

    fn restore(&mut self, mut learnt: &[u8]) {
        while let Some((&[high, low, a, b, c, d], rest)) = learnt.split_first_chunk() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some((of_bus, rest)) = rest.split_at_checked(length) else { return };
            self.of_bus(u16::from_be_bytes([high, low])).restore(of_bus);
            learnt = rest;
        }
    }
}

/// Raises a finding about a bus, which it names where there is more than one.
pub(super) fn raise(bus: u16, alarm: Alarm<'_>, out: &mut Out<'_>, summary: impl FnOnce() -> String) {
    if bus == 0 {
        out.raise(alarm, summary);
        return;
    }
    let matter = format!("bus {bus}: {}", alarm.matter);
    out.raise(Alarm { matter: &matter, ..alarm }, || format!("Bus {bus}: {}", summary()));
}

#[cfg(test)]
mod tests {
    use model::{BusData, FlowId};

    use super::*;
    use crate::detectors::can_identifier;
    use crate::testing::Story;

    fn frame(bus: u16, id: u32) -> What {
        let data = BusData::new(&[1, 2, 3]);
        What::BusFrame(Box::new(BusFrame { flow: FlowId(id.into()), bus, id, extended: false, data }))
    }

    /// Two buses with identifiers of their own.
    fn traffic(mut story: Story, seconds: u32) -> Story {
        for _ in 0..seconds * 10 {
            story = (0..20).fold(story.wait_ms(100), |story, number| {
                story.then(frame(0, 0x100 + number)).then(frame(3, 0x200 + number))
            });
        }
        story
    }

    #[test]
    fn what_is_usual_on_one_bus_is_unknown_on_another_and_the_finding_names_it() {
        let mut story = traffic(Story::of(&can_identifier::DETECTOR), 400);
        story.silent();
        let finding = traffic(Story::of(&can_identifier::DETECTOR), 400).then(frame(0, 0x205)).only();
        assert_eq!(&*finding.matter, "205");
        let saved = story.detect().save();
        let finding = story.then(frame(3, 0x105)).only();
        assert_eq!(&*finding.matter, "bus 3: 105");
        assert!(finding.summary.starts_with("Bus 3: A frame 105 came"), "{}", finding.summary);
        // What was learnt of each is kept apart.
        let mut other = Story::of(&can_identifier::DETECTOR).wait(86_400);
        other.detect().restore_learnt(saved[0].0, &saved[0].1);
        let other = other.then(frame(0, 0x105)).then(frame(3, 0x205));
        other.silent();
        assert_eq!(&*other.then(frame(3, 0x105)).only().matter, "bus 3: 105");
    }

    struct Counts(u32);

    impl Detector for Counts {
        fn observe(&mut self, _: &Seen<'_>, _: &mut Out<'_>) {}

        fn save(&self) -> Option<Vec<u8>> {
            Some(self.0.to_be_bytes().into())
        }

        fn restore(&mut self, learnt: &[u8]) {
            self.0 = learnt.try_into().map_or(0, u32::from_be_bytes);
        }
    }

    #[test]
    fn there_is_room_for_so_many_buses_and_what_is_cut_short_is_not_taken() {
        let mut buses = Buses::of(|| Counts(7));
        for bus in 0..1000 {
            buses.of_bus(bus).0 += 1;
        }
        assert_eq!((buses.known.len(), buses.of_bus(31).0), (MAX_BUSES + 1, 8));
        assert_eq!(buses.of_bus(500).0, 7 + 1000 - MAX_BUSES as u32);
        let saved = buses.save().unwrap();
        for length in 0..saved.len() {
            let mut again = Buses::of(|| Counts(0));
            again.restore(&saved[..length]);
            assert_eq!(again.known.len(), length / 10);
            assert!(again.known.values().all(|counts| counts.0 >= 8));
        }
    }
}
