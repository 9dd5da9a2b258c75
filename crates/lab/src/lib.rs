//! The laboratory: networks that do not exist, as captures whose truth is known.
//!
//! * [`scene`]: a home, a plant, a shop, a city, a hospital or a car in which every device, address, protocol and
//!   conversation is known ([`Truth`]). Tests hold what Pavise found against it; the first run shows it; attack
//!   drills build on it.
//! * [`attack`]: a scene in which an attack is played, or something harmless that looks like one; its
//!   truth tells which frames belong to which stage ([`TrueStage`]).
//! * [`crowd`]: many hosts and small packets, for the benchmark.
//! * [`flood`]: made-up one-packet flows around conversations that must survive them.
//!
//! Everything follows from a seed: the same seed gives the same bytes. Frames are whole and their
//! checksums right. What would be encrypted, and every signature, is made of chance; no password and no
//! key is in any scene, but for makers' published default passwords, with which attacks guess. No attack
//! carries a working exploit or program: where one would be sent, chance is. The crate knows nothing of Pavise but the nouns of `model`.

mod attacks;
mod bytes;
mod crowd;
mod frame;
mod net;
mod pcap;
mod rng;
mod scenes;
mod speak;
mod truth;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use model::Timestamp;

pub use attacks::{ATTACKS, AttackKind, AttackStep, NoAttack, attack};
pub use crowd::{Crowd, CrowdSummary, Flood, crowd, flood};
pub use pcap::{Format, Link};
pub use truth::{Note, TrueConversation, TrueDevice, TrueStage, Truth};

use net::{Net, Sink};

/// How a scene is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SceneOptions {
    /// What chance begins with.
    pub seed: u64,
    /// How long the scene lasts. Devices come up within the first minute.
    pub duration: Duration,
    /// When it begins.
    pub start: Timestamp,
    /// How long the scene goes on undisturbed before the attack begins, if it has one: a third of its
    /// duration unless said, so that what is usual can be learnt first.
    pub attack_after: Option<Duration>,
}

impl Default for SceneOptions {
    /// Ten minutes of a Monday morning: 2026-03-02, 08:00 UTC.
    fn default() -> Self {
        let start = Timestamp::from_secs(1_772_438_400);
        Self { seed: 1, duration: Duration::from_secs(600), start, attack_after: None }
    }
}

/// Describes a scene.
pub struct SceneKind {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, for people.
    pub about: &'static str,
    set_up: fn(&mut Net),
}

/// All scenes.
pub static SCENES: &[SceneKind] = &[
    SceneKind {
        name: "home",
        about: "a home with a router, a smart-home hub, a camera and other things",
        set_up: scenes::home::set_up,
    },
    SceneKind {
        name: "plant",
        about: "a plant with controllers, operators' stations and an office beyond the firewall",
        set_up: scenes::plant::set_up,
    },
    SceneKind {
        name: "retail",
        about: "a branch shop whose tills share a flat network with the building's controller",
        set_up: scenes::retail::set_up,
    },
    SceneKind {
        name: "city",
        about: "a city's traffic lights, cameras, street lamps and parking",
        set_up: scenes::city::set_up,
    },
    SceneKind {
        name: "hospital",
        about: "a hospital's ward and scanner, and the servers behind them",
        set_up: scenes::hospital::set_up,
    },
    SceneKind {
        name: "vehicle",
        about: "a car: the bus of its control units, and the Ethernet of its telematics",
        set_up: scenes::vehicle::set_up,
    },
];

/// There is no scene of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScene(pub String);

impl fmt::Display for UnknownScene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = SCENES.iter().map(|scene| scene.name).collect();
        write!(f, "no scene is called {:?}: there is {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownScene {}

/// The scene called `name`.
pub fn scene(name: &str, options: &SceneOptions) -> Result<Scene, UnknownScene> {
    let kind = SCENES.iter().find(|scene| scene.name == name).ok_or_else(|| UnknownScene(name.into()))?;
    Ok(Scene { kind, attack: None, options: *options })
}

/// A scene, ready to be played. It is simulated as it is written, so that its length costs no memory.
pub struct Scene {
    kind: &'static SceneKind,
    attack: Option<&'static AttackKind>,
    options: SceneOptions,
}

impl Scene {
    /// Writes the scene as pcapng, in order of time, and returns what is true of it.
    pub fn write(&self, out: &mut impl Write) -> io::Result<Truth> {
        let mut writer = pcap::Writer::new(io::BufWriter::new(out), Format::Pcapng)?;
        let truth = self.play(&mut |at, frame| writer.frame(at, frame))?;
        writer.finish()?;
        Ok(truth)
    }

    /// Hands each frame with its time to `sink`, in order of time, and returns what is true of the
    /// scene. Frames are those of Ethernet, or of a CAN bus: [`Link::of`] tells which. An error of the sink ends the scene.
    pub fn play(&self, sink: Sink<'_>) -> io::Result<Truth> {
        let SceneOptions { seed, duration, start, attack_after } = self.options;
        let end = start + duration;
        let mut net = Net::new(seed, start.as_nanos(), end.as_nanos());
        (self.kind.set_up)(&mut net);
        if let Some(attack) = self.attack {
            attack.wind_up(&mut net, attack_after.unwrap_or(duration / 3));
        }
        net.run(sink)?;
        Ok(Truth {
            scene: self.kind.name.into(),
            seed,
            start,
            duration_s: duration.as_secs_f64(),
            packets: net.packets,
            devices: net.true_devices(),
            conversations: net.true_conversations(),
            silent: net.silent.iter().copied().collect(),
            silent_macs: net.silent_macs.iter().copied().collect(),
            spoofed: net.spoofed.iter().copied().collect(),
            attack: self.attack.map(|attack| attack.name.into()),
            stages: net.true_stages(),
            notes: net.notes,
        })
    }

    /// What is true of the scene; it is played to nobody to find out.
    pub fn truth(&self) -> Truth {
        // A sink that takes everything cannot fail.
        self.play(&mut |_, _| Ok(())).unwrap_or_else(|_| unreachable!("nobody listens, nobody fails"))
    }
}
