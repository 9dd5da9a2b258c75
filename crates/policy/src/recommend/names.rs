//! Kinds of devices and zones, with names that can be read.

use std::collections::{BTreeMap, BTreeSet};

use model::{Attribute, Device, DeviceId, Locality};
use query::{DEVICE, Expr, Field, Op, Pattern, Span, Value};

use super::{Kind, Names};
use crate::Place;
use crate::compile::Compiled;
use crate::syntax::{Criticality, Level, Term, Zone, is_name};

/// A name is at most so long, in characters.
const MAX_NAME: usize = 40;

/// By what devices are of one kind.
const PROPERTIES: [(&str, Attribute); 3] =
    [("main-role", Attribute::Role), ("vendor", Attribute::Vendor), ("model", Attribute::Model)];

/// Zones, with the parts that are played there.
const ZONES: [(&str, u8, Criticality, &[&str]); 4] = [
    ("field", 10, Criticality::Critical, &["plc", "rtu", "ied", "field-device", "building-controller"]),
    ("control", 20, Criticality::High, &["hmi", "scada", "engineering-station"]),
    ("operations", 30, Criticality::Medium, &["historian"]),
    ("enterprise", 40, Criticality::Low, &["workstation", "printer", "mobile", "phone", "media"]),
];

fn is_local(device: &Device) -> bool {
    device.locality != Locality::External
}

fn field(name: &str) -> Option<&'static Field> {
    DEVICE.iter().find(|field| field.name == name)
}

fn is(name: &str, value: &str) -> Option<Expr> {
    let value = Value::Text(Pattern::literal(value));
    Some(Expr::Term(query::Term { field: Some(field(name)?), op: Op::Matches, value, span: Span::default() }))
}

impl Names {
    /// Names for an estate: no two are the same.
    pub(super) fn new(bare: &Compiled) -> Self {
        let mut taken: BTreeSet<String> = ZONES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let kinds = kinds(bare, &mut taken);
        let mut devices = BTreeMap::new();
        for device in bare.devices().filter(|device| is_local(device)) {
            let told = device.best(Attribute::Hostname).or_else(|| device.best(Attribute::Label));
            let own = slug(told.unwrap_or_default());
            if !own.is_empty() {
                devices.insert(device.id, free(&own, &mut taken).into());
            }
        }
        Self { kinds, devices }
    }
}

/// Devices of the organisation, by kind, where at least two are of one.
fn kinds(bare: &Compiled, taken: &mut BTreeSet<String>) -> Vec<Kind> {
    let mut found: BTreeMap<[String; 3], BTreeSet<DeviceId>> = BTreeMap::new();
    // Hosts of the Internet play parts as well.
    let mut playing: BTreeMap<String, Vec<&Device>> = BTreeMap::new();
    for device in bare.devices() {
        let role = device.best(Attribute::Role).unwrap_or_default().to_lowercase();
        playing.entry(role).or_default().push(device);
    }
    for device in bare.devices().filter(|device| is_local(device)) {
        let key = PROPERTIES.map(|(_, attribute)| device.best(attribute).unwrap_or_default().to_lowercase());
        // Without a part nobody knows what it is.
        if !key[0].is_empty() {
            found.entry(key).or_default().insert(device.id);
        }
    }
    found
        .into_iter()
        .filter(|(_, members)| members.len() > 1)
        .map(|(key, members)| {
            let name = free(&name(&key), taken);
            let terms = selector(bare, &key, &members, playing.get(&key[0]).map_or(&[], Vec::as_slice))
                .map_or_else(
                    || members.iter().map(|id| Term::Device(*id)).collect(),
                    |expr| vec![Term::Query(expr)],
                );
            Kind { name: name.into(), members, terms }
        })
        .collect()
}

/// An expression that holds of these devices and of no other, if the properties make one; `playing` are all that play the
/// part.
fn selector(
    bare: &Compiled,
    key: &[String; 3],
    members: &BTreeSet<DeviceId>,
    playing: &[&Device],
) -> Option<Expr> {
    let readable = |value: &str| !value.chars().any(|c| c.is_control());
    let parts = PROPERTIES.iter().zip(key).filter(|(_, value)| !value.is_empty());
    let parts: Option<Vec<Expr>> =
        parts.map(|((name, _), value)| readable(value).then(|| is(name, value))?).collect();
    let parts = parts?;
    // As short as will do: the part alone, then with the vendor, then with the model.
    (1..=parts.len()).find_map(|length| {
        let expr = Expr::all(parts.get(..length)?.to_vec())?;
        let selects = |device: &Device| expr.matches(device, bare.now());
        let exact = playing.iter().all(|device| selects(device) == members.contains(&device.id));
        (exact && expr.to_string().len() <= query::MAX_LENGTH).then_some(expr)
    })
}

/// Vendor, model and part, as one word.
fn name([role, vendor, model]: &[String; 3]) -> String {
    let slug = slug(&format!("{vendor} {model} {role}"));
    if slug.is_empty() { "group".into() } else { format!("{slug}s") }
}

/// A text as one word of lower-case letters, digits and hyphens.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if c != '-' || !slug.ends_with('-') && !slug.is_empty() {
            slug.push(c);
        }
    }
    // The end tells what it is; words stay whole.
    let mut slug = slug.trim_end_matches('-');
    while let Some((_, rest)) = slug.split_once('-').filter(|_| slug.len() > MAX_NAME) {
        slug = rest;
    }
    let slug = slug.get(slug.len().saturating_sub(MAX_NAME)..).unwrap_or_default();
    slug.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).to_owned()
}

/// The name, or the first with a number behind it that is free.
fn free(name: &str, taken: &mut BTreeSet<String>) -> String {
    let name = if is_name(name) { name.to_owned() } else { format!("group-{name}") };
    let numbered = (2..).map(|number: u64| format!("{name}-{number}"));
    let free =
        std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name);
    taken.insert(free.clone());
    free
}

/// Zones for a plant: none where nothing is controlled.
pub(super) fn zones(bare: &Compiled) -> Vec<Zone> {
    let played: BTreeSet<&str> = bare
        .devices()
        .filter(|device| is_local(device))
        .filter_map(|device| device.best(Attribute::Role))
        .collect();
    let plant = ZONES.iter().take(2).flat_map(|(.., parts)| *parts).any(|part| played.contains(part));
    let zone = |(name, level, criticality, parts): &(&str, u8, Criticality, &[&str])| {
        let here =
            parts.iter().filter(|part| played.contains(*part)).filter_map(|part| is("main-role", part));
        let mut members = Expr::one_of(here)?;
        // Hosts of the Internet are in no zone, whatever they are.
        let outside = |device: &Device| !is_local(device) && members.matches(device, bare.now());
        if bare.devices().any(outside) {
            members = Expr::all([members, Expr::Not(Box::new(is("locality", "external")?))])?;
        }
        Some(Zone {
            name: (*name).into(),
            level: Level::from_tenths(*level),
            criticality: Some(*criticality),
            members: vec![Term::Query(members)],
            place: Place::default(),
        })
    };
    ZONES.iter().filter(|_| plant).filter_map(zone).collect()
}
