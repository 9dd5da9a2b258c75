//! A channel that always spoke is silent: see [`DETECTOR`].

use model::{FlowHead, FlowId, Host, Name, Severity, Timestamp, What};
use serde::{Deserialize, Serialize};

use super::channel::{blame, is_industrial};
use crate::hosts::{self, Kept, MAX_CHANNELS};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Hours, Reservoir, from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds channels that fall silent.
pub(super) const DETECTOR: Rule = Rule {
    id: "silent-channel",
    title: "Silent channel",
    severity: Severity::Medium,
    attack: &["T0803", "T0804", "T0814", "T0826"],
    finds: "Two devices that always talked do not talk any more: the silence is far longer than any before, at an hour \
            at which they used to talk, while others go on. Who came later than the others and was there for less than a day \
            was a visitor, who leaves.",
    matters: "A controller that is not asked, or does not answer, is not watched: it may have failed, have been switched \
              off, or be kept from speaking so that nobody sees what it does.",
    fix: "Look at whether the device still runs and is still connected, and at what was done to it before.",
    thresholds: &[
        Threshold {
            name: "pauses",
            about: "how many times the longest pause a silence must last",
            unit: "pauses",
            usual: 3.0,
        },
        Threshold {
            name: "level",
            about: "the share of pauses that may last as long, as far as those that were learnt tell",
            unit: "",
            usual: 1e-6,
        },
        Threshold {
            name: "days",
            about: "days without a silence before one is told of devices that control no process",
            unit: "days",
            usual: 7.0,
        },
    ],
    listens: &[Kind::Ended, Kind::Operation, Kind::Samples, Kind::Tick],
    keeps: "700 bytes of each watched channel",
    start: || Box::<Channels>::default(),
};

const PAUSES: usize = 0;
const LEVEL: usize = 1;
const DAYS: usize = 2;

/// So many pauses of a channel are kept.
const ROOM: usize = 128;
/// So many pauses say what is usual.
const ENOUGH: u64 = 100;
/// A silence is at least so many usual pauses, and so many seconds.
const MISSED: f64 = 20.0;
const MIN_SILENCE: f64 = 60.0;
/// Pauses that differ by a tenth are the same.
const GRAIN: f64 = 0.1;
/// Channels are looked at so often, in seconds.
const EVERY: u64 = 10;
/// What begins more than so many seconds after the watch did came later than the others.
const LATER: u64 = 600;
/// And was a visit if it lasted for less.
const VISIT: u64 = 86_400;
/// If nothing at all comes for so long, in seconds, it is the sensor that is silent.
const BLIND: u64 = 120;
/// If more than half of so many channels fall silent, the plant stops.
const SEVERAL: usize = 4;
/// Nearly all pauses of a periodic channel are at most so many times the usual one.
const UNEVEN: f64 = 10.0;
/// A conversation that lasts so many times the usual pause is a session; shorter ones are words of a channel.
const SESSION: f64 = 3.0;
/// A pause of so many seconds in hours that are not known is a night.
const NIGHT: f64 = 3600.0;

struct Channels {
    channels: Kept<hosts::Channel, Channel>,
    next: Timestamp,
    last_tick: Timestamp,
    /// When the watch began.
    watch: Option<Timestamp>,
}

impl Default for Channels {
    fn default() -> Self {
        let (next, last_tick) = (Timestamp::EPOCH, Timestamp::EPOCH);
        Self { channels: Kept::default(), next, last_tick, watch: None }
    }
}

/// How a channel speaks.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Channel {
    key: u64,
    ends: [Host; 2],
    protocol: Name,
    flow: FlowId,
    /// When it was seen first.
    #[serde(default)]
    since: Timestamp,
    /// When something of it was told last, and since when it was never silent.
    last: Timestamp,
    steady_since: Timestamp,
    /// Logarithms of pauses in seconds.
    pauses: Reservoir,
    /// The longest pause, in seconds.
    longest: f64,
    hours: Hours,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Speaking,
    Silent,
    /// Nobody listened: how long is not known.
    Unknown,
    /// A long session was closed in good order: somebody has left.
    Left,
}

impl Channel {
    fn new(key: u64, head: &FlowHead, protocol: &Name, at: Timestamp) -> Self {
        Self {
            key,
            ends: [head.client.host, head.server.host],
            protocol: protocol.clone(),
            flow: head.id,
            since: at,
            last: at,
            steady_since: at,
            pauses: Reservoir::default(),
            longest: 0.0,
            hours: Hours::default(),
            state: State::Speaking,
        }
    }

    fn usual(&self) -> f64 {
        self.pauses.quantile(0.5).map_or(0.0, |pause| f64::from(pause).exp())
    }

    fn spoke(&mut self, head: &FlowHead, at: Timestamp) {
        let pause = at.since(self.last).as_secs_f64();
        let is_night = pause >= NIGHT && !self.hours.knows(self.last + std::time::Duration::from_secs(3600));
        match self.state {
            State::Speaking if !is_night => {
                // Several records at once are one word.
                if pause >= 0.001 {
                    self.pauses.add(pause.ln() as f32, ROOM);
                    self.longest = self.longest.max(pause);
                }
            }
            State::Silent => {
                self.longest = self.longest.max(pause);
                self.steady_since = at;
            }
            State::Speaking | State::Unknown | State::Left => {}
        }
        (self.state, self.flow, self.last) = (State::Speaking, head.id, self.last.max(at));
        self.hours.learn(at);
    }

    /// Whether it speaks at intervals. Who comes now and then and talks a lot has pauses of two kinds.
    fn is_periodic(&self) -> bool {
        self.pauses.quantile(0.99).is_some_and(|long| f64::from(long).exp() <= UNEVEN * self.usual())
    }

    /// How long it has been silent, if that is longer than it ever should be.
    fn silence(&self, now: Timestamp, out: &Out<'_>) -> Option<f64> {
        let host = &self.ends[1];
        let silence = now.since(self.last).as_secs_f64();
        let limit = (out.limit(PAUSES, host) * self.longest).max(MISSED * self.usual()).max(MIN_SILENCE);
        (self.pauses.seen() >= ENOUGH
            && self.is_periodic()
            && silence > limit
            && self.pauses.p_value(silence.ln() as f32, GRAIN) <= out.limit(LEVEL, host))
        .then_some(silence)
    }

    /// Whether it came later than others and is gone again.
    fn was_visit(&self, watch: Timestamp) -> bool {
        self.since.since(watch).as_secs() > LATER && self.last.since(self.since).as_secs() < VISIT
    }

    /// Whether a silence now means something. Machines have no nights, unless they were seen to have them; of others
    /// it must be known that they talk at this hour.
    fn is_telling(&self, now: Timestamp, out: &Out<'_>) -> bool {
        let steady_days = self.last.since(self.steady_since).as_secs_f64() / 86_400.0;
        if is_industrial(&self.protocol) {
            return steady_days < 1.0 || self.hours.knows(now);
        }
        self.hours.knows(now) && steady_days >= out.limit(DAYS, &self.ends[1])
    }
}

impl Detector for Channels {
    fn observe(&mut self, seen: &Seen<'_>, _: &mut Out<'_>) {
        self.watch.get_or_insert(seen.at);
        let (head, protocol) = match seen.what {
            What::FlowEnded(record) if record.answered() => match &record.protocol {
                // What ended long ago says nothing about now.
                Some(protocol) if record.end != model::EndReason::Idle || record.first == record.last => {
                    (&record.head, protocol)
                }
                Some(protocol) if record.head.transport != model::Transport::Tcp => (&record.head, protocol),
                _ => return,
            },
            What::Operation(operation) => (&operation.flow, &operation.protocol),
            What::Samples(samples) => (&samples.flow, &samples.protocol),
            _ => return,
        };
        if !seen.client.is_somebody()
            || !seen.server.is_somebody()
            || seen.site.is_external(&head.server.host)
        {
            return;
        }
        let Some(one) = seen.channel else { return };
        let make = |key| Channel::new(key, head, protocol, seen.at);
        let channel = self.channels.of_or(one, || one.key, make);
        channel.spoke(head, seen.at);
        if let What::FlowEnded(record) = seen.what
            && record.tcp.as_ref().is_some_and(|tcp| tcp.state == model::TcpState::Closed)
            && record.end == model::EndReason::Finished
            && channel.pauses.seen() >= ENOUGH
            && record.duration().as_secs_f64() > SESSION * channel.usual()
        {
            channel.state = State::Left;
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Out<'_>) {
        let was_blind = now.since(self.last_tick).as_secs() >= BLIND;
        self.last_tick = now;
        if was_blind {
            for channel in self.channels.seen_mut().filter(|channel| channel.state == State::Speaking) {
                channel.state = State::Unknown;
            }
        }
        if now < self.next {
            return;
        }
        self.next = now + std::time::Duration::from_secs(EVERY);
        let (mut speaking, mut silent) = (0, Vec::new());
        for channel in self.channels.seen_mut().filter(|channel| channel.pauses.seen() >= ENOUGH) {
            match channel.state {
                State::Speaking if channel.silence(now, out).is_some() => {
                    channel.state = State::Silent;
                    silent.push(&*channel);
                }
                State::Speaking => speaking += 1,
                State::Silent | State::Unknown | State::Left => {}
            }
        }
        let stops = silent.len() >= SEVERAL && silent.len() > speaking;
        let mut channels = silent;
        let watch = self.watch.unwrap_or(now);
        channels.retain(|channel| !stops && !channel.was_visit(watch) && channel.is_telling(now, out));
        for host in blame(&channels.iter().map(|channel| channel.ends).collect::<Vec<_>>()) {
            let mut of_host = channels.iter().filter(|channel| channel.ends.contains(&host));
            let count = of_host.clone().count();
            let Some(channel) = of_host.next() else { continue };
            let other = if channel.ends[0] == host { channel.ends[1] } else { channel.ends[0] };
            let (silence, usual) = (now.since(channel.last).as_secs_f64(), channel.usual());
            let severity = if is_industrial(&channel.protocol) { Severity::Medium } else { Severity::Low };
            let alarm = Alarm::about(host)
                .flow(channel.flow)
                .since(channel.last)
                .anomaly()
                .severity(severity)
                .factor("silence", format_args!("{silence:.0} s"), format_args!("{usual:.1} s"))
                .factor("longest pause before", "", format_args!("{:.0} s", channel.longest))
                .factor("channels that fell silent", count, 0);
            let protocol = &channel.protocol;
            out.raise(alarm, || {
                format!("{host} and {other} talked {protocol} every {usual:.0} s and have been silent for {silence:.0} s")
            });
        }
    }

    fn forget_channel(&mut self, channel: hosts::Channel) {
        self.channels.forget(channel);
    }

    fn save(&self) -> Option<Vec<u8>> {
        let several = |channel: &&Channel| channel.pauses.seen() > 1;
        to_bytes(&self.channels.iter().filter(several).collect::<Vec<_>>())
    }

    fn restore(&mut self, learnt: &[u8]) {
        for mut channel in from_bytes::<Vec<Channel>>(learnt).into_iter().flatten() {
            if channel.pauses.is_sane(ROOM) && channel.longest.is_finite() {
                channel.state = State::Unknown;
                self.channels.take_back(channel.key, channel, MAX_CHANNELS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DETECTOR;
    use crate::testing::{Story, answered};

    fn hosts() -> Story {
        ["10.0.0.5", "10.0.0.9", "10.0.0.10"].into_iter().fold(Story::of(&DETECTOR), Story::with_host)
    }

    /// A station that asks controllers every ten seconds or so.
    fn polls(mut story: Story, seconds: u64, controllers: &[&str], protocol: &'static str) -> Story {
        for round in 0..seconds / 10 {
            story = story.wait(9 + round % 3);
            for controller in controllers {
                story = story.flow(answered("10.0.0.5", controller, 502, protocol));
            }
        }
        story
    }

    #[test]
    fn who_falls_silent_is_told_while_others_go_on() {
        let story = polls(hosts(), 3000, &["10.0.0.9", "10.0.0.10"], "modbus");
        story.silent();
        let story = polls(story, 600, &["10.0.0.10"], "modbus");
        let finding = story.only();
        assert_eq!(finding.actor.to_string(), "10.0.0.9");
        assert_eq!(finding.count, 1);
        assert!(finding.raised.since(finding.first).as_secs() < 300);
        // It goes on as if nothing had been.
        let story = polls(story, 3000, &["10.0.0.9", "10.0.0.10"], "modbus");
        assert_eq!(story.findings().len(), 1);
    }

    #[test]
    fn nobody_is_told_of_when_the_sensor_is_silent_or_people_leave() {
        let story = polls(hosts(), 3000, &["10.0.0.9", "10.0.0.10"], "modbus").wait(7200);
        polls(story, 300, &["10.0.0.9", "10.0.0.10"], "modbus").silent();
        let story = polls(hosts(), 3000, &["10.0.0.9", "10.0.0.10"], "http");
        polls(story, 3000, &["10.0.0.10"], "http").silent();
    }

    #[test]
    fn whoever_comes_later_and_leaves_within_a_day_was_a_visitor() {
        let visit = |seconds| {
            let story = polls(hosts(), 3000, &["10.0.0.10"], "modbus");
            let story = polls(story, seconds, &["10.0.0.9", "10.0.0.10"], "modbus");
            polls(story, 3000, &["10.0.0.10"], "modbus")
        };
        visit(3000).silent();
        assert_eq!(visit(90_000).only().actor.to_string(), "10.0.0.9");
    }

    #[test]
    fn whoever_closes_a_long_session_has_left() {
        let mut story = polls(hosts(), 3000, &["10.0.0.9", "10.0.0.10"], "modbus");
        let mut session = answered("10.0.0.5", "10.0.0.9", 502, "modbus");
        session.last = session.first + std::time::Duration::from_secs(2900);
        story = story.flow(session);
        polls(story, 3000, &["10.0.0.10"], "modbus").silent();
    }

    #[test]
    fn whoever_comes_now_and_then_is_not_periodic() {
        let mut story = hosts();
        for _ in 0..30 {
            story = polls(story, 60, &["10.0.0.9"], "s7comm").wait(300);
        }
        polls(story, 6000, &["10.0.0.10"], "modbus").silent();
    }

    #[test]
    fn nights_are_learnt() {
        let mut story = hosts();
        for _ in 0..3 {
            // Eight hours of work; at night only the other one works.
            story = polls(story, 28_800, &["10.0.0.9", "10.0.0.10"], "modbus");
            story = polls(story, 57_600, &["10.0.0.10"], "modbus");
        }
        let findings = story.findings();
        // Only the first night could not be known.
        assert!(findings.iter().map(|finding| finding.count).sum::<u64>() <= 1, "{findings:#?}");
    }

    #[test]
    fn what_is_learnt_survives_a_restart() {
        let mut story = polls(hosts(), 3000, &["10.0.0.9", "10.0.0.10"], "modbus");
        let saved = story.detect().save();
        let mut other = hosts().wait(86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        let other = polls(other, 60, &["10.0.0.9", "10.0.0.10"], "modbus");
        other.silent();
        assert_eq!(polls(other, 600, &["10.0.0.10"], "modbus").only().actor.to_string(), "10.0.0.9");
    }
}
