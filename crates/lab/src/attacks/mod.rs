//! Attacks that are played in scenes, and harmless happenings that look like attacks.
//!
//! One file for each; its documentation names the published analyses it is modelled on. An attack is a
//! row of stages. What a stage has sent, answers included, is told frame by frame in the truth.

mod arp_spoof;
mod backup;
mod default_logins;
mod dns_tunnel;
mod frostygoop;
mod industroyer;
mod insider;
mod jeep;
mod mirai;
mod new_shift;
mod patch_day;
mod plc_maintenance;
mod replaced_device;
mod rogue_dhcp;
mod slow_scan;
mod stuxnet;
mod target;
mod vpnfilter;
mod vulnerability_scanner;

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::net::{HostId, Net, SECOND, StageId};
use crate::speak::smb::Party;
use crate::{SCENES, Scene, SceneOptions};

/// Describes an attack, or something harmless that looks like one.
pub struct AttackKind {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, for people.
    pub about: &'static str,
    /// The scenes in which it can be played; the first unless another is wished.
    pub scenes: &'static [&'static str],
    /// Whether it is harmless.
    pub benign: bool,
    /// Its stages, in order. In a short scene the last may not come about.
    pub steps: &'static [AttackStep],
    set_up: fn(&mut Net, Script),
}

/// What is said of a stage of an attack.
pub struct AttackStep {
    /// Its name, such as `credential-guessing`.
    pub name: &'static str,
    /// What is done and why, in a sentence or two for a learner.
    pub about: &'static str,
    /// Ids of the techniques of MITRE ATT&CK (Enterprise and ICS, version 15) that it uses.
    pub techniques: &'static [&'static str],
}

/// All attacks, then what is harmless.
pub static ATTACKS: &[AttackKind] = &[
    stuxnet::KIND,
    mirai::KIND,
    industroyer::KIND,
    frostygoop::KIND,
    vpnfilter::KIND,
    target::KIND,
    jeep::KIND,
    dns_tunnel::KIND,
    slow_scan::KIND,
    insider::KIND,
    default_logins::KIND,
    arp_spoof::KIND,
    rogue_dhcp::KIND,
    backup::KIND,
    patch_day::KIND,
    vulnerability_scanner::KIND,
    new_shift::KIND,
    replaced_device::KIND,
    plc_maintenance::KIND,
];

/// Why an attack cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAttack {
    /// There is no attack of this name.
    Unknown(String),
    /// The attack is not for this scene.
    Elsewhere {
        /// The attack.
        attack: &'static str,
        /// The scene that was wished.
        scene: String,
        /// The scenes it is for.
        scenes: &'static [&'static str],
    },
}

impl fmt::Display for NoAttack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                let names: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
                write!(f, "no attack is called {name:?}: there is {}", names.join(", "))
            }
            Self::Elsewhere { attack, scene, scenes } => {
                let scenes = scenes.join(", ");
                write!(f, "{attack} is not played in a scene called {scene:?}, but in: {scenes}")
            }
        }
    }
}

impl std::error::Error for NoAttack {}

/// The attack called `name` in one of its scenes, or in the one it is usually played in.
pub fn attack(name: &str, scene: Option<&str>, options: &SceneOptions) -> Result<Scene, NoAttack> {
    let attack = ATTACKS.iter().find(|attack| attack.name == name);
    let attack = attack.ok_or_else(|| NoAttack::Unknown(name.into()))?;
    let wished = scene.or(attack.scenes.first().copied()).unwrap_or_default();
    let kind = SCENES.iter().find(|kind| kind.name == wished && attack.scenes.contains(&kind.name));
    let kind = kind.ok_or_else(|| NoAttack::Elsewhere {
        attack: attack.name,
        scene: wished.into(),
        scenes: attack.scenes,
    })?;
    Ok(Scene { kind, attack: Some(attack), options: *options })
}

/// Before this all devices have their addresses and no attack begins.
const EARLIEST: Duration = Duration::from_secs(15);

impl AttackKind {
    /// Puts the attack into a network in which the scene has been set up.
    pub(crate) fn wind_up(&'static self, net: &mut Net, after: Duration) {
        let begins = after.max(EARLIEST).as_nanos() as u64;
        let span = (net.end - net.start).saturating_sub(begins);
        net.beset(|net| (self.set_up)(net, Script { kind: self, begins, span }));
    }
}

/// What an attack is to be played by: its stages, and the time it has. Moments are given in hundredths of
/// that time.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    kind: &'static AttackKind,
    begins: u64,
    /// From the attack's beginning to the scene's end, in nanoseconds.
    pub(crate) span: u64,
}

impl Script {
    /// A moment, in nanoseconds after the scene's beginning.
    pub(crate) fn at(self, percent: u64) -> u64 {
        self.begins + self.span / 100 * percent
    }

    /// The stage called `name`, done by `actor` to `victims`.
    pub(crate) fn stage(self, net: &mut Net, name: &str, actor: HostId, victims: &[HostId]) -> StageId {
        let step = self.kind.steps.iter().find(|step| step.name == name);
        let step = step.unwrap_or_else(|| unreachable!("{} has a stage {name}", self.kind.name));
        net.stage(step, !self.kind.benign, actor, victims)
    }

    /// Has `act` done at a moment, as the stage called `name`.
    pub(crate) fn act(
        self,
        net: &mut Net,
        (name, percent): (&str, u64),
        (actor, victims): (HostId, &[HostId]),
        act: impl FnOnce(&mut Net) + 'static,
    ) {
        let stage = self.stage(net, name, actor, victims);
        let at = self.at(percent) + net.rng.range(0, SECOND);
        net.during(stage, |net| net.once(at, act));
    }
}

/// A Windows computer of the plant, as it logs in or is logged in to.
const fn party(name: &'static str) -> Party {
    Party { name, domain: "PLANT", build: 17_763 }
}

/// An address from the public nets, of nobody in particular.
fn anybody(net: &mut Net) -> Ipv4Addr {
    // 45.0.0.0 to 99.255.255.255 is public as a whole; no net's own or broadcast address.
    let [_, b, c, d] = net.rng.array::<4>();
    Ipv4Addr::new(net.rng.range(45, 100) as u8, b, c, d.clamp(1, 254))
}
