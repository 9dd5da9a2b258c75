//! A network in simulated time: hosts, what they send, and a record of what is true.
//!
//! Actors are tasks in a queue. A task runs at its moment, moves the clock on as it speaks, and leaves
//! frames in a second queue; frames are handed out in order as soon as no task can put one before
//! them. So a scene of any length needs memory only for what is under way.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::{Locality, MacAddr, Role, Timestamp};

use crate::attacks::AttackStep;
use crate::bytes::{Put, build};
use crate::frame::{self, ACK, FIN, Ip, PSH, RST, SYN, Tcp};
use crate::rng::Rng;
use crate::truth::{Note, TrueConversation, TrueDevice, TrueStage};

pub(crate) const MICRO: u64 = 1_000;
pub(crate) const MILLI: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
/// Until the scene's end.
pub(crate) const EVER: u64 = u64::MAX;

/// How long a neighbour is remembered before it is asked for again.
const NEIGHBOUR_LIFE: u64 = 240 * SECOND;

/// What a conversation carries that has no protocol known to anybody, a worm's own say.
pub(crate) const NO_PROTOCOL: &str = "none";

/// A host of the network.
pub(crate) type HostId = usize;
/// A TCP connection of the network.
pub(crate) type ConnId = usize;
/// A stage of the attack that is played in the network.
pub(crate) type StageId = usize;

/// The system below a host's protocols; it shows in TTL, IP identifiers and TCP options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Os {
    Linux,
    Windows,
    Apple,
    /// A small system such as lwIP: no option but the segment size.
    Small,
    /// A controller's or switch's system with a TTL of 255.
    Control,
}

impl Os {
    fn ttl(self) -> u8 {
        match self {
            Self::Linux | Self::Apple | Self::Small => 64,
            Self::Windows => 128,
            Self::Control => 255,
        }
    }

    /// Sets "do not fragment" on TCP and numbers packets accordingly.
    fn df(self) -> bool {
        !matches!(self, Self::Small | Self::Control)
    }

    fn window(self) -> u16 {
        match self {
            Self::Linux => 64_240,
            Self::Windows => 64_240,
            Self::Apple => 65_535,
            Self::Small => 5_840,
            Self::Control => 8_192,
        }
    }

    /// Window scale, where the option is used (RFC 7323 section 2).
    fn scale(self) -> Option<u8> {
        match self {
            Self::Linux => Some(7),
            Self::Windows => Some(8),
            Self::Apple => Some(6),
            Self::Small | Self::Control => None,
        }
    }

    /// Whether timestamps are used (RFC 7323 section 3).
    fn timestamps(self) -> bool {
        matches!(self, Self::Linux | Self::Apple)
    }
}

/// A host: who it is, how its packets look, what it has done.
pub(crate) struct Host {
    pub(crate) truth: TrueDevice,
    pub(crate) mac: MacAddr,
    pub(crate) vlan: Option<u16>,
    pub(crate) v4: Option<Ipv4Addr>,
    /// A global address.
    pub(crate) v6: Option<Ipv6Addr>,
    pub(crate) os: Os,
    /// Routers between it and the link; 0 on the link.
    hops: u8,
    /// How long it takes to answer, in microseconds, from and to.
    delay_us: (u64, u64),
    ip_id: u16,
    next_port: u16,
    boot: u32,
    macs: BTreeSet<MacAddr>,
    ips: BTreeSet<IpAddr>,
    protocols: BTreeSet<&'static str>,
}

impl Host {
    /// A host on the link.
    pub(crate) fn new(name: &str, mac: &str, os: Os) -> Self {
        let truth = TrueDevice {
            name: name.into(),
            locality: Locality::OnLink,
            macs: Vec::new(),
            ips: Vec::new(),
            vendor: None,
            model: None,
            firmware: None,
            serial: None,
            hostname: None,
            os: None,
            roles: Vec::new(),
            protocols: Vec::new(),
        };
        let mac: MacAddr = mac.parse().unwrap_or_default();
        Self {
            truth,
            mac,
            vlan: None,
            v4: None,
            v6: None,
            os,
            hops: 0,
            delay_us: (150, 900),
            ip_id: 0,
            next_port: 0,
            boot: 0,
            macs: BTreeSet::new(),
            ips: BTreeSet::new(),
            protocols: BTreeSet::new(),
        }
    }

    /// A host beyond the router.
    pub(crate) fn beyond(name: &str, locality: Locality, ip: [u8; 4], os: Os) -> Self {
        let mut host = Self::new(name, "", os).at(ip);
        host.truth.locality = locality;
        let external = locality == Locality::External;
        host.hops = if external { 7 + ip[3] % 6 } else { 1 };
        host.delay_us = if external { (9_000, 26_000) } else { (700, 2_500) };
        host
    }

    pub(crate) fn at(mut self, ip: [u8; 4]) -> Self {
        self.v4 = Some(ip.into());
        self
    }

    /// A host outside that has an IPv6 address alone.
    pub(crate) fn beyond_v6(name: &str, ip: Ipv6Addr, os: Os) -> Self {
        let mut host = Self::beyond(name, Locality::External, [0; 4], os);
        (host.v4, host.v6) = (None, Some(ip));
        host
    }

    pub(crate) fn vlan(mut self, vlan: u16) -> Self {
        self.vlan = Some(vlan);
        self
    }

    pub(crate) fn slow(mut self, from_us: u64, to_us: u64) -> Self {
        self.delay_us = (from_us, to_us);
        self
    }

    pub(crate) fn vendor(mut self, text: &str) -> Self {
        self.truth.vendor = Some(text.into());
        self
    }

    pub(crate) fn model(mut self, text: &str) -> Self {
        self.truth.model = Some(text.into());
        self
    }

    pub(crate) fn firmware(mut self, text: &str) -> Self {
        self.truth.firmware = Some(text.into());
        self
    }

    pub(crate) fn serial(mut self, text: &str) -> Self {
        self.truth.serial = Some(text.into());
        self
    }

    pub(crate) fn hostname(mut self, text: &str) -> Self {
        self.truth.hostname = Some(text.into());
        self
    }

    pub(crate) fn os_name(mut self, text: &str) -> Self {
        self.truth.os = Some(text.into());
        self
    }

    pub(crate) fn roles(mut self, roles: &[Role]) -> Self {
        self.truth.roles = roles.to_vec();
        self
    }

    fn on_link(&self) -> bool {
        self.truth.locality == Locality::OnLink
    }

    /// Its link-local address, made from the link-layer address (RFC 4291 appendix A).
    pub(crate) fn link_local(&self) -> Ipv6Addr {
        self.slaac([0xfe80, 0, 0, 0])
    }

    /// The address it makes for itself in the net `prefix`.
    pub(crate) fn slaac(&self, prefix: [u16; 4]) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0;
        let half = |high, low| u16::from_be_bytes([high, low]);
        let [p, q, r, s] = prefix;
        Ipv6Addr::new(p, q, r, s, half(a ^ 2, b), half(c, 0xff), half(0xfe, d), half(e, f))
    }
}

/// One TCP connection. Index 0 is the client, 1 the server.
struct Conn {
    hosts: [HostId; 2],
    ends: [SocketAddr; 2],
    next: [u32; 2],
    /// Segments that a side has received and not acknowledged.
    owed: [u32; 2],
    /// Last timestamp value that a side has seen from the other.
    echo: [u32; 2],
    id: [u16; 2],
    timestamps: bool,
    scaled: bool,
    mss: usize,
    /// When it was last spoken on: nothing may go before.
    last: u64,
}

/// What runs at its time.
type Step = Box<dyn FnMut(&mut Net)>;

struct Task {
    at: u64,
    order: u64,
    period: Option<u64>,
    stage: Option<StageId>,
    step: Step,
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Task {}
impl PartialOrd for Task {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Task {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A frame on its way: its time, its order, the stage that sent it, its bytes.
type Queued = (u64, u64, Option<StageId>, Vec<u8>);

/// A stage of an attack: what its author says of it, who takes part, and the frames it has sent.
struct Stage {
    step: &'static AttackStep,
    hostile: bool,
    actor: HostId,
    victims: Vec<HostId>,
    /// On a CAN bus.
    identifiers: BTreeSet<u32>,
    times: Option<[u64; 2]>,
    packets: Vec<[u64; 2]>,
}

/// What a controller has answered to a station while it was recorded, to be answered again.
#[derive(Default)]
struct Recording {
    answers: Vec<Vec<u8>>,
    /// The stage on whose behalf it is played, and the next answer.
    playing: Option<(StageId, usize)>,
}

/// One host's IPv4 packets to another go by a third.
#[derive(Clone, Copy)]
pub(crate) struct Relay {
    pub(crate) from: HostId,
    pub(crate) to: HostId,
    pub(crate) by: HostId,
    /// Whether only those go by it that leave the link at `to`.
    pub(crate) beyond: bool,
    /// On whose behalf.
    pub(crate) stage: StageId,
}

/// The hours of the day, in UTC, in which something goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hours {
    from: u64,
    until: u64,
    weekends: bool,
}

impl Hours {
    /// From one hour until another, on every day; into the next day if `until` is the earlier.
    pub(crate) const fn daily(from: u64, until: u64) -> Self {
        Self { from, until, weekends: true }
    }

    /// From one hour until another, from Monday to Friday.
    pub(crate) const fn working(from: u64, until: u64) -> Self {
        Self { from, until, weekends: false }
    }

    /// Day and night.
    pub(crate) const ALWAYS: Self = Self::daily(0, 24);

    /// Whether a moment, in nanoseconds since 1970, lies in these hours.
    pub(crate) fn hold(self, at: u64) -> bool {
        let (hour, day) = (at / HOUR % 24, at / (24 * HOUR));
        // 1970 began with a Thursday.
        let weekend = (day + 3) % 7 >= 5;
        let now = if self.from <= self.until {
            (self.from..self.until).contains(&hour)
        } else {
            hour >= self.from || hour < self.until
        };
        now && (self.weekends || !weekend)
    }
}

/// Receives frames in order of time.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Timestamp, &[u8]) -> io::Result<()>;

/// The network.
pub(crate) struct Net {
    pub(crate) rng: Rng,
    /// The time of the task that runs, in nanoseconds since 1970. It moves on as the task speaks.
    pub(crate) clock: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) router: HostId,
    /// The router's address in each net.
    pub(crate) router_ips: BTreeMap<Option<u16>, Ipv4Addr>,
    pub(crate) hosts: Vec<Host>,
    owners: BTreeMap<IpAddr, HostId>,
    tasks: BinaryHeap<Reverse<Task>>,
    frames: BinaryHeap<Reverse<Queued>>,
    order: u64,
    pub(crate) packets: u64,
    neighbours: BTreeMap<(HostId, IpAddr), u64>,
    conns: Vec<Option<Conn>>,
    free: Vec<ConnId>,
    conversations: BTreeMap<(String, String, &'static str, u16, &'static str), u64>,
    pub(crate) silent: BTreeSet<IpAddr>,
    pub(crate) silent_macs: BTreeSet<MacAddr>,
    pub(crate) spoofed: BTreeSet<IpAddr>,
    pub(crate) notes: Vec<Note>,
    /// The stage on whose behalf the task that runs acts; none for the scene's own.
    stage: Option<StageId>,
    stages: Vec<Stage>,
    /// The attack's chance while the scene acts, and the scene's while the attack acts: what an attack
    /// draws does not change what the scene does.
    idle_rng: Rng,
    recordings: BTreeMap<[HostId; 2], Recording>,
    relays: Vec<Relay>,
}

impl Net {
    pub(crate) fn new(seed: u64, start: u64, end: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            stage: None,
            stages: Vec::new(),
            idle_rng: Rng::new(!seed),
            recordings: BTreeMap::new(),
            relays: Vec::new(),
            clock: start,
            start,
            end,
            router: 0,
            router_ips: BTreeMap::new(),
            hosts: Vec::new(),
            owners: BTreeMap::new(),
            tasks: BinaryHeap::new(),
            frames: BinaryHeap::new(),
            order: 0,
            packets: 0,
            neighbours: BTreeMap::new(),
            conns: Vec::new(),
            free: Vec::new(),
            conversations: BTreeMap::new(),
            silent: BTreeSet::new(),
            silent_macs: BTreeSet::new(),
            spoofed: BTreeSet::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a host. The first is the router.
    pub(crate) fn add(&mut self, mut host: Host) -> HostId {
        host.ip_id = self.rng.u16();
        host.next_port = match host.os {
            Os::Windows | Os::Apple => self.rng.range(49_152, 60_000) as u16,
            Os::Linux => self.rng.range(32_768, 55_000) as u16,
            Os::Small | Os::Control => self.rng.range(1_025, 5_000) as u16,
        };
        host.boot = self.rng.u32() >> 4;
        let id = self.hosts.len();
        for ip in host.v4.map(IpAddr::V4).into_iter().chain(host.v6.map(IpAddr::V6)) {
            self.owners.insert(ip, id);
        }
        if host.on_link() {
            self.owners.insert(host.link_local().into(), id);
        }
        self.hosts.push(host);
        id
    }

    /// Gives the router an address in a net.
    pub(crate) fn router_in(&mut self, vlan: Option<u16>, ip: [u8; 4]) {
        self.router_ips.insert(vlan, ip.into());
        self.owners.insert(IpAddr::V4(ip.into()), self.router);
    }

    /// Gives a host an address, in place of the one it had.
    pub(crate) fn assign(&mut self, host: HostId, ip: Ipv4Addr) {
        // Whoever asked for it in vain before would be answered now.
        self.silent.remove(&ip.into());
        self.hosts[host].v4 = Some(ip);
        self.owners.insert(ip.into(), host);
    }

    /// Gives a host a global address.
    pub(crate) fn assign6(&mut self, host: HostId, ip: Ipv6Addr) {
        self.hosts[host].v6 = Some(ip);
        self.owners.insert(ip.into(), host);
    }

    // ---- time

    /// Has `step` done once, `after` the beginning of the scene.
    pub(crate) fn once(&mut self, after: u64, step: impl FnOnce(&mut Self) + 'static) {
        let at = self.start + after;
        self.at(at, step);
    }

    /// Has `step` done once, `at` a moment.
    pub(crate) fn at(&mut self, at: u64, step: impl FnOnce(&mut Self) + 'static) {
        let mut step = Some(step);
        self.queue(at, None, Box::new(move |net| step.take().into_iter().for_each(|step| step(net))));
    }

    /// Has `step` done again and again, from `after` the beginning, every `period` give or take a
    /// twentieth.
    pub(crate) fn every(&mut self, after: u64, period: u64, step: impl FnMut(&mut Self) + 'static) {
        // Nobody begins on the full second.
        let at = self.start + after + self.rng.range(0, 80 * MILLI);
        self.queue(at, Some(period), Box::new(step));
    }

    /// Keeps a connection: `open` begins it, `act` is done on it every `period`, and `close` ends it
    /// before `until` (an offset from the beginning; the end of the scene if that is earlier).
    pub(crate) fn session<S: 'static>(
        &mut self,
        (after, until, period): (u64, u64, u64),
        open: impl FnOnce(&mut Self) -> S + 'static,
        mut act: impl FnMut(&mut Self, &mut S) + 'static,
        close: impl FnOnce(&mut Self, S) + 'static,
    ) {
        let until = self.start.saturating_add(until).min(self.end);
        let (mut open, mut close, mut state) = (Some(open), Some(close), None);
        self.every(after, period, move |net| {
            if let Some(open) = open.take() {
                state = Some(open(net));
            }
            let Some(live) = &mut state else { return };
            act(net, live);
            if net.clock + period + period / 10 >= until
                && let (Some(close), Some(live)) = (close.take(), state.take())
            {
                close(net, live);
            }
        });
    }

    /// As [`Self::every`], but only in these hours.
    pub(crate) fn every_in(
        &mut self,
        hours: Hours,
        after: u64,
        period: u64,
        mut step: impl FnMut(&mut Self) + 'static,
    ) {
        self.every(after, period, move |net| {
            if hours.hold(net.clock) {
                step(net);
            }
        });
    }

    /// As [`Self::session`], but the connection is closed at the end of these hours and opened again
    /// when they return.
    pub(crate) fn session_in<S: 'static>(
        &mut self,
        hours: Hours,
        (after, period): (u64, u64),
        mut open: impl FnMut(&mut Self) -> S + 'static,
        mut act: impl FnMut(&mut Self, &mut S) + 'static,
        mut close: impl FnMut(&mut Self, S) + 'static,
    ) {
        let mut state = None;
        let lasts = move |net: &Self| {
            let next = net.clock + period + period / 10;
            next < net.end && hours.hold(next)
        };
        self.every(after, period, move |net| {
            if state.is_none() && hours.hold(net.clock) && lasts(net) {
                state = Some(open(net));
            }
            let Some(live) = &mut state else { return };
            act(net, live);
            if !lasts(net)
                && let Some(live) = state.take()
            {
                close(net, live);
            }
        });
    }

    fn queue(&mut self, at: u64, period: Option<u64>, step: Step) {
        self.order += 1;
        let (at, stage) = (at.max(self.start), self.stage);
        self.tasks.push(Reverse(Task { at, order: self.order, period, stage, step }));
    }

    /// Runs the scene to its end.
    pub(crate) fn run(&mut self, sink: Sink<'_>) -> io::Result<()> {
        while let Some(Reverse(mut task)) = self.tasks.pop() {
            if task.at >= self.end {
                continue;
            }
            self.hand_out(task.at, sink)?;
            self.clock = task.at;
            self.stage = task.stage;
            let attack = task.stage.is_some();
            if attack {
                std::mem::swap(&mut self.rng, &mut self.idle_rng);
            }
            (task.step)(self);
            if let Some(period) = task.period {
                let jitter = period / 20;
                let next = task.at + period - jitter + self.rng.range(0, 2 * jitter + 1);
                self.queue(next.max(self.clock), Some(period), task.step);
            }
            if attack {
                std::mem::swap(&mut self.rng, &mut self.idle_rng);
            }
            self.stage = None;
        }
        self.hand_out(u64::MAX, sink)
    }

    fn hand_out(&mut self, before: u64, sink: Sink<'_>) -> io::Result<()> {
        while self.frames.peek().is_some_and(|Reverse((at, ..))| *at < before) {
            let Some(Reverse((at, _, stage, frame))) = self.frames.pop() else { break };
            self.packets += 1;
            if let Some(stage) = stage.and_then(|stage| self.stages.get_mut(stage)) {
                stage.times = Some([stage.times.map_or(at, |[first, _]| first), at]);
                match stage.packets.last_mut() {
                    Some([_, last]) if *last + 1 == self.packets => *last = self.packets,
                    _ => stage.packets.push([self.packets; 2]),
                }
            }
            sink(Timestamp::from_nanos(at), &frame)?;
        }
        Ok(())
    }

    /// Lets time pass.
    pub(crate) fn pause_us(&mut self, from: u64, to: u64) {
        self.clock += self.rng.range(from * MICRO, to * MICRO);
    }

    /// Lets the time pass that a host takes to answer.
    pub(crate) fn wait_for(&mut self, host: HostId) {
        let (from, to) = self.hosts[host].delay_us;
        self.pause_us(from, to);
    }

    // ---- truth

    /// Writes down something that happens.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(Note { at: Timestamp::from_nanos(self.clock), text: text.into() });
    }

    /// Writes down that a host speaks a protocol.
    pub(crate) fn speaks(&mut self, host: HostId, protocol: &'static str) {
        if protocol != NO_PROTOCOL {
            self.hosts[host].protocols.insert(protocol);
        }
    }

    /// Writes down a conversation that was answered.
    pub(crate) fn conversed(
        &mut self,
        client: HostId,
        server: HostId,
        service: (&'static str, u16, &'static str),
    ) {
        let (transport, port, protocol) = service;
        self.speaks(client, protocol);
        self.speaks(server, protocol);
        let names = [client, server].map(|host| self.hosts[host].truth.name.clone());
        let [client, server] = names;
        *self.conversations.entry((client, server, transport, port, protocol)).or_default() += 1;
    }

    /// Writes down that something was said to a group.
    pub(crate) fn announced(
        &mut self,
        host: HostId,
        group: IpAddr,
        service: (&'static str, u16, &'static str),
    ) {
        let (transport, port, protocol) = service;
        self.speaks(host, protocol);
        let key = (self.hosts[host].truth.name.clone(), group.to_string(), transport, port, protocol);
        *self.conversations.entry(key).or_default() += 1;
    }

    /// Writes down that a frame with this identifier was on the bus; nobody can tell who sent it.
    pub(crate) fn carried(&mut self, id: u32) {
        if let Some(stage) = self.stage.and_then(|stage| self.stages.get_mut(stage)) {
            stage.identifiers.insert(id);
        }
        let key = (format!("0x{id:03x}"), "bus".into(), "can", 0, "can");
        *self.conversations.entry(key).or_default() += 1;
    }

    /// The devices that sent something.
    pub(crate) fn true_devices(&self) -> Vec<TrueDevice> {
        let seen = self.hosts.iter().filter(|host| !host.macs.is_empty() || !host.ips.is_empty());
        seen.map(|host| TrueDevice {
            macs: host.macs.iter().copied().collect(),
            ips: host.ips.iter().copied().collect(),
            protocols: host.protocols.iter().map(|&id| id.into()).collect(),
            ..host.truth.clone()
        })
        .collect()
    }

    pub(crate) fn true_conversations(&self) -> Vec<TrueConversation> {
        let all = self.conversations.iter();
        all.map(|((client, server, transport, port, protocol), &count)| TrueConversation {
            client: client.clone(),
            server: server.clone(),
            transport: (*transport).into(),
            port: *port,
            protocol: (*protocol).into(),
            count,
        })
        .collect()
    }

    // ---- attacks

    /// Has an attack set up with the chance that attacks have.
    pub(crate) fn beset(&mut self, set_up: impl FnOnce(&mut Self)) {
        std::mem::swap(&mut self.rng, &mut self.idle_rng);
        set_up(self);
        std::mem::swap(&mut self.rng, &mut self.idle_rng);
    }

    /// Adds a stage to the attack.
    pub(crate) fn stage(
        &mut self,
        step: &'static AttackStep,
        hostile: bool,
        actor: HostId,
        victims: &[HostId],
    ) -> StageId {
        let (victims, identifiers) = (victims.to_vec(), BTreeSet::new());
        let packets = Vec::new();
        self.stages.push(Stage { step, hostile, actor, victims, identifiers, times: None, packets });
        self.stages.len() - 1
    }

    /// Does `act` on behalf of a stage: what it sends, and what the tasks send that it winds up, is the
    /// stage's.
    pub(crate) fn during<R>(&mut self, stage: StageId, act: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.stage.replace(stage);
        let result = act(self);
        self.stage = before;
        result
    }

    /// From now on what `server` answers to reads of `client` is recorded.
    pub(crate) fn record(&mut self, client: HostId, server: HostId) {
        self.recordings.insert([client, server], Recording::default());
    }

    /// From now on what was recorded is answered again, from the beginning when it is over.
    pub(crate) fn play_back(&mut self, client: HostId, server: HostId, stage: StageId) {
        if let Some(recording) = self.recordings.get_mut(&[client, server]) {
            recording.playing = (!recording.answers.is_empty()).then_some((stage, 0));
        }
    }

    /// What is answered in place of `answer` on a connection, and the stage that is to blame if it is not
    /// the truth.
    pub(crate) fn replay(&mut self, id: ConnId, answer: Vec<u8>) -> (Vec<u8>, Option<StageId>) {
        let hosts = self.conns.get(id).and_then(Option::as_ref).map(|conn| conn.hosts);
        let Some(recording) = hosts.and_then(|hosts| self.recordings.get_mut(&hosts)) else {
            return (answer, None);
        };
        match &mut recording.playing {
            None => {
                recording.answers.push(answer.clone());
                (answer, None)
            }
            Some((stage, next)) => {
                let old = recording.answers[*next % recording.answers.len()].clone();
                *next += 1;
                (old, Some(*stage))
            }
        }
    }

    /// From now on one host's packets to another go by a third.
    pub(crate) fn divert(&mut self, relay: Relay) {
        self.relays.push(relay);
    }

    /// From now on all packets go straight again.
    pub(crate) fn undivert(&mut self) {
        self.relays.clear();
    }

    /// A device is taken away, and another with the link-layer address `mac` put in its place: `host` is
    /// the new one from now on, called `name`.
    pub(crate) fn replace(&mut self, host: HostId, name: &str, mac: MacAddr) {
        let new = &mut self.hosts[host];
        let mut old = Host::new(&new.truth.name, "", new.os);
        old.truth = new.truth.clone();
        old.macs = std::mem::take(&mut new.macs);
        old.ips = std::mem::take(&mut new.ips);
        old.protocols = std::mem::take(&mut new.protocols);
        (new.truth.name, new.mac) = (name.into(), mac);
        self.hosts.push(old);
    }

    /// The host that the scene calls `name`. An attack names only hosts of the scenes it is for.
    pub(crate) fn host(&self, name: &str) -> HostId {
        let place = self.hosts.iter().position(|host| host.truth.name == name);
        place.unwrap_or_else(|| unreachable!("the scene has a host called {name}"))
    }

    /// Whether the scene has a host called `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host.truth.name == name)
    }

    /// The stages that have sent something, in the order in which they began.
    pub(crate) fn true_stages(&self) -> Vec<TrueStage> {
        let name = |host: HostId| self.hosts[host].truth.name.clone();
        let begun = self.stages.iter().filter_map(|stage| {
            let [first, last] = stage.times?;
            let devices = stage.victims.iter().map(|&host| name(host));
            let identifiers = stage.identifiers.iter().map(|id| format!("0x{id:03x}"));
            Some(TrueStage {
                name: stage.step.name.into(),
                about: stage.step.about.into(),
                techniques: stage.step.techniques.iter().map(|&id| id.into()).collect(),
                actor: name(stage.actor),
                victims: devices.chain(identifiers).collect(),
                hostile: stage.hostile,
                first: Timestamp::from_nanos(first),
                last: Timestamp::from_nanos(last),
                packets: stage.packets.clone(),
            })
        });
        let mut stages: Vec<_> = begun.collect();
        stages.sort_by_key(|stage| stage.packets.first().copied());
        stages
    }

    // ---- frames

    /// Puts a frame on the link now.
    pub(crate) fn emit(&mut self, frame: Vec<u8>) {
        self.order += 1;
        self.frames.push(Reverse((self.clock, self.order, self.stage, frame)));
        self.pause_us(4, 24);
    }

    /// Puts a frame on the link that `host` sends from `mac`, one of its own.
    pub(crate) fn emit_from(&mut self, host: HostId, mac: MacAddr, frame: Vec<u8>) {
        self.hosts[host].macs.insert(mac);
        self.emit(frame);
    }

    /// Sends an IP packet. Who has `dst` is found by its address; beyond the link goes by the router.
    fn ip(&mut self, from: HostId, src: IpAddr, dst: IpAddr, ip: Ip, protocol: u8, payload: &[u8]) {
        let to = self.owners.get(&dst).copied();
        let sender = &self.hosts[from];
        let router = self.hosts[self.router].mac;
        let (src_mac, mut vlan) = if sender.on_link() { (sender.mac, sender.vlan) } else { (router, None) };
        let dst_mac = match (frame::group_mac(dst), to.map(|to| &self.hosts[to])) {
            (Some(group), _) => group,
            (None, Some(host)) if host.on_link() => {
                vlan = if sender.on_link() { vlan } else { host.vlan };
                host.mac
            }
            _ => router,
        };
        // A router answers in the net it was asked in.
        if from == self.router
            && let IpAddr::V4(src) = src
        {
            vlan = self.router_ips.iter().find(|(_, ip)| **ip == src).map_or(vlan, |(vlan, _)| *vlan);
        }
        let ip = Ip { ttl: ip.ttl.saturating_sub(sender.hops), ..ip };
        let near = |host: HostId| if self.hosts[host].on_link() { host } else { self.router };
        let [leaves, arrives] = [near(from), to.map_or(self.router, near)];
        let relay = self.relays.iter().find(|relay| {
            let taken = src.is_ipv4() && !dst_mac.is_group() && !(relay.beyond && to == Some(relay.to));
            taken && (relay.from, relay.to) == (leaves, arrives)
        });
        let relay = relay.copied();
        if !src.is_unspecified() {
            self.hosts[from].ips.insert(src);
        }
        if self.hosts[from].on_link() {
            self.hosts[from].macs.insert(src_mac);
        }
        let (kind, packet) = frame::ip(src, dst, ip, protocol, payload);
        let Some(Relay { by, stage, .. }) = relay else {
            self.emit(frame::ethernet(dst_mac, src_mac, vlan, kind, &packet));
            return;
        };
        let between = self.hosts[by].mac;
        let ip = Ip { ttl: ip.ttl.saturating_sub(1), ..ip };
        let (_, passed_on) = frame::ip(src, dst, ip, protocol, payload);
        self.during(stage, |net| {
            net.emit(frame::ethernet(between, src_mac, vlan, kind, &packet));
            net.pause_us(60, 300);
            net.emit_from(by, between, frame::ethernet(dst_mac, between, vlan, kind, &passed_on));
        });
    }

    fn next_id(&mut self, host: HostId) -> u16 {
        let host = &mut self.hosts[host];
        host.ip_id = host.ip_id.wrapping_add(1);
        host.ip_id
    }

    /// An IP header as the host's system writes it.
    fn header(&mut self, host: HostId, df: bool) -> Ip {
        Ip { ttl: self.hosts[host].os.ttl(), id: self.next_id(host), df, tos: 0, alert: false }
    }

    /// Sends an IP packet with a TTL that the protocol demands instead of the system's own.
    pub(crate) fn raw(
        &mut self,
        from: HostId,
        (src, dst): (IpAddr, IpAddr),
        (ttl, alert): (u8, bool),
        protocol: u8,
        payload: &[u8],
    ) {
        let ip = Ip { ttl, alert, ..self.header(from, false) };
        self.ip(from, src, dst, ip, protocol, payload);
    }

    /// The address from which a host speaks to `dst`.
    pub(crate) fn source(&self, host: HostId, dst: IpAddr) -> IpAddr {
        let own = &self.hosts[host];
        let router_ip = || {
            let to = self.owners.get(&dst).map(|&to| self.hosts[to].vlan)?;
            self.router_ips.get(&to).copied()
        };
        match dst {
            IpAddr::V4(_) if host == self.router => {
                router_ip().or(own.v4).unwrap_or(Ipv4Addr::UNSPECIFIED).into()
            }
            IpAddr::V4(_) => own.v4.unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
            IpAddr::V6(ip) if ip.is_multicast() || ip.segments()[0] == 0xfe80 => own.link_local().into(),
            IpAddr::V6(_) => own.v6.unwrap_or(own.link_local()).into(),
        }
    }

    /// The address of `host` as `other` speaks to it.
    pub(crate) fn v4(&self, host: HostId, other: HostId) -> IpAddr {
        let near =
            if host == self.router { self.router_ips.get(&self.hosts[other].vlan).copied() } else { None };
        near.or(self.hosts[host].v4).unwrap_or(Ipv4Addr::UNSPECIFIED).into()
    }

    /// The TTL that a host's system begins with.
    pub(crate) fn ttl(&self, host: HostId) -> u8 {
        self.hosts[host].os.ttl()
    }

    /// Writes down that a host has shown an address to be its own.
    pub(crate) fn owns(&mut self, host: HostId, ip: IpAddr) {
        self.hosts[host].ips.insert(ip);
    }

    /// A host has learnt a neighbour's address otherwise than by asking.
    pub(crate) fn knows(&mut self, host: HostId, ip: IpAddr) {
        self.neighbours.insert((host, ip), self.clock + NEIGHBOUR_LIFE);
    }

    /// The next ephemeral port of a host.
    pub(crate) fn port(&mut self, host: HostId) -> u16 {
        let step = self.rng.range(1, 4) as u16;
        let host = &mut self.hosts[host];
        let low = if matches!(host.os, Os::Small | Os::Control) { 1_025 } else { 32_768 };
        host.next_port = host.next_port.checked_add(step).filter(|&port| port < 61_000).unwrap_or(low);
        host.next_port
    }

    /// Makes sure that a host knows the neighbour through which `dst` is reached: by ARP (RFC 826) or
    /// neighbour discovery (RFC 4861 section 7.2).
    pub(crate) fn meet(&mut self, from: HostId, dst: IpAddr) {
        if frame::group_mac(dst).is_some() {
            return;
        }
        let Some(&to) = self.owners.get(&dst) else { return };
        let (asker, asked) = match (self.hosts[from].on_link(), self.hosts[to].on_link()) {
            (true, true) => (from, to),
            (true, false) => (from, self.router),
            (false, _) => (self.router, to),
        };
        if asker == asked {
            return;
        }
        let (src, dst) = match dst {
            IpAddr::V4(_) => {
                let (asker_ip, asked_ip) = (self.v4(asker, asked), self.v4(asked, asker));
                (asker_ip, asked_ip)
            }
            IpAddr::V6(_) if asked == to => (self.source(asker, dst), dst),
            IpAddr::V6(_) => {
                let ip = self.hosts[asked].link_local();
                (self.source(asker, ip.into()), ip.into())
            }
        };
        let known = self.neighbours.get(&(asker, dst)).copied();
        if known.is_some_and(|until| until > self.clock) {
            return;
        }
        let until = self.clock + NEIGHBOUR_LIFE;
        self.neighbours.insert((asker, dst), until);
        self.neighbours.insert((asked, src), until);
        let macs = [asker, asked].map(|host| self.hosts[host].mac);
        let vlan = if asker == self.router { self.hosts[asked].vlan } else { self.hosts[asker].vlan };
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                // A neighbour that was known is asked alone first (RFC 1122 section 2.3.2.1).
                let to = if known.is_some() { macs[1] } else { MacAddr::BROADCAST };
                self.arp(asker, to, vlan, frame::arp(1, (macs[0], src), (MacAddr::default(), dst)));
                self.pause_us(60, 400);
                self.arp(asked, macs[0], vlan, frame::arp(2, (macs[1], dst), (macs[0], src)));
                self.hosts[asker].ips.insert(src.into());
                self.hosts[asked].ips.insert(dst.into());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                crate::speak::ndp::resolve(self, (asker, src), (asked, dst));
            }
            _ => {}
        }
        self.pause_us(20, 200);
    }

    /// Sends an ARP packet.
    pub(crate) fn arp(&mut self, from: HostId, to: MacAddr, vlan: Option<u16>, packet: Vec<u8>) {
        self.speaks(from, "arp");
        let mac = self.hosts[from].mac;
        self.emit_from(from, mac, frame::ethernet(to, mac, vlan, frame::ARP, &packet));
    }

    // ---- UDP

    /// Sends a datagram.
    pub(crate) fn udp(&mut self, from: HostId, src: SocketAddr, dst: SocketAddr, payload: &[u8]) {
        self.meet(from, dst.ip());
        let mut ip = self.header(from, false);
        if let IpAddr::V4(group) = dst.ip()
            && group.is_multicast()
        {
            // mDNS demands 255 (RFC 6762 section 11), SSDP goes a few hops, the rest stays on the link.
            ip.ttl = match dst.port() {
                5353 => 255,
                1900 | 3702 => 4,
                _ => 1,
            };
        } else if dst.port() == 5353 {
            ip.ttl = 255;
        }
        self.ip(from, src.ip(), dst.ip(), ip, frame::UDP, &frame::udp(src, dst, payload));
    }

    /// Asks and is answered over UDP from a fresh port.
    pub(crate) fn ask(
        &mut self,
        client: HostId,
        server: HostId,
        (port, protocol): (u16, &'static str),
        request: &[u8],
        answer: &[u8],
    ) {
        let from = self.port(client);
        self.ask_from(client, from, server, (port, protocol), &[(request, answer)]);
    }

    /// Asks and is answered over UDP, several times in one conversation.
    pub(crate) fn ask_from(
        &mut self,
        client: HostId,
        from: u16,
        server: HostId,
        (port, protocol): (u16, &'static str),
        exchanges: &[(&[u8], &[u8])],
    ) {
        let src = SocketAddr::new(self.v4(client, server), from);
        let dst = SocketAddr::new(self.v4(server, client), port);
        for (request, answer) in exchanges {
            self.udp(client, src, dst, request);
            self.wait_for(server);
            self.udp(server, dst, src, answer);
            self.wait_for(client);
        }
        self.conversed(client, server, ("udp", port, protocol));
    }

    /// Says something to a group or broadcast address.
    pub(crate) fn tell(
        &mut self,
        from: HostId,
        port: u16,
        group: SocketAddr,
        protocol: &'static str,
        payload: &[u8],
    ) {
        let src = SocketAddr::new(self.source(from, group.ip()), port);
        self.udp(from, src, group, payload);
        self.announced(from, group.ip(), ("udp", group.port(), protocol));
    }

    /// Sends one datagram to one host, as an answer to something said to a group.
    pub(crate) fn answer(
        &mut self,
        (from, port): (HostId, u16),
        (to, to_port): (HostId, u16),
        protocol: &'static str,
        payload: &[u8],
    ) {
        self.wait_for(from);
        let src = SocketAddr::new(self.v4(from, to), port);
        let dst = SocketAddr::new(self.v4(to, from), to_port);
        self.udp(from, src, dst, payload);
        self.speaks(from, protocol);
        self.speaks(to, protocol);
    }

    // ---- TCP

    fn tsval(&self, host: HostId) -> u32 {
        self.hosts[host].boot.wrapping_add(((self.clock - self.start) / MILLI) as u32)
    }

    fn syn_options(&self, conn: &Conn, side: usize, reply: bool) -> Vec<u8> {
        let host = conn.hosts[side];
        let os = self.hosts[host].os;
        let mss = if conn.ends[side].is_ipv4() { 1_460 } else { 1_440 };
        let stamps = os.timestamps() && (!reply || conn.timestamps);
        let scale = os.scale().filter(|_| !reply || conn.scaled);
        let sack = os.scale().is_some() && (!reply || conn.scaled);
        build(|options| {
            options.u8(2).u8(4).be16(mss);
            let stamp = |options: &mut Vec<u8>| {
                options.u8(8).u8(10).be32(self.tsval(host)).be32(conn.echo[side]);
            };
            match os {
                Os::Linux => {
                    match (sack, stamps) {
                        (true, true) => _ = options.u8(4).u8(2),
                        (true, false) => _ = options.put(&[1, 1, 4, 2]),
                        (false, true) => _ = options.put(&[1, 1]),
                        (false, false) => {}
                    }
                    if stamps {
                        stamp(options);
                    }
                    if let Some(scale) = scale {
                        options.u8(1).put(&[3, 3, scale]);
                    }
                }
                Os::Windows | Os::Apple => {
                    if let Some(scale) = scale {
                        options.u8(1).put(&[3, 3, scale]);
                    }
                    if stamps {
                        options.put(&[1, 1]);
                        stamp(options);
                    }
                    if sack {
                        options.put(if os == Os::Apple { &[4, 2, 0, 0] } else { &[1, 1, 4, 2] });
                    }
                }
                Os::Small | Os::Control => {}
            }
        })
    }

    /// Opens a connection over IPv4 that carries `protocol`.
    pub(crate) fn connect(
        &mut self,
        client: HostId,
        server: HostId,
        port: u16,
        protocol: &'static str,
    ) -> ConnId {
        let ends = [self.v4(client, server), self.v4(server, client)];
        self.connect_ips([client, server], ends, port, protocol)
    }

    /// Opens a connection over IPv6 that carries `protocol`.
    pub(crate) fn connect6(
        &mut self,
        client: HostId,
        (server, ip): (HostId, Ipv6Addr),
        port: u16,
        protocol: &'static str,
    ) -> ConnId {
        let ends = [self.source(client, ip.into()), ip.into()];
        self.connect_ips([client, server], ends, port, protocol)
    }

    fn connect_ips(
        &mut self,
        hosts: [HostId; 2],
        [src, dst]: [IpAddr; 2],
        port: u16,
        protocol: &'static str,
    ) -> ConnId {
        let ends = [SocketAddr::new(src, self.port(hosts[0])), SocketAddr::new(dst, port)];
        self.meet(hosts[0], dst);
        let [client, server] = hosts.map(|host| self.hosts[host].os);
        let mut conn = Conn {
            hosts,
            ends,
            next: [self.rng.u32(), self.rng.u32()],
            owed: [0; 2],
            echo: [0; 2],
            id: [self.rng.u16(), self.rng.u16()],
            timestamps: client.timestamps() && server.timestamps(),
            scaled: client.scale().is_some() && server.scale().is_some(),
            mss: if src.is_ipv4() { 1_460 } else { 1_440 },
            last: 0,
        };
        if conn.timestamps {
            conn.mss -= 12;
        }
        let options = self.syn_options(&conn, 0, false);
        self.segment(&mut conn, 0, SYN, &options, &[]);
        self.wait_for(hosts[1]);
        if conn.timestamps {
            conn.echo[1] = self.tsval(hosts[0]);
        }
        let options = self.syn_options(&conn, 1, true);
        self.segment(&mut conn, 1, SYN | ACK, &options, &[]);
        self.wait_for(hosts[0]);
        self.plain(&mut conn, 0, ACK, &[]);
        self.conversed(hosts[0], hosts[1], ("tcp", port, protocol));
        let id = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        self.conns[id] = Some(conn);
        id
    }

    /// Sends a segment with the options given.
    fn segment(&mut self, conn: &mut Conn, side: usize, flags: u8, options: &[u8], payload: &[u8]) {
        let host = conn.hosts[side];
        let os = self.hosts[host].os;
        let mut ip = self.header(host, os.df());
        if os == Os::Linux {
            conn.id[side] = conn.id[side].wrapping_add(1);
            ip.id = conn.id[side];
        }
        let window = match os.scale() {
            Some(scale) if conn.scaled && flags & SYN == 0 => os.window() >> scale,
            _ => os.window(),
        };
        let ack = if flags & ACK != 0 { conn.next[1 - side] } else { 0 };
        let header = Tcp { seq: conn.next[side], ack, flags, window: window.max(501), options };
        let (src, dst) = (conn.ends[side], conn.ends[1 - side]);
        let segment = frame::tcp(src, dst, header, payload);
        if conn.timestamps {
            conn.echo[1 - side] = self.tsval(host);
        }
        self.ip(host, src.ip(), dst.ip(), ip, frame::TCP, &segment);
        let taken = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        conn.next[side] = conn.next[side].wrapping_add(taken);
        conn.owed[side] = 0;
        conn.owed[1 - side] += u32::from(!payload.is_empty());
        conn.last = self.clock;
    }

    /// Sends a segment with the options that all but the first have.
    fn plain(&mut self, conn: &mut Conn, side: usize, flags: u8, payload: &[u8]) {
        let mut options = Vec::new();
        if conn.timestamps {
            options.put(&[1, 1, 8, 10]).be32(self.tsval(conn.hosts[side])).be32(conn.echo[side]);
        }
        self.segment(conn, side, flags, &options, payload);
    }

    fn with(&mut self, id: ConnId, act: impl FnOnce(&mut Self, &mut Conn)) {
        if let Some(mut conn) = self.conns.get_mut(id).and_then(Option::take) {
            self.clock = self.clock.max(conn.last);
            act(self, &mut conn);
            self.conns[id] = Some(conn);
        }
    }

    fn say(&mut self, id: ConnId, side: usize, bytes: &[u8]) {
        self.with(id, |net, conn| {
            if conn.owed[1 - side] > 0 {
                net.acknowledge(conn, 1 - side);
            }
            net.wait_for(conn.hosts[side]);
            let segments = bytes.chunks(conn.mss);
            let count = segments.len();
            for (number, segment) in segments.enumerate() {
                let push = if number + 1 == count { PSH } else { 0 };
                net.plain(conn, side, ACK | push, segment);
                if conn.owed[1 - side] == 2 {
                    net.pause_us(20, 90);
                    net.plain(conn, 1 - side, ACK, &[]);
                }
            }
        });
    }

    fn acknowledge(&mut self, conn: &mut Conn, side: usize) {
        let patient = matches!(self.hosts[conn.hosts[side]].os, Os::Linux | Os::Windows);
        if patient {
            self.pause_us(400, 41_000);
        } else {
            self.pause_us(80, 700);
        }
        self.plain(conn, side, ACK, &[]);
    }

    /// The client sends data.
    pub(crate) fn client_says(&mut self, id: ConnId, bytes: &[u8]) {
        self.say(id, 0, bytes);
    }

    /// The server sends data.
    pub(crate) fn server_says(&mut self, id: ConnId, bytes: &[u8]) {
        self.say(id, 1, bytes);
    }

    /// The client asks, the server answers, the client acknowledges.
    pub(crate) fn exchange(&mut self, id: ConnId, request: &[u8], answer: &[u8]) {
        self.say(id, 0, request);
        self.say(id, 1, answer);
        self.settle(id);
    }

    /// All data is acknowledged.
    pub(crate) fn settle(&mut self, id: ConnId) {
        self.with(id, |net, conn| {
            for side in [0, 1] {
                if conn.owed[side] > 0 {
                    net.acknowledge(conn, side);
                }
            }
        });
    }

    /// The client closes the connection, then the server.
    pub(crate) fn close(&mut self, id: ConnId) {
        self.settle(id);
        self.with(id, |net, conn| {
            net.plain(conn, 0, FIN | ACK, &[]);
            net.wait_for(conn.hosts[1]);
            net.plain(conn, 1, FIN | ACK, &[]);
            net.wait_for(conn.hosts[0]);
            net.plain(conn, 0, ACK, &[]);
        });
        self.forget(id);
    }

    fn forget(&mut self, id: ConnId) {
        if let Some(slot) = self.conns.get_mut(id) {
            *slot = None;
            self.free.push(id);
        }
    }

    /// A lone SYN, as a scanner makes it, to find out whether `dst` is `open`. Whoever has the address
    /// accepts, which the scanner breaks off, or refuses; where nobody has it, nothing comes back.
    pub(crate) fn probe(&mut self, from: HostId, dst: SocketAddr, seq: u32, open: bool) {
        let src = SocketAddr::new(self.source(from, dst.ip()), self.port(from));
        let owner = self.owners.get(&dst.ip()).copied();
        if owner.is_some() {
            self.meet(from, dst.ip());
        } else if !self.reach(from, dst.ip()) {
            return;
        }
        let os = self.hosts[from].os;
        let syn = Tcp { seq, ack: 0, flags: SYN, window: os.window(), options: &[2, 4, 0x05, 0xb4] };
        self.lone(from, src, dst, syn);
        let Some(host) = owner else { return };
        self.wait_for(host);
        let ack = seq.wrapping_add(1);
        if !open {
            self.lone(host, dst, src, Tcp { seq: 0, ack, flags: RST | ACK, window: 0, options: &[] });
            return;
        }
        let (other, window) = (self.rng.u32(), self.hosts[host].os.window());
        let accept = Tcp { seq: other, ack, flags: SYN | ACK, window, options: &[2, 4, 0x05, 0xb4] };
        self.lone(host, dst, src, accept);
        self.wait_for(from);
        self.lone(from, src, dst, Tcp { seq: ack, ack: 0, flags: RST, window: 0, options: &[] });
    }

    /// A host asks its link who has an address, and is told if somebody has it.
    pub(crate) fn who_has(&mut self, from: HostId, ip: Ipv4Addr) {
        if self.owners.contains_key(&ip.into()) {
            self.meet(from, ip.into());
        } else {
            self.reach(from, ip.into());
        }
    }

    /// A host turns to an address that nobody has: on its own link it asks for it in vain and can send
    /// nothing (false), else the router takes what it sends (true).
    fn reach(&mut self, from: HostId, dst: IpAddr) -> bool {
        self.silent.insert(dst);
        let IpAddr::V4(dst) = dst else { return true };
        let router = self.router;
        let near = |own: Ipv4Addr| own.octets()[..3] == dst.octets()[..3];
        let asker = if self.hosts[from].on_link() { from } else { router };
        let nets: Vec<_> = self.router_ips.iter().map(|(vlan, ip)| (*vlan, *ip)).collect();
        let Some(&(vlan, gateway)) = nets.iter().find(|(_, ip)| near(*ip)) else {
            self.meet(from, gateway_of(&nets, self.hosts[from].vlan).into());
            return true;
        };
        let own = if asker == router { gateway } else { self.hosts[asker].v4.unwrap_or(gateway) };
        if !near(own) {
            self.meet(from, gateway_of(&nets, self.hosts[from].vlan).into());
            return true;
        }
        let mac = self.hosts[asker].mac;
        self.owns(asker, own.into());
        let question = frame::arp(1, (mac, own), (MacAddr::default(), dst));
        self.arp(asker, MacAddr::BROADCAST, vlan, question);
        false
    }

    /// Sends a segment that belongs to no connection of the host's own.
    pub(crate) fn lone(&mut self, from: HostId, src: SocketAddr, dst: SocketAddr, tcp: Tcp<'_>) {
        let df = self.hosts[from].os.df();
        let header = self.header(from, df);
        self.ip(from, src.ip(), dst.ip(), header, frame::TCP, &frame::tcp(src, dst, tcp, &[]));
    }

    /// A SYN from a made-up address outside to `dst` inside, as it comes from the router. Who exists
    /// and is on the link refuses; others stay silent.
    pub(crate) fn spoofed_syn(&mut self, src: SocketAddr, dst: SocketAddr, ghost: Option<MacAddr>) {
        let router = self.router;
        let router_mac = self.hosts[router].mac;
        let (seq, id) = (self.rng.u32(), self.rng.u16());
        let syn = Tcp { seq, ack: 0, flags: SYN, window: 1_024, options: &[2, 4, 0x05, 0xb4] };
        let ttl = self.rng.range(41, 58) as u8;
        let ip = Ip { ttl, id, df: false, tos: 0, alert: false };
        let packet = frame::ip(src.ip(), dst.ip(), ip, frame::TCP, &frame::tcp(src, dst, syn, &[]));
        let owner = self.owners.get(&dst.ip()).copied();
        let Some(host) = owner else {
            self.silent.insert(dst.ip());
            if let Some(mac) = ghost {
                self.silent_macs.insert(mac);
                self.spoofed.insert(src.ip());
                self.emit_from(
                    router,
                    router_mac,
                    frame::ethernet(mac, router_mac, None, packet.0, &packet.1),
                );
            } else if let (Some(&own), IpAddr::V4(dst)) = (self.router_ips.get(&None), dst.ip()) {
                let question = frame::arp(1, (router_mac, own), (MacAddr::default(), dst));
                self.hosts[router].ips.insert(own.into());
                self.arp(router, MacAddr::BROADCAST, None, question);
            }
            return;
        };
        self.meet(router, dst.ip());
        let (mac, vlan) = (self.hosts[host].mac, self.hosts[host].vlan);
        self.spoofed.insert(src.ip());
        self.emit_from(router, router_mac, frame::ethernet(mac, router_mac, vlan, packet.0, &packet.1));
        self.wait_for(host);
        let refusal = Tcp { seq: 0, ack: seq.wrapping_add(1), flags: RST | ACK, window: 0, options: &[] };
        let header = self.header(host, self.hosts[host].os.df());
        self.ip(host, dst.ip(), src.ip(), header, frame::TCP, &frame::tcp(dst, src, refusal, &[]));
    }
}

/// The router's address in a net, or in the untagged one.
fn gateway_of(nets: &[(Option<u16>, Ipv4Addr)], vlan: Option<u16>) -> Ipv4Addr {
    let own = nets.iter().find(|(net, _)| *net == vlan).or(nets.first());
    own.map_or(Ipv4Addr::UNSPECIFIED, |(_, ip)| *ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_day_and_of_the_week() {
        // 2026-03-02, a Monday, 00:00 UTC.
        const MONDAY: u64 = 1_772_409_600 * SECOND;
        let at = |day: u64, hour: u64| MONDAY + (24 * day + hour) * HOUR;
        let work = Hours::working(7, 18);
        assert!(work.hold(at(0, 7)) && work.hold(at(4, 18) - 1));
        assert!(!work.hold(at(0, 7) - 1) && !work.hold(at(0, 18)));
        assert!(!work.hold(at(5, 12)) && !work.hold(at(6, 12)) && work.hold(at(7, 12)));
        let night = Hours::daily(22, 6);
        assert!(night.hold(at(5, 23)) && night.hold(at(6, 5)) && !night.hold(at(6, 6)));
    }
}
