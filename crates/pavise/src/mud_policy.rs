//! `pavise mud policy`: what a description allows, as rules of a policy.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ::mud::{Terms, policy_rules};
use clap::Args;
use model::Attribute;
use serde_json::json;
use store::{Sqlite, Store};

use crate::command::Answer;
use crate::mud;
use crate::output::{Output, Problem};
use crate::query;

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise mud policy lamp.json --for ecobee-511
  pavise mud policy lamp.json --group 'vendor:acme and role:smart-device' --out lamps.policy
  pavise mud policy lamp.json --for 10.0.0.17 --my-controller 10.0.0.2 --controller https://hubs.example/hub=role:hub

The rules allow nothing that the description does not; what a policy cannot say stands in comments below them.")]
pub(crate) struct MudPolicy {
    /// The description
    #[arg(value_name = "FILE.json")]
    pub(crate) file: PathBuf,
    /// The device: its id (or the beginning of it), an address, a MAC address or a host name
    #[arg(long = "for", value_name = "DEVICE", required_unless_present = "group", conflicts_with = "group")]
    pub(crate) device: Option<String>,
    /// The devices, as an expression
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) group: Option<String>,
    /// Who the device's controllers are, as policies say it
    #[arg(long, value_name = "WHO")]
    pub(crate) my_controller: Option<String>,
    /// Who is of a class of controllers; may be given several times
    #[arg(long, value_name = "URI=WHO")]
    pub(crate) controller: Vec<String>,
    /// Write it to a file
    #[arg(long, value_name = "FILE.policy")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

pub(crate) fn run(options: &MudPolicy) -> Result<(), Problem> {
    let file = mud::read(&options.file)?.1.file;
    let (whom, vendor) = match (&options.device, &options.group) {
        (Some(text), _) => {
            let device = query::find(Sqlite::open(options.answer.state())?.devices()?, text)?;
            (device.id.to_string(), device.best(Attribute::Vendor).map(str::to_owned))
        }
        (None, group) => (format!("({})", group.as_deref().unwrap_or_default()), None),
    };
    // Quotation marks end a text: what has some is not asked for.
    let vendor = vendor.filter(|vendor| !vendor.contains(['"', '\\']));
    let same = vendor.map(|vendor| format!("(vendor:\"{vendor}\")"));
    let mut controllers = BTreeMap::new();
    for text in &options.controller {
        let (class, who) = text.rsplit_once('=').ok_or_else(|| {
            Problem::Other(format!(
                "--controller {text}: expected URI=WHO, such as https://hubs.example/hub=role:hub"
            ))
        })?;
        controllers.insert(class.to_owned(), who.to_owned());
    }
    let terms = Terms {
        device: &whom,
        same_manufacturer: same.as_deref(),
        my_controller: options.my_controller.as_deref(),
        controllers,
    };
    let said = policy_rules(&file, &terms);
    let mut text = format!("# What {} allows {whom}.\n", file.url);
    said.rules.iter().for_each(|rule| text.push_str(&format!("{rule}\n")));
    said.unsaid
        .iter()
        .for_each(|what| text.push_str(&format!("# not said: {}\n", what.replace(char::is_control, " "))));
    ::policy::parse(&text).map_err(|problems| {
        let first = problems.first().map_or_else(String::new, |problem| problem.show("the rules", &text));
        Problem::Other(format!(
            "this makes no policy: see what was given with --group and the controllers\n{first}"
        ))
    })?;
    let mut out = Output::new();
    match &options.out {
        Some(path) => {
            fs::write(path, &text).map_err(|error| Problem::file("policy", path, error))?;
            let (rules, unsaid) = (said.rules.len(), said.unsaid.len());
            out.line(format_args!("{}: {rules} rules; {unsaid} things could not be said.", path.display()))?;
        }
        None if options.answer.json => {
            out.json(&json!({"url": file.url, "device": whom, "rules": said.rules, "unsaid": said.unsaid}))?;
        }
        None => out.line(text.trim_end())?,
    }
    out.flush()
}
