//! The report: one HTML page that needs nothing else, to show around and to keep.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use indicatif::{HumanBytes, HumanCount};
use model::{Attribute, Device, DeviceId, Finding, Incident, Locality, Party, Severity, Timestamp};

use crate::found;
use crate::show::{self, Summary};
use crate::tally::protocol_name;

/// More devices than this do not fit into the picture; those with most peers are drawn.
const DRAWN: usize = 72;
/// The picture's radius, and the room that a character of a name around it takes, in pixels.
const RADIUS: f64 = 250.0;
const CHARACTER: f64 = 7.5;
/// So many bars.
const BARS: usize = 16;
/// So many of those who take part, and of conversations, are named.
const PARTIES: usize = 8;

/// What devices look like in the picture: a class of roles and its colour (light and dark theme alike).
const CLASSES: &[(&str, &[&str], &str)] = &[
    ("Controllers", &["plc", "rtu", "ied", "field-device", "building-controller", "ecu"], "#ea580c"),
    ("Operation", &["hmi", "scada", "historian", "engineering-station"], "#ca8a04"),
    (
        "Network",
        &["router", "switch", "access-point", "gateway", "dns-server", "dhcp-server", "time-server"],
        "#3b82f6",
    ),
    (
        "Things",
        &["camera", "smart-device", "hub", "broker", "media", "printer", "phone", "medical", "point-of-sale"],
        "#0d9488",
    ),
    ("Computers", &["server", "workstation", "mobile"], "#a855f7"),
];
const OTHER: (&str, &str) = ("Other", "#64748b");

/// Text that stands in HTML as it is. What would move a cursor, or turn the direction of reading (the Unicode
/// Bidirectional Algorithm's embeddings, overrides and isolates) to make one thing look like another, does not stand.
struct Safe<'a>(&'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char('\u{fffd}')?,
                control if control.is_control() && control != '\n' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The class of a device: its name and colour.
fn class(device: &Device) -> (&'static str, &'static str) {
    let known = |role: &str| CLASSES.iter().find(|(_, roles, _)| roles.contains(&role));
    device.roles().find_map(known).map_or(OTHER, |(name, _, colour)| (name, colour))
}

/// What people call a device in a picture.
fn short(device: &Device) -> String {
    match show::name(device) {
        "-" => show::address(device),
        name => name.chars().take(26).collect(),
    }
}

/// The whole page.
pub(crate) fn html(summary: &Summary) -> String {
    let mut page = String::with_capacity(1 << 16);
    // Writing to a string cannot fail.
    let _ = write(summary, &mut page);
    page
}

fn write(summary: &Summary, page: &mut String) -> fmt::Result {
    let own = summary.own_devices();
    let names: Vec<&str> = summary.sources.iter().map(|source| source.name.as_str()).collect();
    let title = if names.is_empty() { "Pavise".to_owned() } else { names.join(", ") };
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{} · Pavise</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        Safe(&title)
    )?;
    writeln!(page, "<header><h1>What is on this network</h1><p>{}</p></header>", Safe(&title))?;
    cards(summary, own.len(), page)?;
    findings(summary, page)?;
    map(&own, page)?;
    devices(&own, page)?;
    conversations(summary, page)?;
    protocols(summary, page)?;
    anomalies(summary, page)?;
    sources(summary, page)?;
    writeln!(page, "<footer>Made by Pavise {}</footer>\n</main>\n</body>\n</html>", env!("CARGO_PKG_VERSION"))
}

fn cards(summary: &Summary, own: usize, page: &mut String) -> fmt::Result {
    let packets: u64 = summary.sources.iter().map(|source| source.packets).sum();
    let bytes: u64 = summary.sources.iter().map(|source| source.bytes).sum();
    let anomalies = summary.totals.anomaly_count();
    writeln!(page, "<section class=\"cards\" aria-label=\"Summary\">")?;
    let open = summary.findings.iter().filter(|finding| !finding.is_silenced());
    let bad = open.clone().filter(|finding| finding.severity >= Severity::High).count();
    for (label, value) in [
        ("findings", HumanCount(open.count() as u64).to_string()),
        ("high or critical", HumanCount(bad as u64).to_string()),
        ("devices", HumanCount(own as u64).to_string()),
        ("endpoints elsewhere", HumanCount((summary.devices.len() - own) as u64).to_string()),
        ("protocols", HumanCount(summary.totals.protocols.len() as u64).to_string()),
        ("packets", HumanCount(packets).to_string()),
        ("on the wire", HumanBytes(bytes).to_string()),
        ("anomalies", HumanCount(anomalies).to_string()),
    ] {
        writeln!(page, "<div><b>{value}</b><span>{label}</span></div>")?;
    }
    writeln!(page, "</section>")
}

/// What is wrong, the worst first: incidents, then findings; each opens into all that is known of it.
fn findings(summary: &Summary, page: &mut String) -> fmt::Result {
    writeln!(page, "<section class=\"found\"><h2>What is wrong</h2>")?;
    let (open, silenced): (Vec<_>, Vec<_>) = summary.findings.iter().partition(|known| !known.is_silenced());
    if open.is_empty() {
        writeln!(page, "<p class=\"note\">Nothing was found that has to be looked at.</p>")?;
    }
    if !summary.incidents.is_empty() {
        writeln!(
            page,
            "<h3>Incidents</h3>\n<p class=\"note\">Findings of which one leads to the other.</p>"
        )?;
    }
    for incident in &summary.incidents {
        story(incident, summary, page)?;
    }
    if !open.is_empty() {
        writeln!(
            page,
            "<h3>Findings</h3>\n<p class=\"note\">Open one to see what it means and what to do.</p>"
        )?;
    }
    for finding in open {
        one_finding(finding, summary, page)?;
    }
    if !silenced.is_empty() {
        writeln!(page, "<h3>Expected or false</h3>\n<p class=\"note\">Nobody has to look at these.</p>")?;
    }
    for finding in silenced {
        one_finding(finding, summary, page)?;
    }
    writeln!(page, "</section>")
}

/// Somebody who takes part: by address, and by name where it is a device that has one.
fn party(party: &Party, summary: &Summary) -> String {
    let devices = summary.devices.iter();
    let known = party.device.and_then(|id| devices.clone().find(|device| device.id == id));
    let Some(device) = known else { return Safe(&party.to_string()).to_string() };
    let words = [show::name(device), &show::kind(device)].map(str::to_owned);
    let words: Vec<_> = words.into_iter().filter(|word| word != "-").collect();
    let more = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
    let text = Safe(&format!("{party}{more}")).to_string();
    match device.locality {
        Locality::External => text,
        _ => format!("<a href=\"#{}\">{text}</a>", device.id),
    }
}

fn parties(all: &[Party], summary: &Summary) -> String {
    let named: Vec<_> = all.iter().take(PARTIES).map(|one| party(one, summary)).collect();
    let more = all.len().saturating_sub(PARTIES);
    named.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// An incident: who, to whom, how it went, what to do first, where it may go next.
fn story(incident: &Incident, summary: &Summary, page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "<details id=\"{}\"><summary><b class=\"{1}\">{1}</b><b>{2}</b><span>{3}: {4}, {5}</span></summary>\n<dl>",
        incident.id,
        incident.severity,
        Safe(&incident.title),
        Safe(&incident.stage),
        found::count(incident.findings.len(), "finding"),
        found::count(incident.victims.len(), "victim")
    )?;
    term(page, "Id", &incident.id.to_string())?;
    term(page, "Seen", &span(incident.first, incident.last))?;
    term(page, "Actors", &parties(&incident.actors, summary))?;
    if !incident.victims.is_empty() {
        term(page, "Victims", &parties(&incident.victims, summary))?;
    }
    writeln!(page, "</dl>\n<p><b>What to do first.</b> {}</p>", Safe(&incident.response))?;
    let part = |finding: &&Finding| incident.findings.contains(&finding.id);
    let mut timeline: Vec<_> = summary.findings.iter().filter(part).collect();
    timeline.sort_by_key(|finding| (finding.first, finding.id));
    writeln!(page, "<p><b>How it went.</b></p>\n<ol>")?;
    for finding in timeline {
        writeln!(
            page,
            "<li><time>{}</time> <a href=\"#{}\">{}</a>: {}</li>",
            show::moment(finding.first),
            finding.id,
            Safe(&finding.title),
            Safe(&finding.summary)
        )?;
    }
    writeln!(page, "</ol>")?;
    if !incident.next.is_empty() {
        writeln!(page, "<p><b>Where it may go next.</b></p>\n<ul>")?;
    }
    for step in &incident.next {
        writeln!(
            page,
            "<li>from {} to {} ({:.0} %): {}</li>",
            party(&step.from, summary),
            party(&step.to, summary),
            step.weight * 100.0,
            Safe(&step.reason)
        )?;
    }
    writeln!(page, "{}</details>", if incident.next.is_empty() { "" } else { "</ul>" })
}

/// A row of a list of terms; the text is HTML.
fn term(page: &mut String, term: &str, text: &str) -> fmt::Result {
    writeln!(page, "<dt>{term}</dt><dd>{text}</dd>")
}

/// From when to when.
fn span(first: Timestamp, last: Timestamp) -> String {
    let (first, last) = (show::moment(first), show::moment(last));
    if first == last { first } else { format!("{first} to {last}") }
}

/// A finding: what, who, how it is known, why it matters, what to do.
fn one_finding(finding: &Finding, summary: &Summary, page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "<details id=\"{}\"><summary><b class=\"{1}\">{1}</b><b>{2}</b><span>{3}</span></summary>",
        finding.id,
        finding.severity,
        Safe(&finding.title),
        Safe(&finding.summary)
    )?;
    let rule = found::rule_of(finding);
    if let Some(rule) = rule {
        writeln!(
            page,
            "<p><b>What is looked for.</b> {}</p>\n<p><b>Why it matters.</b> {}</p>\n<p><b>What to do.</b> {}</p>",
            Safe(rule.finds),
            Safe(rule.matters),
            Safe(rule.fix)
        )?;
    }
    writeln!(page, "<dl>")?;
    let detector = format!("{}{}", finding.detector, rule.map_or_else(String::new, found::attack));
    term(page, "Id", &finding.id.to_string())?;
    term(page, "Detector", &Safe(&detector).to_string())?;
    term(page, "Actor", &party(&finding.actor, summary))?;
    if let Some(victim) = &finding.victim {
        term(page, "Victim", &party(victim, summary))?;
    }
    if !finding.matter.is_empty() {
        term(page, "Matter", &Safe(&finding.matter).to_string())?;
    }
    let times = match finding.count {
        1 => "once".to_owned(),
        count => format!("{} times", HumanCount(count)),
    };
    term(page, "Seen", &format!("{}, {times}", span(finding.first, finding.last)))?;
    if let Some(crossed) = &finding.crossed {
        term(page, "Threshold", &Safe(&found::threshold(crossed)).to_string())?;
    }
    for factor in &finding.factors {
        let text = format!("{}: {} (usual: {})", factor.name, factor.seen, factor.usual);
        term(page, "Because", &Safe(&text).to_string())?;
    }
    for (label, text) in ["Evidence", "SHA-256"].into_iter().zip(found::evidence(finding, &summary.state)) {
        term(page, label, &Safe(&text).to_string())?;
    }
    let flows: Vec<_> = finding.conversations.iter().take(PARTIES).map(ToString::to_string).collect();
    if !flows.is_empty() {
        let more = finding.conversations.len().saturating_sub(PARTIES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        term(page, "Conversations", &format!("{}{more}", flows.join(", ")))?;
    }
    if let Some(incident) = finding.incident {
        term(page, "Incident", &format!("<a href=\"#{incident}\">{incident}</a>"))?;
    }
    if !finding.because.is_empty() {
        let causes: Vec<_> = finding.because.iter().map(|id| format!("<a href=\"#{id}\">{id}</a>")).collect();
        term(page, "Rests on", &causes.join(", "))?;
    }
    if let Some(said) = &finding.judgement {
        term(page, "Verdict", &Safe(&found::said(said)).to_string())?;
    }
    writeln!(page, "</dl>\n</details>")
}

/// Who talks to whom: devices on a circle, their conversations across it.
fn map(own: &[&Device], page: &mut String) -> fmt::Result {
    let mut drawn: Vec<&Device> = own.to_vec();
    drawn.sort_by_key(|device| std::cmp::Reverse(device.peers.len()));
    drawn.truncate(DRAWN);
    if drawn.len() < 2 {
        return Ok(());
    }
    // Neighbours on the circle are of one class, then of one network.
    drawn.sort_by_key(|device| (class(device).0, device.addresses.first().map(|known| known.ip), device.id));
    let place = |number: usize| {
        let angle = std::f64::consts::TAU * number as f64 / drawn.len() as f64;
        (angle, angle.cos() * RADIUS, angle.sin() * RADIUS)
    };
    let places: BTreeMap<DeviceId, usize> =
        drawn.iter().enumerate().map(|(number, device)| (device.id, number)).collect();
    let longest = drawn.iter().map(|device| short(device).chars().count()).max().unwrap_or(0);
    let size = RADIUS + CHARACTER * (longest + 3) as f64;
    writeln!(
        page,
        "<section><h2>Who talks to whom</h2>\n<div class=\"wide\"><svg viewBox=\"{0:.0} {0:.0} {1:.0} {1:.0}\" role=\"img\" \
         aria-label=\"Devices and the conversations between them\">",
        -size,
        2.0 * size
    )?;
    for device in &drawn {
        for (peer, what) in &device.peers {
            let (Some(&from), Some(&to)) = (places.get(&device.id), places.get(peer)) else { continue };
            // Each conversation stands with both; it is drawn once.
            if from >= to {
                continue;
            }
            let ((_, x1, y1), (_, x2, y2)) = (place(from), place(to));
            let width = (((what.bytes_in + what.bytes_out) as f64).max(1.0).log10() / 2.0).clamp(0.5, 4.0);
            writeln!(
                page,
                "<path d=\"M{x1:.1} {y1:.1}Q{:.1} {:.1} {x2:.1} {y2:.1}\" stroke-width=\"{width:.1}\"/>",
                (x1 + x2) * 0.15,
                (y1 + y2) * 0.15
            )?;
        }
    }
    for (number, device) in drawn.iter().enumerate() {
        let (angle, x, y) = place(number);
        let (class, colour) = class(device);
        let degrees = angle.to_degrees();
        let left = (90.0..270.0).contains(&degrees);
        let (turn, anchor, shift) = if left { (degrees + 180.0, "end", -12) } else { (degrees, "start", 12) };
        writeln!(
            page,
            "<g transform=\"translate({x:.1} {y:.1})\"><title>{0} ({class})</title><circle r=\"6\" fill=\"{colour}\"/>\
             <text transform=\"rotate({turn:.1})\" x=\"{shift}\" y=\"4\" text-anchor=\"{anchor}\">{0}</text></g>",
            Safe(&short(device))
        )?;
    }
    writeln!(page, "</svg></div>\n<p class=\"legend\">")?;
    for (name, colour) in CLASSES.iter().map(|(name, _, colour)| (*name, *colour)).chain([OTHER]) {
        writeln!(page, "<span><i style=\"background:{colour}\"></i>{name}</span>")?;
    }
    writeln!(page, "</p>")?;
    if own.len() > drawn.len() {
        writeln!(page, "<p class=\"note\">The {} devices with most peers are drawn.</p>", drawn.len())?;
    }
    writeln!(page, "</section>")
}

fn devices(own: &[&Device], page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "<section><h2>Devices</h2>\n<p class=\"note\">{}</p>",
        match own.is_empty() {
            true => "No device was seen.",
            false => "Open a device to see why it is believed to be what it is.",
        }
    )?;
    for device in own {
        let (_, colour) = class(device);
        let best = |attribute| show::told(device, attribute).unwrap_or("");
        let what = [best(Attribute::Vendor), best(Attribute::Model), best(Attribute::Firmware)];
        let what: Vec<&str> = what.into_iter().filter(|text| !text.is_empty()).collect();
        writeln!(
            page,
            "<details id=\"{}\"><summary><i style=\"background:{colour}\"></i><b>{}</b><span>{}</span><span>{}</span><span>{}</span></summary>",
            device.id,
            Safe(&short(device)),
            Safe(&show::address(device)),
            Safe(&show::kind(device)),
            Safe(&what.join(" · "))
        )?;
        device_body(device, page)?;
        writeln!(page, "</details>")?;
    }
    writeln!(page, "</section>")
}

fn device_body(device: &Device, page: &mut String) -> fmt::Result {
    let place = match device.locality {
        Locality::OnLink => "on the link",
        Locality::Routed => "beyond a router",
        Locality::External => "elsewhere in the Internet",
    };
    let list = |items: Vec<String>| if items.is_empty() { "–".to_owned() } else { items.join(", ") };
    let macs = list(device.macs.iter().map(ToString::to_string).collect());
    let addresses = list(device.addresses.iter().map(|known| known.ip.to_string()).collect());
    let services = |services: &BTreeMap<model::Service, u64>| {
        list(
            services
                .keys()
                .map(|service| match service.port {
                    0 => service.protocol.to_string(),
                    port => format!("{} ({}/{port})", service.protocol, service.transport),
                })
                .collect(),
        )
    };
    writeln!(page, "<dl>")?;
    for (term, text) in [
        ("Id", device.id.to_string()),
        ("Seen", format!("{} to {}", show::moment(device.first), show::moment(device.last))),
        ("Place", place.to_owned()),
        ("MAC", macs),
        ("Addresses", addresses),
        ("Offers", services(&device.offers)),
        ("Uses", services(&device.uses)),
        (
            "Traffic",
            format!("{} sent, {} received", HumanBytes(device.bytes_out), HumanBytes(device.bytes_in)),
        ),
    ] {
        writeln!(page, "<dt>{term}</dt><dd>{}</dd>", Safe(&text))?;
    }
    writeln!(page, "</dl>")?;
    if device.attributes.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<div class=\"wide\"><table><thead><tr><th>Attribute</th><th>Value</th><th class=\"n\">Confidence</th><th>Evidence</th>\
         <th class=\"n\">Times</th></tr></thead><tbody>"
    )?;
    for (attribute, evidence) in &device.attributes {
        for (place, one) in evidence.iter().enumerate() {
            writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{} %</td><td>{}</td><td class=\"n\">{}</td></tr>",
                if place == 0 { attribute.name() } else { "" },
                Safe(&one.value),
                one.confidence.get(),
                Safe(&show::reason(&one.source)),
                HumanCount(one.count)
            )?;
        }
    }
    writeln!(page, "</tbody></table></div>")
}

/// Rows with a bar each, the largest first: label, remark, size, and the size in words.
fn bars(page: &mut String, rows: &[(String, String, u64, String)]) -> fmt::Result {
    let largest = rows.iter().map(|(_, _, size, _)| *size).max().unwrap_or(1).max(1);
    writeln!(page, "<div class=\"bars\">")?;
    for (label, remark, size, words) in rows {
        let share = (*size as f64 / largest as f64 * 100.0).max(0.5);
        writeln!(
            page,
            "<div><span>{}<small>{}</small></span><div><i style=\"width:{share:.1}%\"></i></div><span>{}</span></div>",
            Safe(label),
            Safe(remark),
            Safe(words)
        )?;
    }
    writeln!(page, "</div>")
}

fn conversations(summary: &Summary, page: &mut String) -> fmt::Result {
    if summary.conversations.is_empty() {
        return Ok(());
    }
    writeln!(page, "<section><h2>Top conversations</h2>")?;
    let rows: Vec<_> = summary
        .conversations
        .iter()
        .map(|(conversation, weight)| {
            let protocol = protocol_name(conversation.protocol.as_ref(), conversation.transport);
            let label = format!("{} → {}", conversation.client, conversation.server);
            (label, protocol, weight.bytes, HumanBytes(weight.bytes).to_string())
        })
        .collect();
    bars(page, &rows)?;
    writeln!(page, "</section>")
}

fn protocols(summary: &Summary, page: &mut String) -> fmt::Result {
    if summary.totals.protocols.is_empty() {
        return Ok(());
    }
    writeln!(page, "<section><h2>Protocols</h2>")?;
    let rows: Vec<_> = show::busiest(&summary.totals.protocols)
        .into_iter()
        .take(BARS)
        .map(|(id, totals)| {
            let remark = found::count(totals.flows as usize, "conversation");
            (id.to_owned(), remark, totals.packets, format!("{} packets", HumanCount(totals.packets)))
        })
        .collect();
    bars(page, &rows)?;
    writeln!(page, "</section>")
}

fn anomalies(summary: &Summary, page: &mut String) -> fmt::Result {
    if summary.totals.anomalies.is_empty() {
        return writeln!(page, "<section><h2>Anomalies</h2><p>None.</p></section>");
    }
    writeln!(
        page,
        "<section><h2>Anomalies</h2><div class=\"wide\"><table><thead><tr><th>What</th><th class=\"n\">Times</th><th>First from</th>\
         <th>First at</th><th>Detail</th></tr></thead><tbody>"
    )?;
    for (kind, totals) in show::frequent(&summary.totals.anomalies) {
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Safe(kind),
            HumanCount(totals.count),
            totals.host,
            show::moment(totals.first),
            Safe(&totals.detail)
        )?;
    }
    writeln!(page, "</tbody></table></div></section>")
}

fn sources(summary: &Summary, page: &mut String) -> fmt::Result {
    writeln!(page, "<section><h2>Sources</h2><ul>")?;
    for source in &summary.sources {
        write!(
            page,
            "<li>{}: {} packets, {}",
            Safe(&source.name),
            HumanCount(source.packets),
            HumanBytes(source.bytes)
        )?;
        if source.dropped > 0 {
            write!(page, ", {} dropped by the kernel", HumanCount(source.dropped))?;
        }
        if !source.complete && !source.is_live() {
            write!(page, ", not read to its end")?;
        }
        if let Some(damage) = &source.damage {
            write!(page, " — {}", Safe(damage))?;
        }
        writeln!(page, "</li>")?;
    }
    for (limit, totals) in &summary.totals.shed {
        writeln!(page, "<li>{}</li>", Safe(&show::given_up(limit, totals)))?;
    }
    writeln!(page, "</ul></section>")
}

const STYLE: &str = "
:root{color-scheme:light dark;--back:#f8fafc;--card:#fff;--ink:#0f172a;--soft:#475569;--line:#e2e8f0;--bar:#0f766e}
@media(prefers-color-scheme:dark){:root{--back:#0b1120;--card:#111a2e;--ink:#e2e8f0;--soft:#94a3b8;--line:#23304a;--bar:#2dd4bf}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:32px 20px}h1{margin:0;font-size:28px}h2{margin:0 0 12px;font-size:19px}
header p,.note,footer,small,dt{color:var(--soft)}header p{margin:4px 0 24px;overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px;margin-bottom:20px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(112px,1fr));gap:12px}
.cards div{display:flex;flex-direction:column}.cards b{font-size:22px;white-space:nowrap}.cards span{color:var(--soft)}
svg{display:block;width:100%;max-width:820px;margin:0 auto}svg path{fill:none;stroke:var(--soft);opacity:.35}
svg text{font-size:12px;fill:var(--ink)}.legend{display:flex;flex-wrap:wrap;gap:16px;justify-content:center;margin:8px 0 0}
.legend i,summary i{display:inline-block;width:11px;height:11px;border-radius:50%;margin-right:6px;flex:none}
.found summary{grid-template-columns:74px 1fr 3fr}h3{margin:18px 0 0;font-size:16px}.note{margin:2px 0 10px}a{color:inherit}
.found details>p{max-width:75ch;margin:8px 0}ol,.found ul{margin:0 0 8px;padding-left:22px}li{overflow-wrap:anywhere}time{color:var(--soft)}
summary>b[class]{font-size:12px;padding:1px 8px;border-radius:9px;color:#fff;background:#64748b;text-align:center;justify-self:start}
.found b.critical{background:#9f1239}.found b.high{background:#c2410c}.found b.medium{background:#a16207}.found b.low{background:#1d4ed8}
.wide{overflow-x:auto}:target{outline:2px solid var(--bar);outline-offset:2px}
details{border-top:1px solid var(--line)}summary{display:grid;grid-template-columns:11px 1.2fr 1fr 1fr 2fr;gap:12px;align-items:center;padding:9px 4px;cursor:pointer}
summary>*{overflow-wrap:anywhere}summary:hover{background:var(--back)}
dl{display:grid;grid-template-columns:110px 1fr;gap:4px 12px;margin:8px 0 12px}dd{margin:0;overflow-wrap:anywhere}
table{width:100%;border-collapse:collapse;margin:8px 0}th,td{text-align:left;padding:5px 8px;border-top:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600}details td:first-child{white-space:nowrap}.n{text-align:right;white-space:nowrap}
.bars>div{display:grid;grid-template-columns:minmax(180px,1.3fr) 2fr 110px;gap:12px;align-items:center;padding:5px 0}
.bars>div>div{background:var(--back);border-radius:6px}.bars i{display:block;height:12px;border-radius:6px;background:var(--bar)}
.bars>div>span{overflow-wrap:anywhere}.bars>div>span:last-child{text-align:right;white-space:nowrap}
.bars small{display:block}ul{margin:0;padding-left:18px}footer{text-align:center}
@media(max-width:700px){main{padding:20px 10px}section{padding:14px}.found summary{grid-template-columns:auto 1fr}.found summary>span{grid-column:1/-1}dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 6px}svg{min-width:620px}.wide table{min-width:560px}summary{grid-template-columns:11px 1fr 1fr}summary>:nth-child(n+4){display:none}.bars>div{grid-template-columns:1fr 90px}.bars>div>div{display:none}}
summary:focus-visible{outline:2px solid var(--bar);outline-offset:-2px}
@media print{:root{color-scheme:light;--back:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--bar:#0f766e}body{font-size:11px}main{max-width:none;padding:0}section{border:0;padding:0 0 12px}.cards,svg,.bars>div,summary,tr{break-inside:avoid}details::details-content{content-visibility:visible;block-size:auto}.wide{overflow:visible}h2{break-after:avoid}i{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
";
