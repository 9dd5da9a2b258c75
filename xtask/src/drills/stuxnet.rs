//! Stuxnet in a plant: the infected engineering station puts blocks of its own into a controller, and drives set points.

use super::clock::Moment;
use super::net::{Net, PATIENCE, Process, has_said};
use super::{Post, Scene};
use crate::run::{Done, Failure};

const CONTROLLER: &str = "10.10.0.12:102";
/// Who is in the plant: name, link-layer address, network address.
const HOSTS: [(&str, &str, &str); 5] = [
    ("engineering", "00:14:22:10:00:21", "10.10.0.21"),
    ("panel", "00:1b:1b:10:00:31", "10.10.0.31"),
    ("scada", "00:14:22:10:00:32", "10.10.0.32"),
    ("historian", "00:14:22:10:00:33", "10.10.0.33"),
    ("plc", "00:1b:1b:10:00:12", "10.10.0.12"),
];

/// The plant, in which a person is asked before anything is cut, but for programs that nobody should put into controllers.
const PROTECTION: &str = r#"
guard = ["10.10.0.12", "10.10.0.31", "10.10.0.32"]
industrial = ["cell"]

[[rule]]
name = "programs of controllers"
zones = ["cell"]
detectors = ["program-download", "engineering-station"]
action = "contain"

[[rule]]
name = "plant"
severity = "high"
industrial = true
action = "contain"
ask = true
"#;
const SETTINGS: &str = "[[zone]]\nname = \"cell\"\nnetworks = [\"10.10.0.0/24\"]\n";

/// The plant's network.
#[derive(Default)]
pub(super) struct Plant {
    parts: Vec<Process>,
    plc: Option<Process>,
    worm: Option<Process>,
}

impl Scene for Plant {
    fn name(&self) -> &'static str {
        "stuxnet"
    }

    fn tools(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn build(&mut self, net: &Net) -> Done {
        net.switch("switch")?;
        for (name, mac, address) in HOSTS {
            net.host(name, "switch", mac, address)?;
        }
        self.plc = Some(net.play("plc", &format!("plc {CONTROLLER}"))?);
        self.parts.push(net.play("historian", "web 10.10.0.33:80")?);
        Ok(())
    }

    fn post(&self) -> Post {
        Post::switch(PROTECTION, SETTINGS)
    }

    fn benign(&self) -> Vec<(&'static str, String)> {
        vec![
            ("panel", format!("panel {CONTROLLER}")),
            ("scada", format!("panel {CONTROLLER}")),
            ("scada", "fetch 10.10.0.33:80".into()),
            ("engineering", "fetch 10.10.0.33:80".into()),
        ]
    }

    fn victims(&self) -> Vec<(&'static str, String)> {
        vec![("plc", "10.10.0.21".into())]
    }

    fn attacker(&self) -> (&'static str, String) {
        ("engineering", "10.10.0.21 --except 80".to_owned())
    }

    fn attackers(&self) -> &'static [&'static str] {
        &["10.10.0.21"]
    }

    fn steps(&self) -> &'static [&'static str] {
        &[
            "controller identified",
            "first block in the program",
            "main program replaced",
            "set points written",
        ]
    }

    fn begin(&mut self, net: &Net) -> Result<Moment, Failure> {
        let mut worm =
            net.start("engineering-worm", &mut net.peer("engineering", &format!("worm {CONTROLLER}")))?;
        let first = worm.expect("first", PATIENCE)?;
        self.worm = Some(worm);
        Ok(first.at)
    }

    fn attempt(&mut self, _net: &Net, step: usize) -> Result<bool, Failure> {
        Ok(match step {
            0 => has_said(&mut self.worm, "identified"),
            1 => has_said(&mut self.plc, "inserted"),
            2 => has_said(&mut self.plc, "inserted 0800001"),
            _ => has_said(&mut self.plc, "written by 10.10.0.21"),
        })
    }
}
