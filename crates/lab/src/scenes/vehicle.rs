//! A car, seen from its gateway: the bus on which its control units tell each other what they measure, and the
//! Ethernet over which telematics and infotainment reach the outside. On working days it goes to work and back,
//! at weekends out in the afternoon; parked, its bus sleeps.

use model::{Locality, Role};

use super::common::{cloud, dial, visit};
use crate::net::{Host, HostId, Hours, MICRO, MILLI, MINUTE, Net, Os, SECOND};
use crate::speak::can::{self, Bus};
use crate::speak::tls::Style;
use crate::speak::{icmp, link, ntp};

/// When the car is driven.
const MORNING: Hours = Hours::working(8, 9);
const AFTERNOON: Hours = Hours::daily(17, 18);

/// How often the bus is looked after, in nanoseconds: the shortest period.
const TICK: u64 = 10 * MILLI;
/// The same in seconds.
const STEP: f64 = 0.01;

/// Puts everybody in place and winds their clocks.
pub(crate) fn set_up(net: &mut Net) {
    let ethernet = Ethernet::build(net);
    ethernet.come_up(net);
    ethernet.outside(net);
    let at = net.start + 300 * MILLI;
    net.at(at, move |net| tick(net, Car::default(), at));
}

fn driven(at: u64) -> bool {
    MORNING.hold(at) || AFTERNOON.hold(at)
}

/// Moves the car on and has its control units speak; then again in a moment.
fn tick(net: &mut Net, mut car: Car, at: u64) {
    let goes = driven(at);
    if goes || car.speed > 0.0 {
        car.drive(net, goes);
        car.speak(net, at);
    } else {
        car = Car { odometer: car.odometer, fuel: car.fuel, ..Car::default() };
    }
    // Asleep, it looks every second whether somebody opens the door.
    let next = if car.ticks == 0 { at + SECOND } else { at + TICK };
    net.at(next, move |net| tick(net, car, next));
}

/// What a control unit tells: its identifier, its period in ticks, and its data without counter and check.
type Signal = (u32, u64, fn(&Car) -> [u8; 6]);

/// All identifiers, the most urgent first, as the bus has them.
const SIGNALS: [Signal; 12] = [
    // Engine: revolutions in quarters, pedal, torque.
    (0x0c9, 1, |car| {
        let [high, low] = ((car.revolutions * 4.0) as u16).to_be_bytes();
        [high, low, (car.pedal * 2.5) as u8, (car.pedal * 2.2) as u8, car.gear, 0]
    }),
    // Brakes: the pressure in tenths of a bar, and whether the pedal is down.
    (0x0d1, 2, |car| {
        let [high, low] = ((car.pressure * 10.0) as u16).to_be_bytes();
        [high, low, u8::from(car.pressure > 1.0), 0, 0, 0]
    }),
    // Brakes: the speeds of the wheels, in hundredths of km/h, front and rear.
    (0x0d4, 2, |car| {
        let [left, right, rear] = car.wheels().map(|speed| ((speed * 100.0) as u16).to_be_bytes());
        [left[0], left[1], right[0], right[1], rear[0], rear[1]]
    }),
    // Steering: the angle of the wheel in tenths of a degree, and how fast it turns.
    (0x0e5, 2, |car| {
        let [high, low] = ((car.angle * 10.0) as i16).to_be_bytes();
        let [fast, slow] = ((car.turning * 10.0) as i16).to_be_bytes();
        [high, low, fast, slow, 0, 0]
    }),
    // Gearbox.
    (0x1f5, 5, |car| [car.gear, if car.speed > 0.0 { 4 } else { 1 }, 0, 0, 0, 0]),
    // Gateway: the speed for the dashboard, in hundredths of km/h.
    (0x3e9, 10, |car| {
        let [high, low] = ((car.speed * 3.6 * 100.0) as u16).to_be_bytes();
        [high, low, 0, 0, 0, 0]
    }),
    // Body: doors, lights, wipers.
    (0x3f1, 20, |car| [0, u8::from(car.ticks > 200) | u8::from(car.blinks()) << 4, 0, 0, 0, 0]),
    // Infotainment: volume and what is shown.
    (0x420, 50, |_| [14, 3, 0, 0, 0, 0]),
    // Engine: temperatures with an offset of 40, and fuel.
    (0x4c1, 100, |car| [(car.warm + 40.0) as u8, 58, (car.fuel * 2.55) as u8, 0, 0, 0]),
    // Gateway: the odometer in metres.
    (0x4d1, 100, |car| {
        let [a, b, c, d] = (car.odometer as u32).to_be_bytes();
        [a, b, c, d, 0, 0]
    }),
    // Telematics: the network's strength.
    (0x51a, 100, |car| [1, 70 + (car.ticks / 900 % 7) as u8, 0, 0, 0, 0]),
    // Gateway: who stays awake.
    (0x5f0, 100, |_| [0xff, 0x7f, 0, 0, 0, 0]),
];

/// What is true of the car at this moment.
struct Car {
    /// Ticks since it woke.
    ticks: u64,
    /// Metres per second.
    speed: f64,
    /// What the driver wants, in metres per second, and for how many ticks.
    wanted: f64,
    patience: u64,
    /// Degrees of the steering wheel, where the road wants it, and degrees per second.
    angle: f64,
    bend: f64,
    turning: f64,
    /// Per cent.
    pedal: f64,
    /// Bar.
    pressure: f64,
    gear: u8,
    /// Per minute.
    revolutions: f64,
    /// Degrees Celsius of the coolant.
    warm: f64,
    /// Per cent.
    fuel: f64,
    /// Metres.
    odometer: f64,
    /// Frames so far, by identifier.
    counters: [u8; SIGNALS.len()],
    bus: Bus,
}

impl Default for Car {
    fn default() -> Self {
        Self {
            ticks: 0,
            speed: 0.0,
            wanted: 0.0,
            patience: 0,
            angle: 0.0,
            bend: 0.0,
            turning: 0.0,
            pedal: 0.0,
            pressure: 0.0,
            gear: 0,
            revolutions: 0.0,
            warm: 12.0,
            fuel: 71.0,
            odometer: 48_211_604.0,
            counters: [0; SIGNALS.len()],
            bus: Bus::default(),
        }
    }
}

/// Moves a value by a share of its way to another.
fn approach(value: &mut f64, to: f64, share: f64) {
    *value += (to - *value) * share;
}

impl Car {
    /// One tick of driving; at the end of a trip the driver stops.
    fn drive(&mut self, net: &mut Net, goes: bool) {
        /// Ticks until it sets off.
        const START: u64 = 300;
        let noise = (f64::from(net.rng.u8()) - 127.5) / 127.5;
        self.ticks += 1;
        if self.patience == 0 {
            const SPEEDS: [f64; 6] = [0.0, 30.0, 50.0, 50.0, 70.0, 100.0];
            self.patience = net.rng.range(600, 3_500);
            self.wanted = SPEEDS[net.rng.range(0, 6) as usize] / 3.6;
            // Only slow cars turn.
            let turns = self.wanted > 0.0 && self.wanted < 15.0 && net.rng.u8() < 110;
            let far = net.rng.range(40, 220) as f64;
            self.bend = if !turns {
                0.0
            } else if noise < 0.0 {
                -far
            } else {
                far
            };
        }
        self.patience -= 1;
        if !goes || self.ticks < START {
            self.wanted = 0.0;
        }
        let thrust = ((self.wanted - self.speed) * 0.4).clamp(-2.8, 1.6);
        self.speed = (self.speed + thrust * STEP).max(0.0);
        if self.wanted == 0.0 && self.speed < 0.05 {
            self.speed = 0.0;
        }
        let (pedal, pressure) = match thrust {
            ..-0.2 => (0.0, -14.0 * thrust),
            _ if self.speed > 0.0 => ((10.0 + 0.6 * self.speed + 28.0 * thrust).clamp(0.0, 100.0), 0.0),
            // It stands with a foot on the brake.
            _ => (0.0, 9.0),
        };
        approach(&mut self.pedal, pedal, 0.08);
        approach(&mut self.pressure, pressure, 0.12);
        // Revolutions per minute for each metre per second.
        let ratio;
        (self.gear, ratio) = match self.speed {
            ..0.1 => (0, 0.0),
            ..4.5 => (1, 450.0),
            ..9.0 => (2, 250.0),
            ..14.0 => (3, 165.0),
            ..19.0 => (4, 125.0),
            ..25.0 => (5, 100.0),
            _ => (6, 80.0),
        };
        approach(&mut self.revolutions, (self.speed * ratio).max(780.0) + 6.0 * noise, 0.1);
        let before = self.angle;
        approach(&mut self.angle, self.bend + 4.0 * noise, 0.012);
        self.turning = (self.angle - before) / STEP;
        approach(&mut self.warm, 90.0, 0.000_03);
        self.fuel -= (0.000_2 + self.pedal * 0.000_04) * STEP;
        self.odometer += self.speed * STEP;
    }

    /// The speeds of the front wheels, left and right, and of the rear ones, in km/h: in a bend the inner
    /// wheel is the slower.
    fn wheels(&self) -> [f64; 3] {
        /// The car's width and length between its wheels, in metres, and how far the steering wheel is geared down.
        const TRACK: f64 = 1.5;
        const BASE: f64 = 2.7;
        const STEERING: f64 = 15.0;
        let lean = (self.angle / STEERING).to_radians().tan() * TRACK / (2.0 * BASE);
        let speed = self.speed * 3.6;
        [speed * (1.0 + lean), speed * (1.0 - lean), speed]
    }

    fn blinks(&self) -> bool {
        self.angle.abs() > 35.0 && (self.ticks / 35).is_multiple_of(2)
    }

    /// The control units say what is due.
    fn speak(&mut self, net: &mut Net, at: u64) {
        for (index, (id, period, tell)) in SIGNALS.into_iter().enumerate() {
            // Not all at once.
            if (self.ticks + index as u64).is_multiple_of(period) {
                net.clock = at + net.rng.range(0, 120 * MICRO);
                let data = can::protected(id, tell(self), self.counters[index]);
                self.counters[index] = (self.counters[index] + 1) % 15;
                self.bus.send(net, id, data);
            }
        }
    }
}

/// What of the car speaks Ethernet, and who is outside.
#[derive(Clone, Copy)]
struct Ethernet {
    modem: HostId,
    telematics: HostId,
    infotainment: HostId,
    manufacturer: HostId,
    music: HostId,
    time: HostId,
}

impl Ethernet {
    fn build(net: &mut Net) -> Self {
        let modem = net.add(
            Host::new("modem", "00:80:25:41:7c:01", Os::Linux)
                .at([192, 168, 225, 1])
                .vendor("Telit Wireless Solutions")
                .roles(&[Role::Router, Role::DnsServer]),
        );
        net.router_in(None, [192, 168, 225, 1]);
        let external = |name: &str, ip: [u8; 4], roles: &[Role]| {
            Host::beyond(name, Locality::External, ip, Os::Linux).roles(roles)
        };
        Self {
            modem,
            telematics: net.add(
                Host::new("telematics", "00:1e:ae:70:12:20", Os::Linux)
                    .at([192, 168, 225, 20])
                    .vendor("Continental Automotive Systems")
                    .roles(&[Role::Ecu]),
            ),
            infotainment: net.add(
                Host::new("infotainment", "00:1e:b2:0d:51:30", Os::Linux)
                    .at([192, 168, 225, 30])
                    .vendor("LG Innotek")
                    .roles(&[Role::Media]),
            ),
            manufacturer: net.add(external("manufacturer", [203, 0, 113, 201], &[Role::Server])),
            music: net.add(external("music", [198, 51, 100, 62], &[Role::Server])),
            time: net.add(external("time", [198, 51, 100, 123], &[Role::TimeServer])),
        }
    }

    fn come_up(self, net: &mut Net) {
        for (index, host) in [self.telematics, self.infotainment].into_iter().enumerate() {
            net.once((1 + index as u64) * SECOND, move |net| link::announce(net, host));
        }
    }

    /// Telematics is always there, infotainment while the car is driven.
    fn outside(self, net: &mut Net) {
        let telemetry = dial(Style::Program, "telemetry.manufacturer.example", "Manufacturer", 8883);
        let music = dial(Style::Program, "cdn.music.example", "Music", 443);
        for hours in [MORNING, AFTERNOON] {
            let ends = (self.modem, self.telematics, self.manufacturer);
            cloud(net, hours, ends, (5, 5), telemetry, (900, 60));
            cloud(net, hours, (self.modem, self.infotainment, self.music), (9, 8), music, (260, 24_000));
            net.every_in(hours, 8 * SECOND, 2 * MINUTE, move |net| {
                ntp::ask(net, self.telematics, self.time);
            });
        }
        let state = dial(Style::Program, "car.manufacturer.example", "Manufacturer", 443);
        net.every(20 * SECOND, 10 * MINUTE, move |net| {
            visit(net, (self.modem, self.telematics, self.manufacturer), state, (400, 900));
        });
        net.every(50 * SECOND, 5 * MINUTE, move |net| icmp::ping(net, self.infotainment, self.modem, 2));
    }
}
