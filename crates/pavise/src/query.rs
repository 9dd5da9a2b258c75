//! `pavise devices`, `device`, `flows`, `protocols`: read the state.

use std::collections::VecDeque;
use std::io::{self, Write};

use ::query::{Expr, Field, Fields};
use model::{Attribute, MacAddr, Timestamp};
use serde::Serialize;
use store::{FlowQuery, ProtocolTotals, Sqlite, Store};

use crate::command::{self, Which};
use crate::output::{Array, Output, Problem};
use crate::show;

/// So many conversations are listed unless more are asked for.
const FLOWS_SHOWN: usize = 50;

impl Which {
    /// What is asked for, if it is: an expression over these fields. Ages are told from the latest packet.
    pub(crate) fn read(&self, store: &Sqlite, fields: &'static [Field]) -> Result<Option<Selected>, Problem> {
        let Some(text) = &self.filter else { return Ok(None) };
        let expression = ::query::parse(text, fields)
            .map_err(|error| Problem::Other(format!("--filter {text}: {error}")))?;
        let now = store.sources()?.iter().map(|source| source.last).max().unwrap_or_default();
        Ok(Some(Selected { expression, now }))
    }
}

/// What an expression selects.
pub(crate) struct Selected {
    expression: Expr,
    now: Timestamp,
}

/// Whether something is selected; everything is where nothing was asked.
pub(crate) fn is_selected(selected: Option<&Selected>, of: &impl Fields) -> bool {
    selected.is_none_or(|selected| selected.expression.matches(of, selected.now))
}

pub(crate) fn devices(options: &command::Devices) -> Result<(), Problem> {
    let store = Sqlite::open(&options.state.state)?;
    let selected = options.which.read(&store, ::query::DEVICE)?;
    let mut devices = store.devices()?;
    devices.retain(|device| is_selected(selected.as_ref(), device));
    if options.json {
        let mut array = Array::new();
        for device in show::in_order(&devices) {
            array.push(device)?;
        }
        return array.end();
    }
    let shown = if options.all { show::in_order(&devices) } else { show::own(&devices) };
    let mut out = Output::new();
    out.line(show::devices(&shown))?;
    let elsewhere = devices.len() - shown.len();
    let more = if elsewhere == 0 {
        String::new()
    } else {
        format!(", and {elsewhere} endpoints elsewhere in the Internet (--all lists them)")
    };
    out.line(format_args!("{} devices{more}.", shown.len()))?;
    out.flush()
}

/// The one device that `text` names: by id or its beginning, address, MAC address, host name or label.
pub(crate) fn find(devices: Vec<model::Device>, text: &str) -> Result<model::Device, Problem> {
    let lower = text.to_lowercase();
    let mac: Option<MacAddr> = text.parse().ok();
    let ip: Option<std::net::IpAddr> = text.parse().ok();
    let named = |device: &model::Device| {
        [Attribute::Hostname, Attribute::Label]
            .iter()
            .filter_map(|attribute| device.attributes.get(attribute))
            .flatten()
            .any(|evidence| evidence.value.to_lowercase() == lower)
    };
    let matches = |device: &model::Device| {
        device.id.to_string() == lower
            || mac.is_some_and(|mac| device.macs.contains(&mac))
            || ip.is_some_and(|ip| device.addresses.iter().any(|known| known.ip == ip))
            || named(device)
    };
    let begins = |device: &model::Device| lower.len() > 2 && device.id.to_string().starts_with(&lower);
    let (mut found, rest): (Vec<_>, Vec<_>) = devices.into_iter().partition(matches);
    if found.is_empty() {
        found.extend(rest.into_iter().filter(begins));
    }
    // An address that moved belongs to the device that used it last.
    if let Some(ip) = ip {
        let used = |device: &model::Device| {
            device.addresses.iter().find(|known| known.ip == ip).map(|known| known.last)
        };
        found.sort_by_key(|device| std::cmp::Reverse(used(device)));
        found.truncate(1);
    }
    match (found.pop(), found.is_empty()) {
        (Some(device), true) => Ok(device),
        (None, _) => Err(Problem::Other(format!(
            "no device is known as {text}: `pavise devices --all` lists those that are"
        ))),
        (Some(last), false) => {
            let ids: Vec<String> = found.iter().chain([&last]).map(|device| device.id.to_string()).collect();
            Err(Problem::Other(format!(
                "several devices are known as {text}: {}; use the id",
                ids.join(", ")
            )))
        }
    }
}

pub(crate) fn device(options: &command::Device) -> Result<(), Problem> {
    let all = Sqlite::open(options.answer.state())?.devices()?;
    let device = find(all.clone(), &options.id)?;
    if options.answer.json {
        let mut out = Output::new();
        out.json(&device)?;
        return out.flush();
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    show::device(&device, &all, &mut out).and_then(|()| out.flush()).map_err(Problem::Output)
}

pub(crate) fn flows(options: &command::Flows) -> Result<(), Problem> {
    let store = Sqlite::open(&options.state.state)?;
    let selected = options.which.read(&store, ::query::FLOW)?;
    let mut query =
        FlowQuery { protocol: options.protocol.clone(), port: options.port, ..FlowQuery::default() };
    if let Some(text) = &options.device {
        match (text.parse(), text.parse()) {
            (Ok(ip), _) => query.ip = Some(ip),
            (_, Ok(mac)) => query.mac = Some(mac),
            _ => {
                let device = find(store.devices()?, text)?;
                match (device.macs.first(), device.addresses.last()) {
                    (Some(mac), _) => query.mac = Some(*mac),
                    (None, Some(known)) => query.ip = Some(known.ip),
                    (None, None) => {}
                }
            }
        }
    }
    if options.json {
        let mut array = Array::new();
        let (mut left, mut failed) = (options.limit.filter(|limit| *limit > 0), None);
        store.flows(&query, &mut |flow| {
            if !is_selected(selected.as_ref(), &flow) {
                return true;
            }
            if let Some(left) = &mut left {
                if *left == 0 {
                    return false;
                }
                *left -= 1;
            }
            failed = array.push(&flow).err();
            failed.is_none()
        })?;
        return match failed {
            Some(problem) => Err(problem),
            None => array.end(),
        };
    }
    let limit = match options.limit.unwrap_or(FLOWS_SHOWN) {
        0 => usize::MAX,
        limit => limit,
    };
    let (mut latest, mut count) = (VecDeque::new(), 0_usize);
    store.flows(&query, &mut |flow| {
        if !is_selected(selected.as_ref(), &flow) {
            return true;
        }
        count += 1;
        if latest.len() >= limit {
            latest.pop_front();
        }
        latest.push_back(flow);
        true
    })?;
    let mut out = Output::new();
    out.line(show::flows(latest.iter()))?;
    let more = if count > latest.len() {
        format!(", the latest {} shown (--limit 0 lists all)", latest.len())
    } else {
        String::new()
    };
    out.line(format_args!("{count} conversations{more}."))?;
    out.flush()
}

pub(crate) fn protocols(options: &command::Protocols) -> Result<(), Problem> {
    if options.known {
        return known_protocols(options.json);
    }
    let totals = Sqlite::open(&options.state.state)?.protocols()?;
    if !options.json {
        let mut out = Output::new();
        out.line(show::protocols(&totals))?;
        return out.flush();
    }
    #[derive(Serialize)]
    struct Row<'a> {
        protocol: &'a str,
        #[serde(flatten)]
        totals: ProtocolTotals,
    }
    let mut array = Array::new();
    for (protocol, totals) in show::busiest(&totals) {
        array.push(&Row { protocol, totals })?;
    }
    array.end()
}

/// What Pavise understands.
fn known_protocols(json: bool) -> Result<(), Problem> {
    #[derive(Serialize)]
    struct Row {
        protocol: &'static str,
        name: &'static str,
        spec: &'static str,
    }
    let rows = dissect::proto::PROTOCOLS.iter().map(|protocol| Row {
        protocol: protocol.id,
        name: protocol.name,
        spec: protocol.spec,
    });
    if json {
        let mut array = Array::new();
        for row in rows {
            array.push(&row)?;
        }
        return array.end();
    }
    let mut out = Output::new();
    for row in rows {
        out.line(format_args!("{:<14} {:<44} {}", row.protocol, row.name, row.spec))?;
    }
    out.flush()
}
