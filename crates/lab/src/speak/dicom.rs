//! DICOM: associations (PS3.8 clause 9.3), commands (PS3.7 annex E) and pictures (PS3.5 clause 7.1). Pixels are
//! made of chance, patients have numbers only.

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};

const VERIFICATION: &str = "1.2.840.10008.1.1";
const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// The most that the sides take in one data unit, in bytes.
const MAX_UNIT: usize = 16_384;
/// Rows and columns of a picture.
const SIDE: u16 = 160;

/// One end: its title and its software.
#[derive(Clone, Copy)]
pub(crate) struct Entity {
    pub(crate) title: &'static str,
    /// Unique identifier and name of the implementation.
    pub(crate) implementation: (&'static str, &'static str),
}

/// What stands in each picture about the equipment that made it.
#[derive(Clone, Copy)]
pub(crate) struct Equipment {
    pub(crate) manufacturer: &'static str,
    pub(crate) model: &'static str,
    pub(crate) station: &'static str,
    pub(crate) serial: &'static str,
    pub(crate) software: &'static str,
}

fn unit(kind: u8, body: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(kind).u8(0).be32(body.len() as u32).put(body))
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(kind).u8(0).long(value))
}

/// A request for an association or its acceptance; `contexts` are those asked for or accepted.
fn associate(kind: u8, called: Entity, calling: Entity, speaker: Entity, contexts: &[Vec<u8>]) -> Vec<u8> {
    let (class, name) = speaker.implementation;
    let about = [
        item(0x51, &(MAX_UNIT as u32).to_be_bytes()),
        item(0x52, class.as_bytes()),
        item(0x55, name.as_bytes()),
    ];
    let body = build(|m| {
        m.be16(1).be16(0).field(called.title, 16, b' ').field(calling.title, 16, b' ').put(&[0; 32]);
        m.put(&item(0x10, b"1.2.840.10008.3.1.1.1")).put(&contexts.concat());
        m.put(&item(0x50, &about.concat()));
    });
    unit(kind, &body)
}

/// Text of an even length.
fn even(text: &str, fill: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(fill);
    }
    bytes
}

/// A command: its elements after the length of them all.
fn command(field: u16, class: &str, message: u16, more: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let number = |value: u16| value.to_le_bytes().to_vec();
    let reply = if field & 0x8000 == 0 { 0x0110 } else { 0x0120 };
    let mut elements = vec![(0x0002, even(class, 0)), (0x0100, number(field)), (reply, number(message))];
    elements.extend_from_slice(more);
    let body = build(|m| {
        for (tag, value) in &elements {
            m.le16(0).le16(*tag).le32(value.len() as u32).put(value);
        }
    });
    build(|m| _ = m.le16(0).le16(0).le32(4).le32(body.len() as u32).put(&body))
}

/// Data units that carry a command or data, in as many fragments as are needed (annex E.2).
fn values(context: u8, is_command: bool, bytes: &[u8]) -> Vec<u8> {
    let pieces = bytes.chunks(MAX_UNIT - 6);
    let last = pieces.len().saturating_sub(1);
    build(|m| {
        for (number, piece) in pieces.enumerate() {
            let control = u8::from(is_command) | u8::from(number == last) << 1;
            let value = build(|v| _ = v.be32(piece.len() as u32 + 2).u8(context).u8(control).put(piece));
            m.put(&unit(4, &value));
        }
    })
}

/// An element whose type is named and whose length has two bytes.
fn element(out: &mut Vec<u8>, group: u16, number: u16, kind: &[u8; 2], value: &[u8]) {
    out.le16(group).le16(number).put(kind).le16(value.len() as u16).put(value);
}

fn picture(net: &mut Net, equipment: Equipment, (study, number): (u32, u32), instance: &str) -> Vec<u8> {
    let pixels = net.rng.bytes(usize::from(SIDE) * usize::from(SIDE) * 2);
    build(|m| {
        let texts: &[(u16, u16, &[u8; 2], &str)] = &[
            (0x0008, 0x0016, b"UI", CT_IMAGE),
            (0x0008, 0x0018, b"UI", instance),
            (0x0008, 0x0060, b"CS", "CT"),
            (0x0008, 0x0070, b"LO", equipment.manufacturer),
            (0x0008, 0x1010, b"SH", equipment.station),
            (0x0008, 0x1090, b"LO", equipment.model),
            (0x0010, 0x0010, b"PN", &format!("PATIENT^{study}")),
            (0x0010, 0x0020, b"LO", &study.to_string()),
            (0x0018, 0x1000, b"LO", equipment.serial),
            (0x0018, 0x1020, b"LO", equipment.software),
            (0x0020, 0x000d, b"UI", &format!("1.2.826.0.1.3680043.10.99.{study}")),
            (0x0020, 0x000e, b"UI", &format!("1.2.826.0.1.3680043.10.99.{study}.1")),
            (0x0020, 0x0013, b"IS", &number.to_string()),
        ];
        for (group, number, kind, text) in texts {
            element(m, *group, *number, kind, &even(text, if *kind == b"UI" { 0 } else { b' ' }));
        }
        element(m, 0x0028, 0x0002, b"US", &[1, 0]);
        element(m, 0x0028, 0x0004, b"CS", b"MONOCHROME2 ");
        for (number, value) in [(0x10, SIDE), (0x11, SIDE), (0x100, 16), (0x101, 12), (0x102, 11), (0x103, 0)]
        {
            element(m, 0x0028, number, b"US", &value.to_le_bytes());
        }
        m.le16(0x7fe0).le16(0x0010).put(b"OW").le16(0).le32(pixels.len() as u32).put(&pixels);
    })
}

/// An open association.
pub(crate) struct Association {
    conn: ConnId,
    message: u16,
}

/// Opens an association for tests of the connection and for pictures of computed tomography.
pub(crate) fn open(
    net: &mut Net,
    (client, calling): (HostId, Entity),
    (server, called): (HostId, Entity),
) -> Association {
    let conn = net.connect(client, server, 104, "dicom");
    let asked = [(1, VERIFICATION), (3, CT_IMAGE)].map(|(number, class)| {
        let parts = [item(0x30, class.as_bytes()), item(0x40, EXPLICIT.as_bytes())].concat();
        item(0x20, &build(|m| _ = m.u8(number).put(&[0; 3]).put(&parts)))
    });
    let accepted = [1, 3].map(|number| {
        item(0x21, &build(|m| _ = m.u8(number).put(&[0; 3]).put(&item(0x40, EXPLICIT.as_bytes()))))
    });
    net.exchange(
        conn,
        &associate(1, called, calling, calling, &asked),
        &associate(2, called, calling, called, &accepted),
    );
    Association { conn, message: 0 }
}

/// Element 0800 of a command: no data follows, or some does.
const NO_DATA: [u8; 2] = [1, 1];
const WITH_DATA: [u8; 2] = [0, 0];

impl Association {
    /// Asks whether the other side is there.
    pub(crate) fn echo(&mut self, net: &mut Net) {
        self.message += 1;
        let ask = command(0x0030, VERIFICATION, self.message, &[(0x0800, NO_DATA.into())]);
        let done = [(0x0800, NO_DATA.into()), (0x0900, vec![0, 0])];
        let answer = command(0x8030, VERIFICATION, self.message, &done);
        net.exchange(self.conn, &values(1, true, &ask), &values(1, true, &answer));
    }

    /// Stores a picture, one of a study's.
    pub(crate) fn store(&mut self, net: &mut Net, equipment: Equipment, study: u32, number: u32) {
        self.message += 1;
        let instance = format!("1.2.826.0.1.3680043.10.99.{study}.1.{number}");
        let more = [(0x0700, vec![0, 0]), (0x0800, WITH_DATA.into()), (0x1000, even(&instance, 0))];
        let ask = command(0x0001, CT_IMAGE, self.message, &more);
        let data = picture(net, equipment, (study, number), &instance);
        let done = [(0x0800, NO_DATA.into()), (0x0900, vec![0, 0]), (0x1000, even(&instance, 0))];
        let answer = command(0x8001, CT_IMAGE, self.message, &done);
        let question = [values(3, true, &ask), values(3, false, &data)].concat();
        net.exchange(self.conn, &question, &values(3, true, &answer));
    }

    /// Releases the association and closes the connection.
    pub(crate) fn close(self, net: &mut Net) {
        net.exchange(self.conn, &unit(5, &[0; 4]), &unit(6, &[0; 4]));
        net.close(self.conn);
    }
}
