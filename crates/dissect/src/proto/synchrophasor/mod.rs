//! Synchrophasors: measurement units of electricity networks stream what they measure, with exact time.
//!
//! IEEE Std C37.118.2-2011, clause 6. The first word tells the frame's type; the last is a check over
//! all before it, which makes recognition sure. A unit may answer over TCP or UDP.

mod crc;

use model::{Attribute, Confidence, OperationKind, Outcome, Role, Side};
use serde::Serialize;

use self::crc::crc;
use super::industrial::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// IEEE C37.118.2.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "synchrophasor",
    name: "Synchrophasor data transfer",
    spec: "IEEE Std C37.118.2-2011",
    carriers: &[Carrier::Tcp(PORTS), Carrier::Udp(PORTS)],
    probe,
    start: || Box::new(Synchrophasor::default()),
};

/// The ports of annex E.2: TCP 4712 and UDP 4713.
const PORTS: &[u16] = &[4_712, 4_713];

/// Every frame begins so.
const SYNC: u8 = 0xaa;

/// Sync, size, identifier, second of century, fraction of second (6.2, table 2).
const HEADER: usize = 14;

/// The check at the end.
const CHECK: usize = 2;

/// A probe waits for the rest of frames up to this size; longer ones it takes by their header.
const MAX_AWAITED: usize = 2_048;

/// Units of one configuration that are reported. Facts are told of the first.
const MAX_UNITS: usize = 16;

/// After so many frames in a row that fail their check, the stream is given up.
const MAX_BAD_FRAMES: u8 = 3;

/// Types of frames (table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Header,
    Configuration1,
    Configuration2,
    Command,
    Configuration3,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Header => "header",
            Self::Configuration1 => "configuration-1",
            Self::Configuration2 => "configuration-2",
            Self::Command => "command",
            Self::Configuration3 => "configuration-3",
        }
    }
}

/// The type and size at the beginning of a frame: `None` if there is no frame, `Err` if bytes are
/// missing.
fn start(bytes: &[u8]) -> Result<Option<(Kind, usize)>, Short> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != SYNC {
        return Ok(None);
    }
    let second = reader.u8()?;
    let kind = match second >> 4 {
        0 => Kind::Data,
        1 => Kind::Header,
        2 => Kind::Configuration1,
        3 => Kind::Configuration2,
        4 => Kind::Command,
        5 => Kind::Configuration3,
        _ => return Ok(None),
    };
    // Version 1 is that of 2005, version 2 that of 2011.
    if !matches!(second & 0x0f, 1 | 2) {
        return Ok(None);
    }
    let size = usize::from(reader.be16()?);
    let least = HEADER + CHECK + if kind == Kind::Header { 0 } else { 2 };
    Ok((size >= least).then_some((kind, size)))
}

/// Whether a whole frame agrees with its check.
fn checks(frame: &[u8]) -> bool {
    frame.split_last_chunk::<CHECK>().is_some_and(|(before, check)| crc(before) == u16::from_be_bytes(*check))
}

fn probe(opening: &Opening<'_>) -> Verdict {
    let bytes = opening.bytes;
    match start(bytes) {
        Ok(None) => Verdict::No,
        Err(Short) if opening.stream => Verdict::More,
        Err(Short) => Verdict::No,
        Ok(Some((_, size))) => match bytes.get(..size) {
            Some(frame) if checks(frame) => Verdict::Yes,
            Some(_) => Verdict::No,
            None if !opening.stream => Verdict::No,
            None if size <= MAX_AWAITED => Verdict::More,
            None => Verdict::Maybe,
        },
    }
}

/// A frame as it is reported.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Message {
    version: u8,
    size: usize,
    id_code: u16,
    second_of_century: u32,
    fraction_of_second: u32,
    time_quality: u8,
    /// Data: the state of the first unit (6.3).
    status: Option<u16>,
    /// Header: what people wrote (6.4 is for people, not machines).
    text: Option<String>,
    command: Option<&'static str>,
    command_code: Option<u16>,
    /// Configuration.
    continuation: Option<u16>,
    time_base: Option<u32>,
    unit_count: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    units: Vec<Unit>,
    /// Frames in a second, or if negative seconds for a frame.
    data_rate: Option<i16>,
}

/// A measurement unit in a configuration (6.4 and 6.5).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Unit {
    station: Option<String>,
    id_code: u16,
    global_id: Option<String>,
    phasors: u16,
    analogs: u16,
    digitals: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phasor_names: Vec<String>,
    latitude: Option<f32>,
    longitude: Option<f32>,
    /// Hertz.
    nominal_frequency: u8,
    configuration_changes: u16,
}

/// One conversation.
#[derive(Debug, Default)]
struct Synchrophasor {
    searching: [bool; 2],
    bad_frames: u8,
    roles_told: bool,
    streams: [bool; 2],
}

impl Parser for Synchrophasor {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let from = input.from;
        let mut taken = 0;
        while let Some(bytes) = input.bytes.get(taken..).filter(|bytes| !bytes.is_empty()) {
            match start(bytes) {
                Err(Short) => break,
                Ok(None) if self.searching[from.index()] => taken += 1,
                Ok(None) => {
                    self.bad_frames += 1;
                    if self.bad_frames >= MAX_BAD_FRAMES {
                        return Progress::Lost("framing");
                    }
                    out.anomaly(from, "framing", format_args!("a frame does not begin with 0xaa and a type"));
                    self.searching[from.index()] = true;
                }
                Ok(Some((kind, size))) => {
                    let Some(frame) = bytes.get(..size) else { break };
                    if checks(frame) {
                        self.searching[from.index()] = false;
                        self.bad_frames = 0;
                        if self.frame(from, kind, frame, out).is_err() {
                            out.anomaly(
                                from,
                                "length-mismatch",
                                format_args!("{} of {size} bytes", kind.name()),
                            );
                        }
                    } else if self.searching[from.index()] {
                        taken += 1;
                        continue;
                    } else {
                        self.bad_frames += 1;
                        if self.bad_frames >= MAX_BAD_FRAMES {
                            return Progress::Lost("check");
                        }
                        out.anomaly(from, "check", format_args!("{} of {size} bytes", kind.name()));
                    }
                    taken += size;
                }
            }
        }
        Progress::Took(taken)
    }

    fn gap(&mut self, from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        self.searching[from.index()] = true;
        true
    }
}

impl Synchrophasor {
    fn frame(&mut self, from: Side, kind: Kind, frame: &[u8], out: &mut Emit<'_>) -> Result<(), Short> {
        if kind != Kind::Command && !self.roles_told {
            self.roles_told = true;
            out.role(from, Role::Ied, "synchrophasor.stream", Confidence::STRONG);
            out.role(from.other(), Role::Scada, "synchrophasor.stream", Confidence::LIKELY);
        }
        // Most frames are data, and tell nothing new.
        if kind == Kind::Data && !out.wants_messages() {
            return Ok(());
        }
        let mut reader = Reader::new(frame.get(..frame.len() - CHECK).ok_or(Short)?);
        reader.skip(1)?;
        let version = reader.u8()? & 0x0f;
        reader.skip(2)?;
        let mut message =
            Message { version, size: frame.len(), id_code: reader.be16()?, ..Message::default() };
        message.second_of_century = reader.be32()?;
        message.time_quality = reader.u8()?;
        message.fraction_of_second = reader.be24()?;
        let read = match kind {
            Kind::Data => {
                message.status = Some(reader.be16()?);
                Ok(())
            }
            Kind::Header => {
                message.text = text(reader.rest());
                if let Some(text) = &message.text {
                    out.fact(from, Attribute::Label, text, "synchrophasor.header", Confidence::LIKELY);
                }
                Ok(())
            }
            Kind::Command => {
                let code = reader.be16()?;
                message.command_code = Some(code);
                message.command = Some(self.command(from, code, message.id_code, out));
                Ok(())
            }
            Kind::Configuration1 | Kind::Configuration2 | Kind::Configuration3 => {
                let read = configuration(kind, &mut reader, &mut message);
                describe(from, &message, out);
                read
            }
        };
        out.message(from, kind.name(), &message);
        read
    }

    /// Commands have no answer of their own (6.6).
    fn command(&mut self, from: Side, code: u16, id_code: u16, out: &mut Emit<'_>) -> &'static str {
        let (name, kind) = match code {
            1 => ("data-off", Some(OperationKind::Configure)),
            2 => ("data-on", Some(OperationKind::Subscribe)),
            3 => ("send-header", Some(OperationKind::Identify)),
            4 => ("send-configuration-1", Some(OperationKind::Identify)),
            5 => ("send-configuration-2", Some(OperationKind::Identify)),
            6 => ("send-configuration-3", Some(OperationKind::Identify)),
            8 => ("extended-frame", Some(OperationKind::Execute)),
            _ => ("user-defined", None),
        };
        if let Some(kind) = kind {
            let told = std::mem::replace(&mut self.streams[from.index()], true);
            // Who asks is known before anything was answered.
            if !told && !self.roles_told {
                out.role(from, Role::Scada, "synchrophasor.command", Confidence::LIKELY);
            }
            let target = format!("unit {id_code}");
            out.operation(from, kind, name, Some(target.into()), None, Outcome::Asked);
        }
        name
    }
}

/// What a configuration tells about the unit that sends it.
fn describe(from: Side, message: &Message, out: &mut Emit<'_>) {
    let many = message.unit_count.is_some_and(|count| count > 1);
    let kind = if many { "phasor data concentrator" } else { "phasor measurement unit" };
    out.fact(from, Attribute::Type, kind, "synchrophasor.configuration", Confidence::STRONG);
    let identifier = format!("synchrophasor id {}", message.id_code);
    out.fact(from, Attribute::Identifier, identifier, "synchrophasor.id-code", Confidence::STRONG);
    // The units behind a concentrator are other devices.
    let Some(unit) = message.units.first().filter(|_| !many) else { return };
    if let Some(station) = &unit.station {
        out.fact(from, Attribute::Label, station, "synchrophasor.station-name", Confidence::CERTAIN);
    }
    if let Some(id) = &unit.global_id {
        let id = format!("synchrophasor global id {id}");
        out.fact(from, Attribute::Identifier, id, "synchrophasor.global-id", Confidence::CERTAIN);
    }
    if let (Some(latitude), Some(longitude)) = (unit.latitude, unit.longitude) {
        let place = format!("{latitude} {longitude}");
        out.fact(from, Attribute::Location, place, "synchrophasor.position", Confidence::STRONG);
    }
}

/// Reads a configuration: forms 1 and 2 have names of 16 bytes (6.4), form 3 names with their lengths
/// and more about each unit (6.5).
fn configuration(kind: Kind, reader: &mut Reader<'_>, message: &mut Message) -> Result<(), Short> {
    let third = kind == Kind::Configuration3;
    if third {
        message.continuation = Some(reader.be16()?);
        // What goes on in further frames begins anywhere.
        if message.continuation.is_some_and(|index| index > 1) {
            return Ok(());
        }
    }
    message.time_base = Some(reader.be32()? & 0x00ff_ffff);
    let count = reader.be16()?;
    message.unit_count = Some(count);
    for _ in 0..count {
        let unit = match unit(third, reader) {
            // The rest is in the next frame.
            Err(Short) if message.continuation.is_some_and(|index| index != 0) => return Ok(()),
            unit => unit?,
        };
        if message.units.len() < MAX_UNITS {
            message.units.push(unit);
        }
    }
    message.data_rate = Some(reader.be16()?.cast_signed());
    Ok(())
}

fn name<'a>(third: bool, reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = if third { reader.u8()?.into() } else { 16 };
    reader.take(length)
}

fn unit(third: bool, reader: &mut Reader<'_>) -> Result<Unit, Short> {
    let mut unit = Unit { station: text(name(third, reader)?), ..Unit::default() };
    unit.id_code = reader.be16()?;
    if third {
        let id = reader.array::<16>()?;
        let known = id.iter().any(|byte| *byte != 0);
        unit.global_id = known.then(|| id.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    reader.skip(2)?;
    unit.phasors = reader.be16()?;
    unit.analogs = reader.be16()?;
    unit.digitals = reader.be16()?;
    for _ in 0..unit.phasors {
        let name = name(third, reader)?;
        if unit.phasor_names.len() < MAX_UNITS {
            unit.phasor_names.extend(text(name));
        }
    }
    // A digital status word has a name for each of its bits.
    for _ in 0..u32::from(unit.analogs) + 16 * u32::from(unit.digitals) {
        name(third, reader)?;
    }
    let (phasor, analog) = if third { (12, 8) } else { (4, 4) };
    reader.skip(phasor * usize::from(unit.phasors) + analog * usize::from(unit.analogs))?;
    reader.skip(4 * usize::from(unit.digitals))?;
    if third {
        // Infinity stands for a place that is not told.
        let degrees = |bits| Some(f32::from_bits(bits)).filter(|degrees| degrees.is_finite());
        unit.latitude = degrees(reader.be32()?);
        unit.longitude = degrees(reader.be32()?);
        reader.skip(4 + 1 + 4 + 4)?;
    }
    unit.nominal_frequency = if reader.be16()? & 1 == 0 { 60 } else { 50 };
    unit.configuration_changes = reader.be16()?;
    Ok(unit)
}

#[cfg(test)]
mod tests;
