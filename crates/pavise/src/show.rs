//! Tables and summaries for people.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{HumanBytes, HumanCount};
use model::{Attribute, Device, FlowRecord, Locality};
use store::{AnomalyTotals, ProtocolTotals, SourceState};

use crate::session::Session;
use crate::tally::{Conversation, Totals, Weight};

/// So many devices are listed at the end of a run; `pavise devices` lists all.
const DEVICES_SHOWN: usize = 40;
/// So many conversations, the largest.
const CONVERSATIONS_SHOWN: usize = 10;
/// So many kinds of anomaly, the most frequent.
const ANOMALIES_SHOWN: usize = 10;
/// So many protocols in one cell.
const PROTOCOLS_IN_CELL: usize = 6;
/// Where no terminal tells its width.
const DEFAULT_WIDTH: u16 = 160;
/// Where a terminal does, tables are not narrower than this.
const MIN_WIDTH: u16 = 80;

/// What a run has found, for people.
pub(crate) struct Summary {
    pub(crate) sources: Vec<SourceState>,
    pub(crate) devices: Vec<Device>,
    pub(crate) conversations: Vec<(Conversation, Weight)>,
    pub(crate) totals: Totals,
    pub(crate) state: PathBuf,
}

/// Columns and how they are aligned.
fn table(columns: &[(&str, CellAlignment)]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(columns.iter().map(|(name, _)| *name));
    let width =
        console::Term::stdout().size_checked().map_or(DEFAULT_WIDTH, |(_, width)| width.max(MIN_WIDTH));
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    for (place, (_, alignment)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(place) {
            column.set_cell_alignment(*alignment);
        }
    }
    table
}

const LEFT: CellAlignment = CellAlignment::Left;
const RIGHT: CellAlignment = CellAlignment::Right;

/// The name by which people know a device.
pub(crate) fn name(device: &Device) -> &str {
    [Attribute::Hostname, Attribute::Label]
        .into_iter()
        .find_map(|attribute| device.best(attribute))
        .unwrap_or("-")
}

/// The address by which a device is reached: its latest, its link-layer address if it has none.
pub(crate) fn address(device: &Device) -> String {
    let latest = device.addresses.iter().max_by_key(|known| (known.ip.is_ipv4(), known.last));
    match (latest, device.macs.first()) {
        (Some(known), _) => known.ip.to_string(),
        (None, Some(mac)) => mac.to_string(),
        (None, None) => "-".into(),
    }
}

/// What a device is, in a few words.
pub(crate) fn kind(device: &Device) -> String {
    let mut words: Vec<&str> = device.roles().take(2).collect();
    if words.is_empty() {
        words.extend(device.best(Attribute::Type));
    }
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

fn best(device: &Device, attribute: Attribute) -> &str {
    device.best(attribute).unwrap_or("-")
}

/// Devices, as a table.
pub(crate) fn devices(devices: &[&Device]) -> Table {
    let mut table = table(&[
        ("DEVICE", LEFT),
        ("ADDRESS", LEFT),
        ("MAC", LEFT),
        ("NAME", LEFT),
        ("ROLE", LEFT),
        ("VENDOR", LEFT),
        ("MODEL", LEFT),
        ("FIRMWARE / OS", LEFT),
        ("PROTOCOLS", LEFT),
    ]);
    for device in devices {
        let mac = device.macs.first().map_or_else(|| "-".into(), ToString::to_string);
        let firmware = device.best(Attribute::Firmware).or_else(|| device.best(Attribute::OperatingSystem));
        let mut protocols =
            device.protocols.iter().take(PROTOCOLS_IN_CELL).map(|name| &**name).collect::<Vec<_>>().join(" ");
        if device.protocols.len() > PROTOCOLS_IN_CELL {
            protocols.push_str(&format!(" +{}", device.protocols.len() - PROTOCOLS_IN_CELL));
        }
        let model = device.best(Attribute::Model).or_else(|| device.best(Attribute::PartNumber));
        table.add_row([
            device.id.to_string(),
            address(device),
            mac,
            name(device).to_owned(),
            kind(device),
            best(device, Attribute::Vendor).to_owned(),
            model.unwrap_or("-").to_owned(),
            firmware.unwrap_or("-").to_owned(),
            protocols,
        ]);
    }
    table
}

/// Devices in the order in which people look for them: on the link first, by address.
pub(crate) fn in_order(devices: &[Device]) -> Vec<&Device> {
    let mut all: Vec<&Device> = devices.iter().collect();
    let key = |device: &Device| {
        device.addresses.iter().map(|known| known.ip).filter(std::net::IpAddr::is_ipv4).min()
    };
    all.sort_by(|a, b| {
        (a.locality, key(a).is_none(), key(a), &a.macs, a.id).cmp(&(
            b.locality,
            key(b).is_none(),
            key(b),
            &b.macs,
            b.id,
        ))
    });
    all
}

/// Conversations, as a table.
pub(crate) fn flows<'a>(flows: impl Iterator<Item = &'a FlowRecord>) -> Table {
    let mut table = table(&[
        ("BEGAN", LEFT),
        ("LASTED", RIGHT),
        ("CLIENT", LEFT),
        ("SERVER", LEFT),
        ("PROTOCOL", LEFT),
        ("SENT", RIGHT),
        ("RECEIVED", RIGHT),
        ("STATE", LEFT),
    ]);
    for flow in flows {
        let state = match &flow.tcp {
            Some(tcp) => format!("{:?}", tcp.state),
            None if flow.answered() => "Answered".into(),
            None => "One-way".into(),
        };
        table.add_row([
            flow.first.to_string(),
            format!("{:.1} s", flow.duration().as_secs_f64()),
            flow.head.client.to_string(),
            flow.head.server.to_string(),
            crate::tally::protocol_name(flow.protocol.as_ref(), flow.head.transport),
            HumanBytes(flow.sent.bytes).to_string(),
            HumanBytes(flow.received.bytes).to_string(),
            state,
        ]);
    }
    table
}

/// Protocols, as a table, the busiest first.
pub(crate) fn protocols(totals: &BTreeMap<String, ProtocolTotals>) -> Table {
    let mut table = table(&[
        ("PROTOCOL", LEFT),
        ("CONVERSATIONS", RIGHT),
        ("PACKETS", RIGHT),
        ("BYTES", RIGHT),
        ("ANOMALIES", RIGHT),
        ("NAME", LEFT),
    ]);
    for (id, totals) in busiest(totals) {
        let known = dissect::proto::by_id(id);
        table.add_row([
            id.to_owned(),
            HumanCount(totals.flows).to_string(),
            HumanCount(totals.packets).to_string(),
            HumanBytes(totals.bytes).to_string(),
            HumanCount(totals.anomalies).to_string(),
            known.map_or("not recognised", |protocol| protocol.name).to_owned(),
        ]);
    }
    table
}

/// Protocols, the busiest first.
pub(crate) fn busiest(totals: &BTreeMap<String, ProtocolTotals>) -> Vec<(&str, ProtocolTotals)> {
    let mut all: Vec<_> = totals.iter().map(|(id, totals)| (id.as_str(), *totals)).collect();
    all.sort_by_key(|(id, totals)| (std::cmp::Reverse(totals.packets), *id));
    all
}

/// Anomalies, the most frequent first.
pub(crate) fn frequent(totals: &BTreeMap<String, AnomalyTotals>) -> Vec<(&str, &AnomalyTotals)> {
    let mut all: Vec<_> = totals.iter().map(|(kind, totals)| (kind.as_str(), totals)).collect();
    all.sort_by_key(|(kind, totals)| (std::cmp::Reverse(totals.count), *kind));
    all
}

fn anomalies(totals: &BTreeMap<String, AnomalyTotals>) -> Table {
    let mut table = table(&[
        ("ANOMALY", LEFT),
        ("TIMES", RIGHT),
        ("FIRST FROM", LEFT),
        ("FIRST AT", LEFT),
        ("DETAIL", LEFT),
    ]);
    for (kind, totals) in frequent(totals).into_iter().take(ANOMALIES_SHOWN) {
        table.add_row([
            kind.to_owned(),
            HumanCount(totals.count).to_string(),
            totals.host.to_string(),
            totals.first.to_string(),
            totals.detail.clone(),
        ]);
    }
    table
}

fn conversations(top: &[(Conversation, Weight)]) -> Table {
    let mut table = table(&[
        ("CLIENT", LEFT),
        ("SERVER", LEFT),
        ("PROTOCOL", LEFT),
        ("CONVERSATIONS", RIGHT),
        ("PACKETS", RIGHT),
        ("BYTES", RIGHT),
    ]);
    for (conversation, weight) in top {
        table.add_row([
            conversation.client.to_string(),
            conversation.server.to_string(),
            crate::tally::protocol_name(conversation.protocol.as_ref(), conversation.transport),
            HumanCount(weight.flows).to_string(),
            HumanCount(weight.packets).to_string(),
            HumanBytes(weight.bytes).to_string(),
        ]);
    }
    table
}

/// One device: everything known, and why.
pub(crate) fn device(device: &Device, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}  {}  {}", device.id, name(device), kind(device))?;
    writeln!(out, "  seen     {} to {}", device.first, device.last)?;
    let place = match device.locality {
        Locality::OnLink => "on the link".to_owned(),
        Locality::Routed => "beyond a router".to_owned(),
        Locality::External => "elsewhere in the Internet".to_owned(),
    };
    let via = device.via.map_or_else(String::new, |router| format!(", reached through {router}"));
    writeln!(out, "  place    {place}{via}")?;
    for mac in &device.macs {
        writeln!(out, "  mac      {mac}")?;
    }
    for known in &device.addresses {
        let why = known.binding.map_or_else(
            || "used as a sender".to_owned(),
            |binding| {
                format!("told by {}", serde_json::to_string(&binding).unwrap_or_default().trim_matches('"'))
            },
        );
        writeln!(out, "  address  {}  {why}, {} to {}", known.ip, known.first, known.last)?;
    }
    writeln!(
        out,
        "  traffic  sent {} in {} packets, received {} in {} packets",
        HumanBytes(device.bytes_out),
        HumanCount(device.packets_out),
        HumanBytes(device.bytes_in),
        HumanCount(device.packets_in)
    )?;
    let mut table = table(&[
        ("ATTRIBUTE", LEFT),
        ("VALUE", LEFT),
        ("CONFIDENCE", RIGHT),
        ("EVIDENCE", LEFT),
        ("TIMES", RIGHT),
        ("LAST", LEFT),
    ]);
    for (attribute, evidence) in &device.attributes {
        for (place, one) in evidence.iter().enumerate() {
            table.add_row([
                if place == 0 { attribute.name().to_owned() } else { String::new() },
                one.value.to_string(),
                format!("{} %", one.confidence.get()),
                one.source.to_string(),
                HumanCount(one.count).to_string(),
                one.last.to_string(),
            ]);
        }
    }
    writeln!(out, "\n{table}")?;
    let services = |services: &BTreeMap<model::Service, u64>| {
        let one = |(service, count): (&model::Service, &u64)| match service.port {
            0 => format!("{} ({count})", service.protocol),
            port => format!("{} {}/{port} ({count})", service.protocol, service.transport),
        };
        services.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    if !device.offers.is_empty() {
        writeln!(out, "\n  offers   {}", services(&device.offers))?;
    }
    if !device.uses.is_empty() {
        writeln!(out, "  uses     {}", services(&device.uses))?;
    }
    if !device.peers.is_empty() {
        let mut peers: Vec<_> = device.peers.iter().collect();
        peers.sort_by_key(|(id, peer)| (std::cmp::Reverse(peer.bytes_in + peer.bytes_out), **id));
        let shown = peers.iter().take(CONVERSATIONS_SHOWN).map(|(id, peer)| {
            format!("{id} ({} sent, {} received)", HumanBytes(peer.bytes_out), HumanBytes(peer.bytes_in))
        });
        writeln!(out, "  peers    {}", shown.collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

impl Summary {
    pub(crate) fn new(session: &Session, sources: Vec<SourceState>, state: &Path) -> Self {
        let mut totals = session.totals.clone();
        totals.add(&session.tally.fresh);
        Self {
            sources,
            devices: session.devices(),
            conversations: session.tally.top(CONVERSATIONS_SHOWN),
            totals,
            state: state.into(),
        }
    }

    /// The devices of the organisation; all that are known where every one is elsewhere.
    pub(crate) fn own_devices(&self) -> Vec<&Device> {
        own(&self.devices)
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let shown = self.own_devices();
        let elsewhere = self.devices.len() - shown.len();
        writeln!(out, "{}", devices(&shown[..shown.len().min(DEVICES_SHOWN)]))?;
        let mut line = format!("{} devices", HumanCount(shown.len() as u64));
        if shown.len() > DEVICES_SHOWN {
            line.push_str(&format!(", the first {DEVICES_SHOWN} shown (`pavise devices` lists all)"));
        }
        if elsewhere > 0 {
            line.push_str(&format!(
                ", and {} endpoints elsewhere in the Internet",
                HumanCount(elsewhere as u64)
            ));
        }
        writeln!(out, "{line}.")?;
        if !self.conversations.is_empty() {
            writeln!(out, "\nTop conversations\n{}", conversations(&self.conversations))?;
        }
        if !self.totals.protocols.is_empty() {
            writeln!(out, "\nProtocols\n{}", protocols(&self.totals.protocols))?;
        }
        if self.totals.anomalies.is_empty() {
            writeln!(out, "\nNo anomalies.")?;
        } else {
            writeln!(out, "\nAnomalies\n{}", anomalies(&self.totals.anomalies))?;
        }
        for (limit, totals) in &self.totals.shed {
            writeln!(
                out,
                "The limit {limit} was reached: {} things that stood for {} packets were given up.",
                HumanCount(totals.count),
                HumanCount(totals.packets)
            )?;
        }
        writeln!(out)?;
        for source in &self.sources {
            let mut line = format!(
                "{}: {} packets, {}{}",
                source.name,
                HumanCount(source.packets),
                HumanBytes(source.bytes),
                if source.complete { "" } else { ", not read to its end" }
            );
            if source.dropped > 0 || source.key.starts_with("live:") {
                line.push_str(&format!(", {} dropped by the kernel", HumanCount(source.dropped)));
            }
            writeln!(out, "{line}.")?;
        }
        writeln!(
            out,
            "State: {} (`pavise device ID` says why a device is believed to be what it is).",
            self.state.display()
        )
    }
}

/// The devices of the organisation; all that are known where every one is elsewhere.
pub(crate) fn own(devices: &[Device]) -> Vec<&Device> {
    let all = in_order(devices);
    let own: Vec<&Device> =
        all.iter().copied().filter(|device| device.locality != Locality::External).collect();
    if own.is_empty() { all } else { own }
}
