//! A device that does not behave as it does: see [`DETECTOR`].

use model::{FlowRecord, Host, Severity, TcpState, Timestamp, Transport, What};
use serde::{Deserialize, Serialize};

use super::channel::key_of;
use crate::hosts::{Kept, MAX_HOSTS, Who};
use crate::judge::{Alarm, Out, Seen};
use crate::learn::{Damped, DampedPair, Hours, Reservoir, from_bytes, to_bytes};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds devices that do not behave as they do.
pub(super) const DETECTOR: Rule = Rule {
    id: "behaviour",
    title: "Unusual behaviour",
    severity: Severity::Medium,
    attack: &["T1020", "T0814", "T0846"],
    finds: "Several things that a device does in ten minutes are as they hardly ever were at once: how much it sends and \
            gets, with how many it talks and by how many ports, how long, and how often in vain. What it does not answer it \
            did not do, and if services that it always uses do not answer, trying again is no more than trying in vain: \
            somewhere a line is down. Questions for addresses and names do not count.",
    matters: "What an intruder does with a device differs from what the device does, even if no rule knows how: it sends \
              out data, attacks others or works for somebody else.",
    fix: "Look at the conversations of the device in that time, those with peers and ports that it rarely has first.",
    thresholds: &[
        Threshold {
            name: "level",
            about: "the share of all ten minutes that may be as unusual, all models taken together",
            unit: "",
            usual: 1e-4,
        },
        Threshold { name: "models", about: "so many models must agree", unit: "models", usual: 3.0 },
    ],
    listens: &[Kind::Ended, Kind::Tick],
    keeps: "12 KiB of each watched host",
    start: || Box::new(Behaviours { devices: Kept::default(), next: Timestamp::EPOCH }),
};

const LEVEL: usize = 0;
const MODELS: usize = 1;

/// What a device does is added up over so long, in seconds.
const SPAN: u64 = 600;
/// So many spans of a device are kept, and so many say what is usual.
const ROOM: usize = 256;
const ENOUGH: u64 = 144;
/// What was so long ago weighs half, in seconds.
const HALF_LIFE: f64 = 7.0 * 86_400.0;
/// So many peers and ports are told apart within a span.
const MAX_DIFFERENT: usize = 1024;
/// So many services that answered a device are remembered, the latest ones.
const MAX_SERVICES: usize = 32;
/// The EtherType of ARP (RFC 826).
const ARP: u16 = 0x0806;
/// Sums are compared as logarithms; a difference by a tenth is none.
const GRAIN: f64 = 0.1;

/// What is added up.
const FEATURES: [&str; 8] = [
    "bytes sent",
    "bytes received",
    "packets sent",
    "conversations",
    "peers",
    "ports",
    "failed conversations",
    "seconds of conversation",
];
const COUNT: usize = FEATURES.len();
/// The place of failed conversations.
const FAILED: usize = 6;
/// Features that go together: one is judged by the other.
const PAIRS: [(usize, usize); 2] = [(0, 1), (3, 4)];
/// Features, and pairs of them.
const ALL: usize = COUNT + PAIRS.len();

struct Behaviours {
    devices: Kept<Who, Behaviour>,
    next: Timestamp,
}

/// What one device does.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Behaviour {
    key: u64,
    host: Host,
    is_suspect: bool,
    /// The span that goes on, and what was added up in it.
    span: u64,
    #[serde(skip)]
    sums: [f64; COUNT],
    #[serde(skip)]
    peers: Vec<u64>,
    #[serde(skip)]
    ports: Vec<u16>,
    /// The ports at which it was answered in it.
    #[serde(skip)]
    answered: Vec<u16>,
    #[serde(skip)]
    shown: Vec<model::FlowId>,
    /// What is usual, once a span has ended.
    usual: Option<Box<Usual>>,
}

/// What is usual for a device: of each feature its mean and spread, how surprising it was, and how two go together.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Usual {
    features: [Damped; COUNT],
    pairs: [DampedPair; PAIRS.len()],
    surprises: Vec<Reservoir>,
    hours: Hours,
    /// The ports at which it was answered, in spans that are over.
    #[serde(default)]
    services: Vec<u16>,
}

impl Default for Usual {
    fn default() -> Self {
        Self {
            features: [Damped::default(); COUNT],
            pairs: [DampedPair::default(); PAIRS.len()],
            surprises: vec![Reservoir::default(); ALL],
            hours: Hours::default(),
            services: Vec::new(),
        }
    }
}

impl Usual {
    /// How surprising each feature, and each pair, is, in what is usual for it.
    fn surprises(&self, features: &[f64; COUNT]) -> [f64; ALL] {
        let mut surprises = [0.0; ALL];
        for (at, feature) in self.features.iter().enumerate() {
            // Doing less is no harm; who does nothing is found elsewhere.
            surprises[at] = (features[at] - feature.mean()).max(0.0) / feature.deviation().max(GRAIN);
        }
        for (at, ((one, other), pair)) in PAIRS.iter().zip(&self.pairs).enumerate() {
            if surprises[*one] > 0.0 || surprises[*other] > 0.0 {
                surprises[COUNT + at] = pair.surprise(features[*one], features[*other]);
            }
        }
        surprises
    }

    fn learn(&mut self, features: &[f64; COUNT], surprises: &[f64; ALL], at: Timestamp) {
        for (reservoir, surprise) in self.surprises.iter_mut().zip(surprises) {
            // Nothing is surprising before anything is known.
            if self.features[0].weight() >= 2.0 {
                reservoir.add(*surprise as f32, ROOM);
            }
        }
        for (feature, value) in self.features.iter_mut().zip(features) {
            feature.add(*value, at, HALF_LIFE);
        }
        for ((one, other), pair) in PAIRS.iter().zip(&mut self.pairs) {
            pair.add(features[*one], features[*other], at, HALF_LIFE);
        }
        self.hours.learn(at);
    }

    fn is_sane(&self) -> bool {
        self.features.iter().all(Damped::is_sane)
            && self.pairs.iter().all(DampedPair::is_sane)
            && self.surprises.len() == ALL
            && self.surprises.iter().all(|known| known.is_sane(ROOM))
            && self.services.len() <= MAX_SERVICES
    }

    /// Remembers that services at these ports answer the device.
    fn know(&mut self, ports: &[u16]) {
        for port in ports {
            if let Some(place) = self.services.iter().position(|known| known == port) {
                self.services[place..].rotate_left(1);
                continue;
            }
            if self.services.len() >= MAX_SERVICES {
                self.services.remove(0);
            }
            self.services.push(*port);
        }
    }

    fn tell(
        &self,
        host: Host,
        shares: &[(f64, usize)],
        features: &[f64; COUNT],
        joint: f64,
        flows: &[model::FlowId],
        out: &mut Out<'_>,
    ) {
        let mut alarm = Alarm::about(host).flows(flows).anomaly();
        let mut names = Vec::new();
        for (share, place) in shares {
            let feature = if *place < COUNT { *place } else { PAIRS[place - COUNT].1 };
            let name = FEATURES[feature];
            let usual = self.features[feature].mean().exp_m1();
            alarm = alarm.factor(
                name,
                format_args!("{:.0}", features[feature].exp_m1()),
                format_args!("{usual:.0} in ten minutes; as unusual in {:.4} % of them", 100.0 * share),
            );
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let names = names.join(", ");
        out.raise(alarm, || {
            format!(
                "{host} behaved in ten minutes as it does in one of {:.0}: {names}",
                1.0 / joint.max(1e-12)
            )
        });
    }
}

impl Behaviour {
    const fn new(key: u64, host: Host) -> Self {
        Self {
            key,
            host,
            is_suspect: false,
            span: 0,
            sums: [0.0; COUNT],
            peers: Vec::new(),
            ports: Vec::new(),
            answered: Vec::new(),
            shown: Vec::new(),
            usual: None,
        }
    }

    fn add(&mut self, record: &FlowRecord, is_client: bool, peer: u64) {
        let (sent, received) =
            if is_client { (record.sent, record.received) } else { (record.received, record.sent) };
        let failed = has_failed(record);
        let port = record.head.server.port;
        if failed {
            if !is_client {
                return;
            }
            if self.usual.as_ref().is_some_and(|usual| usual.services.contains(&port)) {
                self.sums[FAILED] += 1.0;
                return;
            }
        } else if is_client && self.answered.len() < MAX_SERVICES && !self.answered.contains(&port) {
            self.answered.push(port);
        }
        let more = [
            sent.bytes as f64,
            received.bytes as f64,
            sent.packets as f64,
            1.0,
            0.0,
            0.0,
            f64::from(u8::from(failed)),
            record.duration().as_secs_f64(),
        ];
        self.sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        if self.peers.len() < MAX_DIFFERENT && !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
        if self.ports.len() < MAX_DIFFERENT && !self.ports.contains(&port) {
            self.ports.push(port);
        }
        if self.shown.len() < 8 {
            self.shown.push(record.head.id);
        }
    }

    /// The span is over: its features as logarithms.
    fn close(&mut self) -> [f64; COUNT] {
        self.sums[4] = self.peers.len() as f64;
        self.sums[5] = self.ports.len() as f64;
        let features = self.sums.map(f64::ln_1p);
        self.sums = [0.0; COUNT];
        self.peers.clear();
        self.ports.clear();
        features
    }

    /// The span is over: what it was is judged, and learnt unless it was told or the device is suspected.
    fn judge(&mut self, at: Timestamp, out: &mut Out<'_>) {
        let flows = std::mem::take(&mut self.shown);
        let features = self.close();
        let usual = self.usual.get_or_insert_default();
        if !self.is_suspect {
            usual.know(&self.answered);
        }
        self.answered.clear();
        let surprises = usual.surprises(&features);
        if usual.surprises[0].seen() < ENOUGH {
            usual.learn(&features, &surprises, at);
            return;
        }
        let mut shares = [(1.0, 0); ALL];
        for (place, (known, surprise)) in usual.surprises.iter().zip(surprises).enumerate() {
            shares[place] = (known.p_value(surprise as f32, GRAIN), place);
        }
        shares.sort_by(|one, other| one.0.total_cmp(&other.0));
        let models = (out.limit(MODELS, &self.host) as usize).clamp(1, ALL);
        let joint = joint(&shares.map(|(share, _)| share), models);
        out.score(1.0 - joint, flows.first().copied(), Some(self.host));
        let is_unusual = joint <= out.limit(LEVEL, &self.host);
        if is_unusual && usual.hours.knows(at) {
            usual.tell(self.host, &shares[..models], &features, joint, &flows, out);
        }
        // Whoever is told of is believed after a while all the same: its mean moves a little each time.
        if !self.is_suspect && (!is_unusual || usual.surprises[0].seen().is_multiple_of(2)) {
            usual.learn(&features, &surprises, at);
        }
    }
}

/// Whether addresses or names are asked for. That follows from what a device does otherwise, and is asked again and again
/// where nobody knows; what is wrong with it has detectors of its own.
fn is_resolution(record: &FlowRecord) -> bool {
    record.head.transport == Transport::Ether(ARP) || record.protocol.as_deref() == Some("dns")
}

/// Whether the other end did not answer, or only to refuse.
fn has_failed(record: &FlowRecord) -> bool {
    !record.answered()
        || record.tcp.is_some_and(|tcp| matches!(tcp.state, TcpState::SynSent | TcpState::Refused))
}

/// A false-alarm rate from several of which `agree` must agree, however they depend on each other (B. Rüger,
/// Metrika 25, 1978): the share of the one that comes in that place, times how many there are for each that must agree.
fn joint(sorted: &[f64], agree: usize) -> f64 {
    let share = sorted.get(agree - 1).copied().unwrap_or(1.0);
    (share * sorted.len() as f64 / agree as f64).min(1.0)
}

impl Detector for Behaviours {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::FlowEnded(record) = seen.what else { return };
        if is_resolution(record) {
            return;
        }
        let (client, server) = (record.head.client.host, record.head.server.host);
        let [client_key, server_key] = seen.keys;
        for (who, host, peer, peer_key) in
            [(seen.client, client, server, server_key), (seen.server, server, client, client_key)]
        {
            // What is done to it by one who is known to be bad is told of that one, and is no habit of its own.
            if out.is_suspect(&peer) {
                continue;
            }
            self.take(who, host, peer_key, record, seen, out);
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Out<'_>) {
        if now < self.next {
            return;
        }
        self.next = Timestamp::from_secs((now.as_secs() / SPAN + 1) * SPAN);
        let span = now.as_secs() / SPAN;
        for device in self.devices.seen_mut() {
            if device.span < span && !device.shown.is_empty() {
                device.judge(Timestamp::from_secs(device.span.saturating_mul(SPAN)), out);
            }
            device.span = span;
            device.is_suspect = out.is_suspect(&device.host);
        }
    }

    fn forget(&mut self, who: Who) {
        self.devices.forget(who);
    }

    fn save(&self) -> Option<Vec<u8>> {
        to_bytes(&self.devices.iter().filter(|device| device.usual.is_some()).collect::<Vec<_>>())
    }

    fn restore(&mut self, learnt: &[u8]) {
        for device in from_bytes::<Vec<Behaviour>>(learnt).into_iter().flatten() {
            // What was added up until then is not the whole span and was not kept.
            if device.usual.as_ref().is_some_and(|usual| usual.is_sane()) {
                self.devices.take_back(device.key, device, MAX_HOSTS);
            }
        }
    }
}

impl Behaviours {
    fn take(&mut self, who: Who, host: Host, peer: u64, record: &FlowRecord, seen: &Seen<'_>, out: &Out<'_>) {
        if !who.is_somebody() || seen.site.is_external(&host) {
            return;
        }
        let device = self.devices.of_or(who, || key_of(&host), |key| Behaviour::new(key, host));
        device.span = seen.at.as_secs() / SPAN;
        device.is_suspect |= out.is_suspect(&host);
        let is_client = record.head.client.host == host;
        device.add(record, is_client, peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Story, answered, datagrams, unanswered};

    /// Camera traffic, a little different each time.
    fn days(mut story: Story, from: u64, to: u64) -> Story {
        for minute in from * 1440..to * 1440 {
            story = story.wait(60);
            let noise = minute.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
            story = story.flow(datagrams("10.0.0.5", "10.0.0.9", 5004, 20_000 + 40 * noise, 1000));
            if noise % 5 == 0 {
                story = story.flow(answered("10.0.0.5", "10.0.0.1", 443, "tls"));
            }
        }
        story
    }

    fn camera() -> Story {
        ["10.0.0.5", "10.0.0.9", "10.0.0.1"].into_iter().fold(Story::of(&DETECTOR), Story::with_host)
    }

    #[test]
    fn a_device_that_does_as_it_does_is_silent_and_one_that_attacks_is_told() {
        let mut story = days(camera(), 0, 3);
        story.silent();
        for second in 0..590_u32 {
            let target = format!("203.0.{}.{}", 113 + second / 250, second % 250 + 1);
            story = story.wait(1).flow(unanswered("10.0.0.5", &target, 23));
            story = story.flow(datagrams("10.0.0.5", &target, 1000 + second as u16, 500_000, 0));
        }
        let story = story.wait(600).flow(datagrams("10.0.0.9", "10.0.0.1", 53, 50, 50));
        let finding = story.only();
        assert_eq!(finding.actor.to_string(), "10.0.0.5");
        assert!(finding.factors.len() >= 3 && finding.conversations.len() == 8);
    }

    /// The line outside is down: names are asked for again and again, and so is the usual server.
    fn tries_in_vain(mut story: Story, port: u16) -> Story {
        for _ in 0..590 {
            story = story.wait(1).flow(unanswered("10.0.0.5", "10.0.0.1", port));
            story = story.flow(datagrams("10.0.0.5", "10.0.0.1", port, 400, 0));
        }
        story.wait(600).flow(datagrams("10.0.0.9", "10.0.0.1", 53, 50, 50))
    }

    #[test]
    fn who_tries_what_it_always_does_when_a_line_is_down_is_silent_and_so_is_who_does_not_answer() {
        tries_in_vain(days(camera(), 0, 3), 443).silent();
        // At a port at which it was never answered, the same is something else.
        let finding = tries_in_vain(days(camera(), 0, 3), 4444).only();
        assert_eq!(finding.actor.to_string(), "10.0.0.5");
    }

    #[test]
    fn addresses_and_names_that_are_asked_for_are_nothing_by_themselves() {
        let asks = |protocol: &'static str| {
            let mut story = days(camera(), 0, 3);
            for _ in 0..590 {
                let mut record = datagrams("10.0.0.5", "10.0.0.1", 53, 4000, 1000);
                record.protocol = Some(protocol.into());
                story = story.wait(1).flow(record);
            }
            story.wait(600).flow(datagrams("10.0.0.9", "10.0.0.1", 53, 50, 50))
        };
        asks("dns").silent();
        assert!(!asks("").findings().is_empty());
    }

    #[test]
    fn services_that_answer_are_remembered_the_latest_ones() {
        let mut usual = Usual::default();
        usual.know(&(1..=40).collect::<Vec<_>>());
        usual.know(&[20, 41]);
        assert_eq!((usual.services.len(), &usual.services[30..]), (MAX_SERVICES, &[20, 41][..]));
        assert!(!usual.services.contains(&9) && usual.is_sane());
    }

    #[test]
    fn what_a_scanner_does_to_a_device_is_told_of_the_scanner() {
        let detect = crate::judge::Detect::with(crate::settings::Settings::default(), |rule| {
            [DETECTOR.id, "host-scan"].contains(&rule.id)
        });
        let hosts = ["10.0.0.5", "10.0.0.9", "10.0.0.1", "10.0.0.66"];
        let mut story = days(hosts.into_iter().fold(Story::with(detect), Story::with_host), 0, 3);
        for last in 1..=40 {
            story = story.wait(1).flow(unanswered("10.0.0.66", &format!("10.0.1.{last}"), 80));
        }
        for number in 0..400_u16 {
            story = story.wait_ms(100).flow(datagrams("10.0.0.66", "10.0.0.5", 1000 + number, 5000, 90_000));
        }
        let story = story.wait(600).flow(datagrams("10.0.0.9", "10.0.0.1", 53, 50, 50));
        assert_eq!(story.only().detector, "host-scan");
    }

    #[test]
    fn the_joint_rate_holds_for_models_that_depend_on_each_other() {
        // All the same: three agree whenever one does.
        assert!(joint(&[0.01; 10], 3) >= 0.01);
        // Two of ten that are sure prove nothing where three must agree.
        assert_eq!(joint(&[1e-9, 1e-9, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0], 3), 1.0);
        assert!(joint(&[1e-9, 1e-9, 1e-6, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0], 3) < 1e-5);
    }

    #[test]
    fn what_is_learnt_survives_a_restart_and_nonsense_does_no_harm() {
        let mut story = days(camera(), 0, 2);
        let saved = story.detect().save();
        let mut other = camera().wait(3 * 86_400);
        assert!(other.detect().restore_learnt(saved[0].0, &saved[0].1));
        let again = other.detect().save();
        let mut third = camera().wait(3 * 86_400);
        third.detect().restore_learnt(again[0].0, &again[0].1);
        assert_eq!(third.detect().save(), again);
        assert!(again[0].1.len() > saved[0].1.len() / 2);
        for broken in [&b"\x01[1]"[..], b"\x01[{\"key\":1}]", b"", b"\x00"] {
            camera().detect().restore_learnt(saved[0].0, broken);
        }
    }
}
