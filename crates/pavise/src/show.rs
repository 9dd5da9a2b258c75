//! Tables and summaries for people.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use console::Alignment;
use indicatif::{HumanBytes, HumanCount};
use model::{Attribute, Confidence, Device, Finding, FlowRecord, Incident, Locality, Timestamp};
use store::{AnomalyTotals, ProtocolTotals, ShedTotals, SourceState};

use crate::found;
use crate::session::Session;
use crate::tally::{Conversation, Totals, Weight};

/// So many devices are listed at the end of a run; `pavise devices` lists all.
const DEVICES_SHOWN: usize = 40;
/// So many conversations, the largest.
const CONVERSATIONS_SHOWN: usize = 10;
/// So many peers of one device, those with most traffic.
const PEERS_SHOWN: usize = 20;
/// So many kinds of anomaly, the most frequent.
const ANOMALIES_SHOWN: usize = 10;
/// So many protocols in one cell.
const PROTOCOLS_IN_CELL: usize = 6;
/// Where no terminal tells its width.
const DEFAULT_WIDTH: usize = 160;
/// Where a terminal does, tables are not narrower than this.
const MIN_WIDTH: usize = 80;

/// What a run has found, for people.
pub(crate) struct Summary {
    pub(crate) sources: Vec<SourceState>,
    /// Those that are shown, those of the organisation first.
    pub(crate) devices: Vec<Device>,
    /// How many are known: of the organisation, and elsewhere.
    pub(crate) known: [usize; 2],
    pub(crate) conversations: Vec<(Conversation, Weight)>,
    pub(crate) totals: Totals,
    /// The worst first.
    pub(crate) findings: Vec<Finding>,
    pub(crate) incidents: Vec<Incident>,
    pub(crate) state: PathBuf,
}

/// How a column is set.
#[derive(Clone, Copy)]
pub(crate) enum Set {
    /// To the left, whole: ids, addresses, times.
    Left,
    /// To the right, whole: numbers.
    Right,
    /// To the left, at most so many characters wide; what is longer ends in an ellipsis. Where the table is
    /// too wide for the terminal, these columns become narrower.
    Text(usize),
    /// The same, but on as many lines as it takes: what has to be read to its end.
    Prose(usize),
}

pub(crate) use Set::{Left as LEFT, Right as RIGHT};
use Set::{Prose, Text};

/// A table under construction: rows of text, one line each unless there is prose.
pub(crate) struct Rows {
    columns: Vec<(&'static str, Set)>,
    rows: Vec<Vec<String>>,
}

/// No column of text is narrower than this.
const MIN_TEXT: usize = 8;
/// The blanks between two columns.
const GAP: usize = 2;

pub(crate) fn table(columns: &[(&'static str, Set)]) -> Rows {
    Rows { columns: columns.to_vec(), rows: Vec::new() }
}

impl Rows {
    pub(crate) fn add_row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// How wide each column is, so that all together are as wide as the terminal if they can be.
    fn widths(&self, terminal: usize) -> Vec<usize> {
        let longest = |place: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(place));
            cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = Vec::new();
        for (place, (name, set)) in self.columns.iter().enumerate() {
            let cells = match set {
                Text(limit) | Prose(limit) => longest(place).min(*limit),
                LEFT | RIGHT => longest(place),
            };
            widths.push(cells.max(name.len()));
        }
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        // The widest text gives way first.
        while total(&widths) > terminal {
            let text = |place: &usize| matches!(self.columns[*place].1, Text(_) | Prose(_));
            let widest = (0..widths.len()).filter(text).max_by_key(|place| widths[*place]);
            match widest {
                Some(place) if widths[place] > MIN_TEXT => widths[place] -= 1,
                _ => break,
            }
        }
        widths
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, terminal: usize) -> fmt::Result {
        let widths = self.widths(terminal);
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (((_, set), width), cell) in self.columns.iter().zip(&widths).zip(cells) {
                let side = if matches!(set, RIGHT) { Alignment::Right } else { Alignment::Left };
                // What comes from the network must not move the cursor.
                let cell: String = cell.chars().filter(|c| !c.is_control()).collect();
                text.push_str(&console::pad_str(&cell, *width, side, Some("…")));
                text.push_str("  ");
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(&mut self.columns.iter().map(|(name, _)| *name))?;
        let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        line(&mut rules.iter().map(String::as_str))?;
        for row in &self.rows {
            let is_prose = |place: usize| matches!(self.columns.get(place), Some((_, Prose(_))));
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<Vec<String>> = cells
                .map(
                    |(place, (cell, width))| {
                        if is_prose(place) { wrap(cell, *width) } else { vec![cell.clone()] }
                    },
                )
                .collect();
            for number in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
                line(&mut cells.iter().map(|cell| cell.get(number).map_or("", String::as_str)))?;
            }
        }
        Ok(())
    }
}

/// Text in lines of at most so many characters; a word that is longer is a line by itself.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.len() - 1;
        if lines[line].is_empty() {
            lines[line].push_str(word);
        } else if console::measure_text_width(&lines[line]) + 1 + console::measure_text_width(word) > width {
            lines.push(word.to_owned());
        } else {
            lines[line].push(' ');
            lines[line].push_str(word);
        }
    }
    lines
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = console::Term::stdout().size_checked();
        let terminal = size.map_or(DEFAULT_WIDTH, |(_, width)| usize::from(width).max(MIN_WIDTH));
        self.write(f, terminal)
    }
}

/// The name by which people know a device.
pub(crate) fn name(device: &Device) -> &str {
    let label = || sure(device, Attribute::Label, Confidence::STRONG);
    device.best(Attribute::Hostname).or_else(label).unwrap_or("-")
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

/// A second role is named only if it is at least so sure.
const SECOND_ROLE: Confidence = Confidence::LIKELY;
/// A role that is less sure than this is asked rather than said.
const DOUBTFUL: Confidence = Confidence::percent(35);

/// What a device is, in a few words.
pub(crate) fn kind(device: &Device) -> String {
    let said = device.attributes.get(&Attribute::Role).map_or(&[][..], Vec::as_slice);
    let surest = |role: &str| said.iter().filter(|one| &*one.value == role).map(|one| one.confidence).max();
    let mut words = Vec::new();
    for role in device.roles() {
        let sure = surest(role).unwrap_or(Confidence::HINT);
        match words.len() {
            0 if sure < DOUBTFUL => words.push(format!("{role}?")),
            0 => words.push(role.to_owned()),
            1 if sure >= SECOND_ROLE => words.push(role.to_owned()),
            _ => {}
        }
    }
    if words.is_empty() {
        words.extend(device.best(Attribute::Type).map(str::to_owned));
    }
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

/// What is believed of an attribute, if it is at least so sure.
fn sure(device: &Device, attribute: Attribute, enough: Confidence) -> Option<&str> {
    let best = device.attributes.get(&attribute)?.first()?;
    (best.confidence >= enough).then_some(&*best.value)
}

/// What is believed of an attribute, if it is more than a guess.
pub(crate) fn told(device: &Device, attribute: Attribute) -> Option<&str> {
    sure(device, attribute, DOUBTFUL)
}

/// Devices, as a table.
pub(crate) fn devices(devices: &[&Device]) -> Rows {
    let mut table = table(&[
        ("DEVICE", LEFT),
        ("ADDRESS", LEFT),
        ("MAC", LEFT),
        ("NAME", Text(24)),
        ("ROLE", Text(32)),
        ("VENDOR", Text(24)),
        ("MODEL", Text(26)),
        ("FIRMWARE / OS", Text(20)),
        ("PROTOCOLS", Text(40)),
    ]);
    for device in devices {
        let mac = device.macs.first().map_or_else(|| "-".into(), ToString::to_string);
        let told = |attribute| told(device, attribute);
        let firmware = told(Attribute::Firmware).or_else(|| told(Attribute::OperatingSystem));
        let mut protocols =
            device.protocols.iter().take(PROTOCOLS_IN_CELL).map(|name| &**name).collect::<Vec<_>>().join(" ");
        if device.protocols.len() > PROTOCOLS_IN_CELL {
            protocols.push_str(&format!(" +{}", device.protocols.len() - PROTOCOLS_IN_CELL));
        }
        let model = told(Attribute::Model).or_else(|| told(Attribute::PartNumber));
        table.add_row([
            device.id.to_string(),
            address(device),
            mac,
            name(device).to_owned(),
            kind(device),
            told(Attribute::Vendor).unwrap_or("-").to_owned(),
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
pub(crate) fn flows<'a>(flows: impl Iterator<Item = &'a FlowRecord>) -> Rows {
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
pub(crate) fn protocols(totals: &BTreeMap<String, ProtocolTotals>) -> Rows {
    let mut table = table(&[
        ("PROTOCOL", LEFT),
        ("CONVERSATIONS", RIGHT),
        ("PACKETS", RIGHT),
        ("BYTES", RIGHT),
        ("ANOMALIES", RIGHT),
        ("NAME", Text(48)),
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

fn anomalies(totals: &BTreeMap<String, AnomalyTotals>) -> Rows {
    let mut table = table(&[
        ("ANOMALY", Text(40)),
        ("TIMES", RIGHT),
        ("FIRST FROM", LEFT),
        ("FIRST AT", LEFT),
        ("DETAIL", Text(72)),
    ]);
    for (kind, totals) in frequent(totals).into_iter().take(ANOMALIES_SHOWN) {
        table.add_row([
            kind.to_owned(),
            HumanCount(totals.count).to_string(),
            totals.host.to_string(),
            moment(totals.first),
            totals.detail.clone(),
        ]);
    }
    table
}

fn conversations(top: &[(Conversation, Weight)]) -> Rows {
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

/// A moment to the second, as precise as people read it.
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// Where a piece of evidence stood; of what was concluded also why.
pub(crate) fn reason(source: &str) -> String {
    let rule = inventory::rules::of_source(source);
    rule.map_or_else(|| source.to_owned(), |rule| format!("{source}: {}", rule.why.trim_end_matches('.')))
}

/// One device: everything known, and why. Its peers are called by what is known in `all`.
pub(crate) fn device(device: &Device, all: &[Device], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}  {}  {}", device.id, name(device), kind(device))?;
    writeln!(out, "  seen     {} to {}", moment(device.first), moment(device.last))?;
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
        let (first, last) = (moment(known.first), moment(known.last));
        writeln!(out, "  address  {}  {why}, {first} to {last}", known.ip)?;
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
        ("VALUE", Text(72)),
        ("CONFIDENCE", RIGHT),
        ("EVIDENCE", Text(64)),
        ("TIMES", RIGHT),
        ("LAST", LEFT),
    ]);
    for (attribute, evidence) in &device.attributes {
        for (place, one) in evidence.iter().enumerate() {
            table.add_row([
                if place == 0 { attribute.name().to_owned() } else { String::new() },
                one.value.to_string(),
                format!("{} %", one.confidence.get()),
                reason(&one.source),
                HumanCount(one.count).to_string(),
                moment(one.last),
            ]);
        }
    }
    write!(out, "\n{table}")?;
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
        let mut table = self::table(&[
            ("PEER", LEFT),
            ("ADDRESS", LEFT),
            ("NAME", Text(32)),
            ("CONVERSATIONS", RIGHT),
            ("SENT", RIGHT),
            ("RECEIVED", RIGHT),
        ]);
        for (id, peer) in peers.iter().take(PEERS_SHOWN) {
            let known = all.iter().find(|known| known.id == **id);
            table.add_row([
                id.to_string(),
                known.map_or_else(|| "-".into(), address),
                known.map_or("-", name).to_owned(),
                HumanCount(peer.flows).to_string(),
                HumanBytes(peer.bytes_out).to_string(),
                HumanBytes(peer.bytes_in).to_string(),
            ]);
        }
        write!(out, "\n{table}")?;
        if peers.len() > PEERS_SHOWN {
            writeln!(out, "and {} more peers.", peers.len() - PEERS_SHOWN)?;
        }
    }
    Ok(())
}

impl Summary {
    /// `all` asks for all devices, for a report; else only those that fit a screen are put together.
    pub(crate) fn new(session: &Session, sources: Vec<SourceState>, state: &Path, all: bool) -> Self {
        let (devices, known) = session.devices(if all { usize::MAX } else { DEVICES_SHOWN });
        let mut totals = session.totals.clone();
        totals.add(&session.tally.fresh);
        let (mut findings, mut incidents) = session.found();
        found::in_order(&mut findings);
        found::incidents_in_order(&mut incidents);
        Self {
            findings,
            incidents,
            sources,
            devices,
            known,
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
        // Where every device is elsewhere, those are listed.
        let [own, elsewhere] = match self.known {
            [0, elsewhere] => [elsewhere, 0],
            known => known,
        };
        if !shown.is_empty() {
            writeln!(out, "{}", devices(&shown[..shown.len().min(DEVICES_SHOWN)]))?;
        }
        let mut line = format!("{} devices", HumanCount(own as u64));
        if own > DEVICES_SHOWN {
            line.push_str(&format!(", the first {DEVICES_SHOWN} shown (`pavise devices` lists all)"));
        }
        if elsewhere > 0 {
            line.push_str(&format!(
                ", and {} endpoints elsewhere in the Internet",
                HumanCount(elsewhere as u64)
            ));
        }
        writeln!(out, "{line}.\n\n{}", found::summary(&self.findings, &self.incidents).trim_end())?;
        if !self.conversations.is_empty() {
            write!(out, "\nTop conversations\n{}", conversations(&self.conversations))?;
        }
        if !self.totals.protocols.is_empty() {
            write!(out, "\nProtocols\n{}", protocols(&self.totals.protocols))?;
        }
        if self.totals.anomalies.is_empty() {
            writeln!(out, "\nNo anomalies.")?;
        } else {
            write!(out, "\nAnomalies\n{}", anomalies(&self.totals.anomalies))?;
        }
        for (limit, totals) in &self.totals.shed {
            writeln!(out, "{}", given_up(limit, totals))?;
        }
        writeln!(out)?;
        for source in &self.sources {
            let mut line = format!(
                "{}: {} packets, {}{}",
                source.name,
                HumanCount(source.packets),
                HumanBytes(source.bytes),
                if source.complete || source.is_live() { "" } else { ", not read to its end" }
            );
            if source.dropped > 0 || source.is_live() {
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

/// What was given up because of one limit, in a sentence.
pub(crate) fn given_up(limit: &str, totals: &ShedTotals) -> String {
    let stood_for = match totals.packets {
        0 => String::new(),
        packets => format!(" that stood for {} packets", HumanCount(packets)),
    };
    format!("The limit {limit} was reached: {} things{stood_for} were given up.", HumanCount(totals.count))
}

/// The devices of the organisation; all that are known where every one is elsewhere.
pub(crate) fn own(devices: &[Device]) -> Vec<&Device> {
    let all = in_order(devices);
    let own: Vec<&Device> =
        all.iter().copied().filter(|device| device.locality != Locality::External).collect();
    if own.is_empty() { all } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Wide<'a>(&'a Rows, usize);

    impl fmt::Display for Wide<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(f, self.1)
        }
    }

    #[test]
    fn rows_are_one_line_each_and_only_text_gives_way() {
        let mut rows = table(&[("ID", LEFT), ("TEXT", Text(30)), ("N", RIGHT)]);
        rows.add_row(["d0a1b2c3d4e5f".into(), "a controller of the boiler".into(), "7".into()]);
        rows.add_row(["d0".into(), "\x1b[2Jbad\nnews ∅".into(), "1,234".into()]);
        assert_eq!(
            Wide(&rows, 100).to_string(),
            "ID             TEXT                            N\n\
             ─────────────  ──────────────────────────  ─────\n\
             d0a1b2c3d4e5f  a controller of the boiler      7\n\
             d0             [2Jbadnews ∅                1,234\n"
        );
        assert_eq!(
            Wide(&rows, 36).to_string(),
            "ID             TEXT                N\n\
             ─────────────  ──────────────  ─────\n\
             d0a1b2c3d4e5f  a controller …      7\n\
             d0             [2Jbadnews ∅    1,234\n"
        );
        let narrow = Wide(&rows, 10).to_string();
        assert!(narrow.contains("d0a1b2c3d4e5f  a contr…      7"), "what must be whole is whole: {narrow}");
    }

    #[test]
    fn prose_is_read_to_its_end() {
        let mut rows = table(&[("ID", LEFT), ("PROSE", Prose(12)), ("N", RIGHT)]);
        rows.add_row(["f1".into(), "who came in before, and when".into(), "3".into()]);
        rows.add_row(["f2".into(), String::new(), "1".into()]);
        assert_eq!(
            Wide(&rows, 100).to_string(),
            "ID  PROSE         N\n\
             ──  ────────────  ─\n\
             f1  who came in   3\n    before, and\n    when\n\
             f2                1\n"
        );
    }
}
