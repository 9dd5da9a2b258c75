//! A vehicle's bus (ISO 11898-1) with control units on it. The kernel may have no CAN interfaces, so frames go through a socket of
//! the file system, and what was on the bus is a capture on standard output, as an adapter writes it.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::Stop;
use crate::drills::clock::now;
use crate::run::Done;

/// Link type of captures of SocketCAN (LINKTYPE_CAN_SOCKETCAN).
const LINK_TYPE: u32 = 227;
/// The bus is looked after so often.
const TICK: Duration = Duration::from_millis(5);
/// What control units say by themselves: identifier and period in ticks.
const SIGNALS: [(u32, u64); 5] = [(0x0c9, 2), (0x0d1, 4), (ANGLE, 4), (0x3e9, 20), (0x4c1, 200)];
/// The steering's sensor.
const ANGLE: u32 = 0x0e5;
/// Where the gateway and the brakes are asked; they answer 8 above.
const GATEWAY: u32 = 0x740;
const BRAKES: u32 = 0x760;
/// A steering angle that no driver chose, in tenths of a degree.
const WRENCHED: u16 = 1_800;

/// A frame: identifier and data.
type Frame = (u32, [u8; 8]);

/// What an attacker does on the bus.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Attack {
    /// Has the gateway take a new program
    Reflash,
    /// Lets go of the brakes
    Brakes,
    /// Says under the steering sensor's identifier what it does not
    Steering,
}

/// The bus: what is sent to the socket and what control units say themselves is put out; what an attack achieved is said on
/// standard error.
pub(super) fn run(path: &Path, stop: &Stop) -> Done {
    let socket = UnixDatagram::bind(path)?;
    let (sender, frames) = channel();
    std::thread::spawn(move || receive(&socket, &sender));
    let mut bus = Bus { out: io::stdout().lock(), gateway: 0, counters: [0; SIGNALS.len()] };
    // The header of a capture with times in nanoseconds: version 2.4, no time zone, frames of any length.
    let mut head = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
    head.extend([2, 0, 4, 0]);
    head.extend([0; 8]);
    head.extend(65_535_u32.to_le_bytes());
    head.extend(LINK_TYPE.to_le_bytes());
    bus.out.write_all(&head)?;
    eprintln!("ready");
    for tick in 0.. {
        if !stop.pace(Duration::ZERO) {
            return Ok(());
        }
        bus.tick(tick, &frames)?;
    }
    Ok(())
}

fn receive(socket: &UnixDatagram, frames: &Sender<Frame>) {
    let mut bytes = [0; 12];
    while let Ok(count) = socket.recv(&mut bytes) {
        let [a, b, c, d, data @ ..] = bytes;
        if count == bytes.len() && frames.send((u32::from_be_bytes([a, b, c, d]), data)).is_err() {
            return;
        }
    }
}

struct Bus<W> {
    out: W,
    /// Parts of a program that the gateway has taken.
    gateway: u32,
    counters: [u8; SIGNALS.len()],
}

impl<W: Write> Bus<W> {
    /// One round: who is due speaks, and until the next one others do.
    fn tick(&mut self, tick: u64, frames: &Receiver<Frame>) -> io::Result<()> {
        for (place, (id, period)) in SIGNALS.into_iter().enumerate() {
            if tick.is_multiple_of(period) {
                let counter = &mut self.counters[place];
                *counter = (*counter + 1) % 15;
                let data = [0, 20, 0, 0, 0, 0, *counter, *counter ^ 0x5a];
                self.put((id, data))?;
            }
        }
        let end = Instant::now() + TICK;
        while let Ok(frame) = frames.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.put(frame)?;
            self.hear(frame)?;
        }
        self.out.flush()
    }

    /// Control units hear what is on the bus, and answer (ISO 14229-1).
    fn hear(&mut self, (id, data): Frame) -> io::Result<()> {
        match (id, data) {
            (GATEWAY, [_, 0x36, ..]) => {
                self.gateway += 1;
                self.put((GATEWAY + 8, [2, 0x76, data[2], 0, 0, 0, 0, 0]))
            }
            (GATEWAY, [_, 0x37, ..]) => {
                eprintln!("gateway reflashed with {} parts", self.gateway);
                self.put((GATEWAY + 8, [1, 0x77, 0, 0, 0, 0, 0, 0]))
            }
            (BRAKES, [_, 0x2f, ..]) => {
                eprintln!("brakes released");
                self.put((BRAKES + 8, [4, 0x6f, 0x20, 0x11, 3, 0, 0, 0]))
            }
            (GATEWAY | BRAKES, [_, service, kind, ..]) => {
                self.put((id + 8, [2, service | 0x40, kind, 0, 0, 0, 0, 0]))
            }
            (ANGLE, [high, low, ..]) if u16::from_be_bytes([high, low]) == WRENCHED => {
                eprintln!("steering wrenched");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Puts a frame into the capture.
    fn put(&mut self, (id, data): Frame) -> io::Result<()> {
        let at = now();
        let length = 16_u32;
        let words = [(at / 1_000_000_000) as u32, (at % 1_000_000_000) as u32, length, length];
        for word in words {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&id.to_be_bytes())?;
        self.out.write_all(&[8, 0, 0, 0])?;
        self.out.write_all(&data)
    }
}

/// Sends what an attack consists of.
pub(super) fn attack(path: &Path, what: Attack) -> Done {
    let socket = UnixDatagram::unbound()?;
    let send =
        |id: u32, data: [u8; 8]| socket.send_to(&[&id.to_be_bytes()[..], &data].concat(), path).map(drop);
    let (_keep, never) = channel::<()>();
    let pace = || _ = never.recv_timeout(Duration::from_millis(2));
    match what {
        Attack::Reflash => {
            send(GATEWAY, [2, 0x10, 2, 0, 0, 0, 0, 0])?;
            send(GATEWAY, [2, 0x27, 1, 0, 0, 0, 0, 0])?;
            send(GATEWAY, [6, 0x27, 2, 1, 2, 3, 4, 0])?;
            for number in 0..60 {
                send(GATEWAY, [7, 0x36, number, 1, 2, 3, 4, 5])?;
                pace();
            }
            send(GATEWAY, [1, 0x37, 0, 0, 0, 0, 0, 0])?;
        }
        Attack::Brakes => {
            send(BRAKES, [2, 0x10, 3, 0, 0, 0, 0, 0])?;
            send(BRAKES, [6, 0x2f, 0x20, 0x11, 3, 0xff, 1, 0])?;
        }
        Attack::Steering => {
            let [high, low] = WRENCHED.to_be_bytes();
            for number in 0..60 {
                send(ANGLE, [high, low, 0, 90, 0, 0, number % 15, number])?;
                pace();
            }
        }
    }
    Ok(())
}
