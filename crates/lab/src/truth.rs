//! What a scene holds, for those who must find it.

use std::net::IpAddr;

use model::{Finding, Host, Locality, MacAddr, Role, Timestamp};
use serde::{Deserialize, Serialize};

/// All that is true of a scene. Only what the capture shows is listed: devices that sent something,
/// attributes that some packet tells, conversations that were answered or addressed to a group. In a
/// scene of a few minutes or less some attributes have not been told yet; all the rest is exact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The scene's name.
    pub scene: String,
    /// The seed it was made from.
    pub seed: u64,
    /// When it begins.
    pub start: Timestamp,
    /// How long it was asked to last, in seconds. Conversations under way then are brought to an end,
    /// so that the last packet may be some seconds later.
    pub duration_s: f64,
    /// Frames in the capture.
    pub packets: u64,
    /// Everything that exists, by name.
    pub devices: Vec<TrueDevice>,
    /// Who spoke with whom, each pair of client and service once. A scanner's probe that is refused or
    /// broken off is no conversation.
    pub conversations: Vec<TrueConversation>,
    /// Addresses that were sent to and do not exist: nobody ever answered from them.
    pub silent: Vec<IpAddr>,
    /// Link-layer addresses that frames were sent to and that do not exist.
    pub silent_macs: Vec<MacAddr>,
    /// Source addresses that were made up by a scanner; no device has them.
    pub spoofed: Vec<IpAddr>,
    /// What else happens, and when.
    pub notes: Vec<Note>,
    /// The attack that is played in the scene, by name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attack: Option<String>,
    /// The attack's stages that have begun, in order. A frame that none of them names is the scene's own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stages: Vec<TrueStage>,
}

impl Truth {
    /// What a host is called in the scene.
    pub fn name_of(&self, host: &Host) -> Option<&str> {
        let is = |device: &&TrueDevice| match (host.ip, host.mac) {
            (Some(ip), _) => device.ips.contains(&ip),
            (None, Some(mac)) => device.macs.contains(&mac),
            (None, None) => false,
        };
        self.devices.iter().find(is).map(|device| device.name.as_str())
    }

    /// Whether a finding tells of a stage: it names one of those who take part, at that time.
    pub fn is_told(&self, stage: &TrueStage, finding: &Finding) -> bool {
        let takes_part = |name: &str| name == stage.actor || stage.victims.iter().any(|one| one == name);
        let parties = [Some(&finding.actor), finding.victim.as_ref()];
        let mut names = parties.into_iter().flatten().filter_map(|party| self.name_of(&party.host));
        // On a bus nobody has an address: there are only identifiers.
        let on_bus = finding.actor.host == Host::default();
        finding.first <= stage.last
            && finding.last >= stage.first
            && (names.any(takes_part) || on_bus && stage.victims.iter().any(|one| one.starts_with("0x")))
    }
}

/// A stage of an attack, or of something harmless that looks like one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrueStage {
    /// Its name, such as `credential-guessing`.
    pub name: String,
    /// What is done and why, in a sentence or two for a learner.
    pub about: String,
    /// Ids of the techniques of MITRE ATT&CK (Enterprise and ICS, version 15) that it uses.
    pub techniques: Vec<String>,
    /// Who acts, by device name.
    pub actor: String,
    /// Whom it is done to, by device name; on a CAN bus, the identifiers that it uses.
    pub victims: Vec<String>,
    /// Whether harm is meant; not so in what only looks like an attack.
    pub hostile: bool,
    /// When its first frame was sent.
    pub first: Timestamp,
    /// When its last frame was sent.
    pub last: Timestamp,
    /// Its frames, answers included: ranges of their numbers in the capture, which begin with 1; first
    /// and last of each range, in order.
    pub packets: Vec<[u64; 2]>,
}

/// A device of a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrueDevice {
    /// Its name in the scene.
    pub name: String,
    /// Where it stands, seen from the sensor.
    pub locality: Locality,
    /// Its own link-layer addresses that sent frames; none beyond a router.
    pub macs: Vec<MacAddr>,
    /// All addresses that it sent from.
    pub ips: Vec<IpAddr>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vendor: Option<String>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// The version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub firmware: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<String>,
    /// Its name on the network.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hostname: Option<String>,
    /// Its operating system's family.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub os: Option<String>,
    /// The parts it plays.
    pub roles: Vec<Role>,
    /// Ids of the protocols that it speaks, at either end, in conversations that were answered or
    /// addressed to a group.
    pub protocols: Vec<String>,
}

/// A client and the service it used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrueConversation {
    /// The client's name. Frames of a CAN bus name no sender, so that nobody is a device there: this is
    /// their identifier, as in `0x0c9`, the server is `bus`, and frames are counted.
    pub client: String,
    /// The server's name, or the group's address; answers to a group's member belong to the same
    /// conversation here.
    pub server: String,
    /// `tcp`, `udp`, or the name of what lies straight on IP or the link.
    pub transport: String,
    /// The server's port; 0 where there is none.
    pub port: u16,
    /// The protocol's id.
    pub protocol: String,
    /// How often: connections, or exchanges where there are none.
    pub count: u64,
}

/// Something that happens in a scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}
