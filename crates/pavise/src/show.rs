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
    /// The same; but where there is no room to read it, it stands below its row, whole.
    Story(usize),
    /// To the left, whole: what has to be read to its end. It stands below its row where there is no room.
    Whole,
    /// To the left, whole; left out where there is no room for it.
    Spare,
}

pub(crate) use Set::{Left as LEFT, Right as RIGHT};
use Set::{Spare, Story, Text, Whole};

/// A table under construction: rows of text, one line each.
pub(crate) struct Rows {
    columns: Vec<(&'static str, Set)>,
    rows: Vec<Vec<String>>,
}

/// No column of text is narrower than this.
const MIN_TEXT: usize = 8;
/// Nor than this, as long as others can be left out or stand below.
const EASY_TEXT: usize = 20;
/// A story that has less room than this stands below its row.
const MIN_STORY: usize = 60;
/// How far it is moved in there.
const BELOW: usize = 4;
/// The blanks between two columns.
const GAP: usize = 2;

pub(crate) fn table(columns: &[(&'static str, Set)]) -> Rows {
    Rows { columns: columns.to_vec(), rows: Vec::new() }
}

impl Rows {
    pub(crate) fn add_row(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// How wide each column would like to be.
    fn wishes(&self) -> Vec<usize> {
        let longest = |place: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(place));
            cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
        };
        let wish = |(place, (name, set)): (usize, &(&'static str, Set))| match set {
            Text(limit) | Story(limit) => longest(place).min(*limit).max(name.len()),
            LEFT | RIGHT | Spare | Whole => longest(place).max(name.len()),
        };
        self.columns.iter().enumerate().map(wish).collect()
    }

    /// How wide each column is, so that all together are as wide as the terminal if they can be; none for those that
    /// are not in the row. A story that is not stands below it.
    fn widths(&self, terminal: usize) -> Vec<Option<usize>> {
        let mut widths: Vec<_> = self.wishes().into_iter().map(Some).collect();
        let total = |widths: &[Option<usize>]| {
            widths.iter().flatten().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
        };
        let least = |set: Set, easy: bool| match set {
            Text(_) if easy => EASY_TEXT,
            Story(_) if easy => MIN_STORY,
            Text(_) | Story(_) => MIN_TEXT,
            LEFT | RIGHT | Spare | Whole => usize::MAX,
        };
        let leave = |widths: &mut [Option<usize>], which: fn(&Set) -> bool| {
            for (width, (_, set)) in widths.iter_mut().zip(&self.columns) {
                if which(set) {
                    *width = None;
                }
            }
        };
        for step in 0..4 {
            match step {
                1 => leave(&mut widths, |set| matches!(set, Spare)),
                2 => leave(&mut widths, |set| matches!(set, Story(_) | Whole)),
                _ => {}
            }
            // The widest text gives way first.
            while total(&widths) > terminal {
                let gives = (0..widths.len()).filter_map(|place| {
                    widths[place]
                        .filter(|width| *width > least(self.columns[place].1, step < 3))
                        .zip(Some(place))
                });
                let Some((width, place)) = gives.max() else { break };
                widths[place] = Some(width - 1);
            }
            if total(&widths) <= terminal {
                break;
            }
        }
        widths
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, terminal: usize) -> fmt::Result {
        let widths = self.widths(terminal);
        let line = |f: &mut fmt::Formatter<'_>, cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (((_, set), width), cell) in self.columns.iter().zip(&widths).zip(cells) {
                let Some(width) = width else { continue };
                let side = if matches!(set, RIGHT) { Alignment::Right } else { Alignment::Left };
                text.push_str(&console::pad_str(&plain(cell), *width, side, Some("…")));
                text.push_str("  ");
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(f, &mut self.columns.iter().map(|(name, _)| *name))?;
        let rules: Vec<String> = widths.iter().map(|width| "─".repeat(width.unwrap_or(0))).collect();
        line(f, &mut rules.iter().map(String::as_str))?;
        let below =
            |place: &usize| widths[*place].is_none() && matches!(self.columns[*place].1, Story(_) | Whole);
        let stories: Vec<_> = (0..widths.len()).filter(below).collect();
        for row in &self.rows {
            line(f, &mut row.iter().map(String::as_str))?;
            for story in stories.iter().filter_map(|place| row.get(*place)) {
                let indented = format!("{:BELOW$}{}", "", plain(story));
                writeln!(f, "{}", wrap(&indented, BELOW, terminal))?;
            }
        }
        Ok(())
    }
}

/// What comes from the network must neither move the cursor nor turn the direction of reading.
pub(crate) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !c.is_control() && !turns(*c)).collect()
}

/// How wide the terminal is, if standard output is one; not less than tables need.
pub(crate) fn terminal() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, width)| usize::from(width).max(MIN_WIDTH))
}

/// One line of text, broken between words where it is wider than that; what follows is moved in. Words stay whole.
pub(crate) fn wrap(text: &str, hang: usize, width: usize) -> String {
    let mut broken = String::new();
    let mut column = 0;
    // The blanks at the beginning, and those within, stay.
    for word in text.split_inclusive(' ') {
        let length = console::measure_text_width(word.trim_end());
        if column + length > width && column > hang {
            broken.truncate(broken.trim_end().len());
            broken.push('\n');
            broken.push_str(&" ".repeat(hang));
            column = hang;
        }
        broken.push_str(word);
        column += console::measure_text_width(word);
    }
    broken
}

/// A line of text as it is shown: broken where the terminal ends, whole where there is none.
pub(crate) fn fit(text: &str, hang: usize) -> String {
    wrap(&plain(text), hang, terminal().unwrap_or(usize::MAX))
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, terminal().unwrap_or(DEFAULT_WIDTH))
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
    if !device.access.is_full() {
        writeln!(out, "  access   {}: `pavise trust {}` tells why", device.access, device.id)?;
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
    fn a_story_without_room_stands_below_its_row_and_what_can_be_spared_is_left_out() {
        let mut rows = table(&[("ID", LEFT), ("STORY", Story(60)), ("FROM", Spare), ("LAST", LEFT)]);
        let story = "one of them did what none of them had ever done before to anybody";
        rows.add_row([
            "f1".into(),
            story.into(),
            "2026-03-02T08:00:00Z".into(),
            "2026-03-02T09:00:00Z".into(),
        ]);
        let lines = |width| Wide(&rows, width).to_string().lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(lines(120)[2].contains("08:00:00Z") && lines(120)[2].contains("none of them"));
        assert!(!lines(90)[2].contains("08:00:00Z") && lines(90)[2].contains("none of them"));
        assert_eq!(
            lines(40)[2..],
            [
                "f1  2026-03-02T09:00:00Z",
                "    one of them did what none of them",
                "    had ever done before to anybody"
            ]
        );
        assert!(lines(40).iter().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn what_has_to_be_read_to_its_end_is_never_cut() {
        let mut rows = table(&[("ID", LEFT), ("WHY", Whole), ("N", RIGHT)]);
        rows.add_row(["f1".into(), "a long way to say what happened".into(), "7".into()]);
        let lines = |width| Wide(&rows, width).to_string().lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(40)[2], "f1  a long way to say what happened  7");
        assert_eq!(lines(30)[2..], ["f1  7", "    a long way to say what", "    happened"]);
    }

    #[test]
    fn lines_are_broken_between_words_and_words_stay_whole() {
        assert_eq!(wrap("  label      one two three", 13, 21), "  label      one two\n             three");
        assert_eq!(wrap("0123456789 0123456789", 2, 8), "0123456789\n  0123456789");
        assert_eq!(plain("a\x1b[2J\u{202e}b"), "a[2Jb");
    }
}
