//! `pavise trust`: how far each device is trusted, and what would raise it.

use std::collections::BTreeMap;

use ::trust::posture::{Access, Assessment, Posture, Site, Standing};
use clap::Args;
use model::{Device, FindingId, Host, Timestamp};
use serde_json::{Value, json};
use store::{Sqlite, Store};

use crate::command::State;
use crate::output::{Array, Output, Problem};
use crate::query;
use crate::show::{self, LEFT, Set};

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise trust                     all devices, those that are trusted least first
  pavise trust plc-mixer           each aspect of one, with evidence, and what would raise its access
  pavise trust --json | jq '.[] | select(.access == \"quarantine\") | .device'

A device gets `full` access, `limited` access or `quarantine`. Verdicts on findings count at once.")]
pub(crate) struct Options {
    /// Only this one: its id (or the beginning of it), an address, a MAC address or a host name
    #[arg(value_name = "DEVICE")]
    device: Option<String>,
    /// Print a JSON array, or one object if a device is given
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: State,
}

/// How findings stand in the store, verdicts included that no watch has heard of yet.
struct Kept(BTreeMap<FindingId, Standing>);

impl Site for Kept {
    fn standing(&self, finding: FindingId) -> Option<Standing> {
        self.0.get(&finding).copied()
    }

    fn is_external(&self, _: &Host) -> bool {
        false
    }
}

/// The trust in devices as it was at the latest packet.
fn posture(store: &Sqlite) -> Result<Posture, Problem> {
    let learnt = store.learnt()?;
    let mut posture = Posture::restore(learnt.get(brain::TRUST).map_or(&[], Vec::as_slice));
    let findings = store.findings()?;
    let kept = Kept(findings.iter().map(|finding| (finding.id, Standing::from(finding))).collect());
    let now = store.sources()?.iter().map(|source| source.last).max().unwrap_or(Timestamp::EPOCH);
    posture.observe(now, 0, &mut Vec::new(), &kept);
    Ok(posture)
}

/// A device's assessment as JSON.
fn told(device: &Device, assessment: &Assessment) -> Value {
    json!({
        "device": device.id,
        "name": show::name(device),
        "access": assessment.access,
        "since": assessment.since.unwrap_or(device.first),
        "next": assessment.rise.map(|(at, access)| json!({ "at": at, "access": access })),
        "worst": assessment.worst().map(|judged| judged.aspect),
        "aspects": assessment.aspects,
        "reasons": assessment.reasons,
    })
}

pub(crate) fn run(options: &Options) -> Result<(), Problem> {
    let store = Sqlite::open(&options.state.state)?;
    let posture = posture(&store)?;
    let devices = store.devices()?;
    if let Some(text) = &options.device {
        let device = query::find(devices, text)?;
        return one(&device, &posture.of(device.id), options.json);
    }
    let mut judged: Vec<_> =
        show::own(&devices).into_iter().map(|device| (device, posture.of(device.id))).collect();
    judged.sort_by_key(|(_, assessment)| std::cmp::Reverse(assessment.access));
    if options.json {
        let mut array = Array::new();
        for (device, assessment) in &judged {
            array.push(&told(device, assessment))?;
        }
        return array.end();
    }
    let mut table = show::table(&[
        ("DEVICE", LEFT),
        ("NAME", Set::Text(24)),
        ("ACCESS", LEFT),
        ("SINCE", LEFT),
        ("WORST", LEFT),
        ("REASON", Set::Story(70)),
    ]);
    for (device, assessment) in &judged {
        let worst = assessment.worst().map(|judged| format!("{}: {}", judged.aspect, judged.state));
        let on_probation =
            || assessment.rise.map(|(at, _)| format!("on probation until {}", show::moment(at)));
        table.add_row([
            device.id.to_string(),
            show::name(device).to_owned(),
            assessment.access.to_string(),
            show::moment(assessment.since.unwrap_or(device.first)),
            worst.unwrap_or_default(),
            assessment
                .reasons
                .first()
                .map(|reason| reason.why.to_owned())
                .or_else(on_probation)
                .unwrap_or_default(),
        ]);
    }
    let mut out = Output::new();
    out.line(table)?;
    let count = |access| judged.iter().filter(|(_, assessment)| assessment.access == access).count();
    let [full, limited, quarantine] = Access::ALL.map(count);
    out.line(format_args!(
        "{} devices: {full} with full access, {limited} limited, {quarantine} in quarantine.",
        judged.len()
    ))?;
    out.flush()
}

fn one(device: &Device, assessment: &Assessment, json: bool) -> Result<(), Problem> {
    let mut out = Output::new();
    if json {
        out.json(&told(device, assessment))?;
        return out.flush();
    }
    let since = show::moment(assessment.since.unwrap_or(device.first));
    out.line(format_args!("{} {}: {} since {since}", device.id, show::name(device), assessment.access))?;
    for judged in &assessment.aspects {
        out.line(format_args!("{:<12} {}", judged.aspect, judged.state))?;
        for one in &judged.evidence {
            let id = one.finding.map(|id| format!(", {id}")).unwrap_or_default();
            let verdict = one.verdict.map(|verdict| format!(", judged {verdict}")).unwrap_or_default();
            let (state, last) = (one.state, show::moment(one.last));
            let line =
                format!("  {state}: {} ({}{id}{verdict}, last {last})", show::plain(&one.reason), one.source);
            out.line(show::fit(&line, 4))?;
        }
    }
    for reason in &assessment.reasons {
        out.line("")?;
        out.line(show::fit(&format!("{}, because {}.", reason.access, reason.why), 4))?;
        out.line(show::fit(&format!("  To raise it: {}.", reason.raise), 4))?;
    }
    if let Some((at, access)) = assessment.rise {
        let at = show::moment(at);
        out.line(format_args!("\nNothing more stands in the way of {access} access: it gets that at {at}."))?;
    }
    out.flush()
}
