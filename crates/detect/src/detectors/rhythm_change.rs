//! A channel that goes much faster or slower than it did: see [`DETECTOR`].

use model::{EndReason, FlowRecord, Severity, What};
use serde::{Deserialize, Serialize};

use super::channel::{How, is_industrial};
use crate::hosts::{Channel, Kept, MAX_CHANNELS};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Reservoir, from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds channels that go much faster or slower than they did.
pub(super) const DETECTOR: Rule = Rule {
    id: "rhythm-change",
    title: "Change of rhythm",
    severity: Severity::Medium,
    attack: &["T0806", "T0814"],
    finds: "One device asks another far more often, or far more rarely, than it ever did in a conversation that goes on: \
            the packets per second of its records lie outside of all that were learnt, in two records running.",
    matters: "A cycle is set when a plant is built. Somebody who asks faster forces values or wears a controller out; who \
              asks slower is blocked, or overloaded.",
    fix: "Ask whether the cycle was changed. If not, find out what the asking device does.",
    thresholds: &[
        Threshold {
            name: "level",
            about: "the share of records that may go as fast or slow, as far as those that were learnt tell",
            unit: "",
            usual: 1e-4,
        },
        Threshold {
            name: "times",
            about: "so many times faster or slower than usual",
            unit: "times",
            usual: 2.0,
        },
    ],
    listens: &[Kind::Ended],
    keeps: "1,200 bytes of each watched channel",
    start: || Box::new(Rhythms { channels: Kept::default() }),
};

const LEVEL: usize = 0;
const TIMES: usize = 1;

/// So many records of a channel are kept, and so many say what is usual.
const ROOM: usize = 128;
const ENOUGH: u64 = 100;
/// A record of fewer seconds says nothing about a rhythm.
const MIN_SECONDS: f64 = 60.0;
/// Rates that differ by a tenth are the same.
const GRAIN: f64 = 0.1;
/// So many records in a row must be unusual.
const RUNNING: u32 = 2;

struct Rhythms {
    channels: Kept<Channel, Rhythm>,
}

/// How fast a channel goes: logarithms of packets per second from the client, and negative ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Rhythm {
    key: u64,
    fast: Reservoir,
    slow: Reservoir,
    /// Unusual records in a row.
    running: u32,
}

/// Packets per second from the client, where a record is long enough. An idle time at the end is not in a record.
fn rate(record: &FlowRecord) -> Option<f64> {
    let seconds = record.duration().as_secs_f64();
    let is_whole = matches!(record.end, EndReason::Active | EndReason::Finished);
    (is_whole && seconds >= MIN_SECONDS && record.sent.packets > 0)
        .then(|| record.sent.packets as f64 / seconds)
}

impl Detector for Rhythms {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        let (Some(protocol), Some(rate)) = (&record.protocol, rate(record)) else { return };
        // How often people press a key is no rhythm.
        let Some(channel) = seen.channel.filter(|_| is_industrial(protocol)) else { return };
        let (client, server) = (record.head.client.host, record.head.server.host);
        let rhythm = self.channels.of_or(channel, || channel.key, |key| Rhythm { key, ..Rhythm::default() });
        let value = rate.ln() as f32;
        let share = rhythm.fast.p_value(value, GRAIN).min(rhythm.slow.p_value(-value, GRAIN));
        let usual = rhythm.fast.quantile(0.5).map_or(rate, |value| f64::from(value).exp());
        let times = (rate / usual).max(usual / rate);
        let knows = rhythm.fast.seen() >= ENOUGH;
        let is_unusual = knows && share <= out.limit(LEVEL, &client) && times >= out.limit(TIMES, &client);
        rhythm.running = if is_unusual { rhythm.running.saturating_add(1) } else { 0 };
        if knows {
            out.score(1.0 - share, Some(record.head.id), Some(client));
        }
        if is_unusual {
            if rhythm.running >= RUNNING {
                let matter = if rate > usual { "faster" } else { "slower" };
                let alarm = Alarm::about(client)
                    .to(server)
                    .matter(matter)
                    .flow(record.head.id)
                    .since(record.first)
                    .anomaly()
                    .crossed(TIMES, times)
                    .factor("packets per second", format_args!("{rate:.2}"), format_args!("{usual:.2}"))
                    .factor("share of records as unusual", format_args!("{share:.1e}"), "");
                out.raise(alarm, || {
                    format!(
                        "{client} asks {server} by {protocol} {times:.1} times {matter} than it did for long"
                    )
                });
            }
        } else if How::between([&client, &server], 0.0, true, out).may_learn {
            rhythm.fast.add(value, ROOM);
            rhythm.slow.add(-value, ROOM);
        }
    }

    fn forget_channel(&mut self, channel: Channel) {
        self.channels.forget(channel);
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.channels.iter().collect::<Vec<_>>())
    }

    fn restore(&mut self, learnt: &[u8]) {
        for rhythm in from_bytes::<Vec<Rhythm>>(learnt).into_iter().flatten() {
            if rhythm.fast.is_sane(ROOM) && rhythm.slow.is_sane(ROOM) {
                self.channels.take_back(rhythm.key, rhythm, MAX_CHANNELS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{EndReason, FlowRecord, Timestamp};

    use super::DETECTOR;
    use crate::testing::{Story, answered};

    /// Five minutes of a conversation with so many packets.
    fn record(packets: u64) -> FlowRecord {
        let mut record = answered("10.0.0.5", "10.0.0.9", 502, "modbus");
        (record.first, record.last) = (Timestamp::from_secs(0), Timestamp::from_secs(300));
        (record.sent.packets, record.end) = (packets, EndReason::Active);
        record
    }

    fn plant(records: u64) -> Story {
        let story = Story::of(&DETECTOR).with_host("10.0.0.5").with_host("10.0.0.9");
        (0..records).fold(story, |story, number| story.wait(300).flow(record(300 + number % 7)))
    }

    #[test]
    fn twice_as_fast_or_slow_is_told_when_it_goes_on() {
        plant(400).silent();
        let story = plant(200).wait(300).flow(record(900));
        story.silent();
        let story = story.wait(300).flow(record(900));
        assert_eq!(&*story.only().matter, "faster");
        let story = plant(200).wait(300).flow(record(20)).wait(300).flow(record(20));
        assert_eq!(&*story.only().matter, "slower");
        plant(50).wait(300).flow(record(900)).wait(300).flow(record(900)).silent();
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut story = plant(200);
        let saved = story.detect().save();
        let mut other = plant(0).wait(86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        let other = other.flow(record(900)).wait(300).flow(record(900));
        assert_eq!(&*other.only().matter, "faster");
    }
}
