//! Pavise as a black box: what goes in are files, what comes out is what it prints.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use model::FlowId;
use serde_json::Value;

use super::bus;
use super::finding::{Devices, Finding, Score};
use super::label::{Ends, Name, Span, Unit};
use super::trial::Trial;
use crate::run::Failure;

/// The program that is judged.
pub(crate) struct Program {
    path: PathBuf,
    writes_scores: bool,
}

/// What it knew after a trial.
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    /// The names of every device, by its id.
    pub(crate) devices: Devices,
    pub(crate) devices_on_link: usize,
    pub(crate) scores: Vec<Score>,
}

impl Program {
    /// The program at a path, if it can tell findings.
    pub(crate) fn at(path: PathBuf) -> Result<Self, Failure> {
        let help = |command: &str| Command::new(&path).args([command, "--help"]).output();
        if !help("findings")?.status.success() {
            return Err(Failure(format!("{} has no command `findings`", path.display())));
        }
        let writes_scores = String::from_utf8_lossy(&help("watch")?.stdout).contains("--scores");
        Ok(Self { path, writes_scores })
    }

    /// Watches a trial with a state that holds nothing yet, in `folder`, and tells what was found. The
    /// conversations that units belong to are filled in.
    pub(crate) fn undergo(&self, trial: &mut Trial, folder: &Path) -> Result<Outcome, Failure> {
        let state = folder.join("state");
        let mut scores = Vec::new();
        for (number, sources) in [&trial.clean, &trial.attacked].into_iter().enumerate() {
            if !sources.is_empty() {
                let path = folder.join(format!("scores-{number}.jsonl"));
                self.watch(&state, sources, &path)?;
                scores.extend(read_scores(&path)?);
            }
        }
        let (devices, devices_on_link) = devices(&self.list("devices", &state)?);
        if trial.units.iter().any(|unit| unit.flow.is_none() && unit.ends.is_some()) {
            assign(&mut trial.units, &Flows::read(&self.list("flows", &state)?)?);
        }
        if trial.units.iter().any(|unit| matches!(unit.hosts[..], [Name::Can(_)])) {
            bus::assign(&mut trial.units, &self.list("flows", &state)?)?;
        }
        let findings = self.ask("findings", &state)?;
        let findings = Finding::read_all(&findings, &devices)?;
        Ok(Outcome { findings, devices, devices_on_link, scores })
    }

    fn watch(&self, state: &Path, sources: &[PathBuf], scores: &Path) -> Result<(), Failure> {
        let mut command = Command::new(&self.path);
        command.args(["watch", "--quiet", "--state"]).arg(state);
        if self.writes_scores {
            command.arg("--scores").arg(scores);
        }
        let output = command.args(sources).stdin(Stdio::null()).stdout(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().last().unwrap_or("no reason given");
        Err(Failure(format!("`pavise watch` failed: {reason}")))
    }

    fn ask(&self, what: &str, state: &Path) -> Result<String, Failure> {
        let output = Command::new(&self.path).args([what, "--json", "--state"]).arg(state).output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failure(format!("`pavise {what}` failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    fn list(&self, what: &str, state: &Path) -> Result<Vec<Value>, Failure> {
        Ok(serde_json::from_str(&self.ask(what, state)?)?)
    }
}

fn read_scores(path: &Path) -> Result<Vec<Score>, Failure> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let lines = std::io::BufReader::new(std::fs::File::open(path)?).lines();
    lines.map(|line| Score::read(&line?)).collect()
}

/// The names of all devices, and how many are on the link.
fn devices(list: &[Value]) -> (Devices, usize) {
    let on_link = list.iter().filter(|device| device["locality"] == "on-link").count();
    let names = |device: &Value| {
        let macs = device["macs"].as_array().into_iter().flatten();
        let ips = device["addresses"].as_array().into_iter().flatten().map(|address| &address["ip"]);
        macs.chain(ips).filter_map(|name| Name::read(name.as_str()?)).collect()
    };
    let id = |device: &Value| device["id"].as_str().unwrap_or_default().to_owned();
    (list.iter().map(|device| (id(device), names(device))).collect(), on_link)
}

/// Conversations by their ends.
struct Flows(BTreeMap<Ends, Vec<(Span, FlowId)>>);

impl Flows {
    fn read(list: &[Value]) -> Result<Self, Failure> {
        let mut flows = BTreeMap::<Ends, Vec<(Span, FlowId)>>::new();
        for record in list {
            let end = |side: &str| {
                let side = &record[side];
                let name = side["ip"].as_str().or(side["mac"].as_str()).and_then(Name::read)?;
                Some((name, u16::try_from(side["port"].as_u64()?).ok()?))
            };
            let (Some(client), Some(server)) = (end("client"), end("server")) else { continue };
            let mut ends = [client, server];
            ends.sort();
            let time = |name: &str| serde_json::from_value(record[name].clone());
            let span = Span { first: time("first")?, last: time("last")? };
            let id = serde_json::from_value(record["id"].clone())?;
            flows.entry(ends).or_default().push((span, id));
        }
        Ok(Self(flows))
    }

    fn of(&self, unit: &Unit) -> Option<FlowId> {
        let candidates = self.0.get(unit.ends.as_ref()?)?;
        candidates.iter().find(|(span, _)| span.overlaps(unit.span)).map(|(_, id)| *id)
    }
}

fn assign(units: &mut [Unit], flows: &Flows) {
    for unit in units {
        unit.flow = unit.flow.or_else(|| flows.of(unit));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::accuracy::label::moment;

    #[test]
    fn devices_have_all_their_names_and_only_those_on_the_link_count() {
        let list = json!([
            {"id": "d1", "locality": "on-link", "macs": ["02:00:00:00:00:01"], "addresses": [{"ip": "10.0.0.1"}]},
            {"id": "d2", "locality": "external", "macs": [], "addresses": [{"ip": "198.51.100.1"}]}
        ]);
        let (devices, on_link) = devices(list.as_array().unwrap());
        assert_eq!(on_link, 1);
        assert_eq!(devices["d1"].len(), 2);
        assert!(devices["d2"].contains(&Name::read("198.51.100.1").unwrap()));
    }

    #[test]
    fn a_packet_belongs_to_the_conversation_of_its_ends_at_its_time() {
        let record = |id, first, last| {
            json!({"id": id, "client": {"ip": "10.0.0.2", "port": 1024, "mac": "02:00:00:00:00:02"},
                "server": {"ip": "10.0.0.1", "port": 502}, "first": first, "last": last})
        };
        let list = [
            record("00000000000000aa", "1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"),
            record("00000000000000bb", "1970-01-01T00:00:05Z", "1970-01-01T00:00:09Z"),
            json!({"id": "00000000000000cc", "client": {"port": 0}, "server": {"port": 0}}),
        ];
        let flows = Flows::read(&list).map_err(|failure| failure.0).unwrap();
        let unit = |time: &str| Unit {
            span: Span::at(moment(time).unwrap()),
            flow: None,
            ends: Some([(Name::read("10.0.0.1").unwrap(), 502), (Name::read("10.0.0.2").unwrap(), 1024)]),
            hosts: Vec::new(),
            malicious: false,
        };
        let mut units = [unit("1970-01-01T00:00:06Z"), unit("1970-01-01T00:00:03Z")];
        assign(&mut units, &flows);
        assert_eq!(units.map(|unit| unit.flow), [Some(FlowId(0xbb)), None]);
    }
}
