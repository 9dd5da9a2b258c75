//! EtherCAT: a controller's frame runs through all devices of a segment and comes back; each reads and
//! writes its part in passing.
//!
//! IEC 61158-4-12 clause 5 (frames and datagrams), clause 6 (registers), IEC 61158-6-12 clause 5.6 (CANopen
//! over EtherCAT) and 5.7 (files). The devices have no addresses that a network knows, so what is learnt
//! is about the controller. When nobody wants messages, only what changes something is looked at.

mod mailbox;
#[cfg(test)]
mod tests;

use model::{Confidence, OperationKind, Outcome, Role, Side, Value};
use serde::Serialize;

use self::mailbox::Mailbox;
use super::industrial::Recent;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict};

/// EtherCAT, straight on Ethernet or in UDP.
pub(super) static PROTOCOL: Protocol = Protocol {
    id: "ethercat",
    name: "EtherCAT",
    spec: "IEC 61158-4-12, IEC 61158-6-12",
    carriers: &[Carrier::EtherType(0x88a4), Carrier::Udp(&[0x88a4])],
    probe,
    start: || Box::new(EtherCat::default()),
};

/// More datagrams than this in one frame are not read; 1,500 bytes hold 125 empty ones.
const MAX_DATAGRAMS: usize = 128;

/// Commands (IEC 61158-4-12 clause 5.4.1.2) that address a device by its configured address.
const CONFIGURED_READ: u8 = 4;
const CONFIGURED_WRITE: u8 = 5;

/// The register by which a device is told its state (clause 6.1.5.4), and that of its clock (6.2.4).
const STATE_CONTROL: u16 = 0x0120;
/// Mailboxes lie in memory, behind the registers.
const FIRST_MEMORY: u16 = 0x1000;

fn probe(opening: &Opening<'_>) -> Verdict {
    match opening.bytes {
        // Type 1: datagrams. The length must fit, and the first command must be one.
        [low, high, command, ..] if high >> 4 == 1 && *command <= 14 => {
            let length = usize::from(u16::from_le_bytes([*low, *high]) & 0x07ff);
            let fits = length >= 12 && length <= opening.bytes.len() - 2;
            // Over UDP these few bits could be anybody's: there the port must agree.
            match (fits, opening.server_port) {
                (false, _) => Verdict::No,
                (true, 0) => Verdict::Yes,
                (true, _) => Verdict::Maybe,
            }
        }
        // Types 4 and 5: network variables and mailboxes. On an EtherType of its own that is enough.
        [_, high, ..] if matches!(high >> 4, 4 | 5) && opening.server_port == 0 => Verdict::Maybe,
        _ => Verdict::No,
    }
}

/// The name of a command.
const fn name(command: u8) -> &'static str {
    match command {
        0 => "nop",
        1 => "aprd",
        2 => "apwr",
        3 => "aprw",
        4 => "fprd",
        5 => "fpwr",
        6 => "fprw",
        7 => "brd",
        8 => "bwr",
        9 => "brw",
        10 => "lrd",
        11 => "lwr",
        12 => "lrw",
        13 => "armw",
        14 => "frmw",
        _ => "unknown",
    }
}

/// One datagram, as it is shown.
#[derive(Serialize)]
struct Datagram<'a> {
    command: &'static str,
    index: u8,
    /// Position or configured address of the device; logical commands have none.
    device: Option<u16>,
    /// Place in the device's memory.
    offset: Option<u16>,
    logical: Option<u32>,
    length: usize,
    /// How many devices have worked it.
    working_counter: u16,
    /// The state that a device is told to take.
    state: Option<&'static str>,
    #[serde(flatten)]
    mailbox: Option<Mailbox<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    datagrams: Vec<Datagram<'a>>,
}

#[derive(Serialize)]
struct Other {
    length: u16,
}

#[derive(Default)]
struct EtherCat {
    recent: Recent,
}

impl Parser for EtherCat {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        if self.frame(input, out).is_err() && input.cut == 0 {
            let length = input.bytes.len();
            out.anomaly(input.from, "length", format_args!("a datagram does not fit {length} bytes"));
        }
        Progress::Took(input.bytes.len())
    }
}

impl EtherCat {
    fn frame(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Result<(), Short> {
        let from = input.from;
        let mut reader = Reader::new(input.bytes);
        let header = reader.le16()?;
        match header >> 12 {
            1 => {}
            kind => {
                let name = match kind {
                    4 => "network-variables",
                    5 => "mailbox",
                    _ => "unknown",
                };
                out.message(from, name, &Other { length: header & 0x07ff });
                return Ok(());
            }
        }
        let mut shown = Vec::new();
        for _ in 0..MAX_DATAGRAMS {
            let (command, index) = (reader.u8()?, reader.u8()?);
            let address = reader.array::<4>()?;
            let length = reader.le16()?;
            reader.skip(2)?;
            let data = reader.take(usize::from(length & 0x07ff))?;
            let working_counter = reader.le16()?;
            let [d1, d2, o1, o2] = address;
            let (device, offset) = (u16::from_le_bytes([d1, d2]), u16::from_le_bytes([o1, o2]));
            let is_logical = matches!(command, 10..=12);
            let state = match (command, offset, data) {
                (2 | 5 | 8, STATE_CONTROL, [code, ..]) => Some(state(*code)),
                _ => None,
            };
            let in_memory = matches!(command, CONFIGURED_READ | CONFIGURED_WRITE) && offset >= FIRST_MEMORY;
            let mailbox = if in_memory { Mailbox::read(data) } else { None };
            // On its way out no device has worked a frame yet; coming back it is the same once more.
            if working_counter == 0 && (state.is_some() || mailbox.is_some()) {
                self.order(from, command, device, state, mailbox.as_ref(), out);
            }
            if out.wants_messages() {
                shown.push(Datagram {
                    command: name(command),
                    index,
                    device: (!is_logical).then_some(device),
                    offset: (!is_logical).then_some(offset),
                    logical: is_logical.then(|| u32::from_le_bytes(address)),
                    length: data.len(),
                    working_counter,
                    state,
                    mailbox,
                });
            }
            if working_counter == 0 && command != 0 {
                self.controller(from, out);
            }
            // Bit 15 of the length says that another datagram follows.
            if length & 0x8000 == 0 {
                break;
            }
        }
        out.message(from, "frame", &Frame { datagrams: shown });
        Ok(())
    }

    /// Who sends frames that no device has worked yet is the controller. A frame that comes back from a
    /// segment has the bit for local addresses set in its source, so that it is not taken for another.
    fn controller(&mut self, from: Side, out: &mut Emit<'_>) {
        if let Some(mac) = out.host(from).mac.filter(|mac| !mac.is_local()) {
            let [a, b, c, d, e, f] = mac.0;
            if self.recent.is_new(&[u64::from_be_bytes([1, 0, a, b, c, d, e, f])]) {
                out.role(from, Role::Plc, "ethercat.controller", Confidence::STRONG);
            }
        }
    }

    /// What a device is told to do.
    fn order(
        &mut self,
        from: Side,
        command: u8,
        device: u16,
        state: Option<&'static str>,
        mailbox: Option<&Mailbox<'_>>,
        out: &mut Emit<'_>,
    ) {
        if let Some(state) = state {
            let target = match command {
                8 => "all devices".into(),
                2 => format!("device at position {}", device.wrapping_neg()),
                _ => format!("device {device}"),
            };
            let value = Some(Value::Text(state.into()));
            let target = Some(target.into());
            out.operation(from, OperationKind::ChangeMode, "state-control", target, value, Outcome::Asked);
        }
        let Some((kind, name, object, value)) = mailbox.and_then(Mailbox::order) else { return };
        if command == CONFIGURED_WRITE {
            let target = Some(format!("device {device} {object}").into());
            out.operation(from, kind, name, target, value, Outcome::Asked);
        }
    }
}

/// A state of a device (IEC 61158-6-12 clause 6.4).
const fn state(code: u8) -> &'static str {
    match code & 0x0f {
        1 => "init",
        2 => "pre-operational",
        3 => "bootstrap",
        4 => "safe-operational",
        8 => "operational",
        _ => "unknown",
    }
}
