//! S7 communication over ISO on TCP (RFC 1006, ISO 8073 class 0).

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};

/// Wraps a transport PDU (RFC 1006 section 6).
fn tpkt(content: &[u8]) -> Vec<u8> {
    build(|m| _ = m.u8(3).u8(0).be16(4 + content.len() as u16).put(content))
}

fn data_unit(content: &[u8]) -> Vec<u8> {
    tpkt(&build(|m| _ = m.put(&[2, 0xf0, 0x80]).put(content)))
}

/// What a message is.
#[derive(Clone, Copy)]
enum Kind {
    Job = 1,
    AckData = 3,
    UserData = 7,
}

fn message(kind: Kind, reference: u16, parameter: &[u8], data: &[u8]) -> Vec<u8> {
    data_unit(&build(|m| {
        m.u8(0x32)
            .u8(kind as u8)
            .be16(0)
            .be16(reference)
            .be16(parameter.len() as u16)
            .be16(data.len() as u16);
        if matches!(kind, Kind::AckData) {
            m.be16(0);
        }
        m.put(parameter).put(data);
    }))
}

/// A connection to a controller, with its running number.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) conn: ConnId,
    reference: u16,
}

/// Opens a connection: transport, then setup. Connection type 1 is a programming device, 2 an operator
/// panel.
pub(crate) fn open(net: &mut Net, client: HostId, server: HostId, kind: u8, slot: u8) -> Link {
    let conn = net.connect(client, server, 102, "s7comm");
    let source = net.rng.u16() >> 8;
    let points = [0xc1, 2, 1, 0, 0xc2, 2, kind, slot, 0xc0, 1, 10];
    let request = tpkt(&build(|m| _ = m.u8(0x11).u8(0xe0).be16(0).be16(source).u8(0).put(&points)));
    let confirm = tpkt(&build(|m| _ = m.u8(0x11).u8(0xd0).be16(source).be16(0x44).u8(0).put(&points)));
    net.exchange(conn, &request, &confirm);
    let setup = |length: u16| build(|m| _ = m.u8(0xf0).u8(0).be16(1).be16(1).be16(length));
    let mut link = Link { conn, reference: 0 };
    let number = link.next();
    net.exchange(
        conn,
        &message(Kind::Job, number, &setup(480), &[]),
        &message(Kind::AckData, number, &setup(240), &[]),
    );
    link
}

/// Where a variable stands: area code (0x84 data block, 0x83 flags, 0x81 inputs), block, first byte.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) area: u8,
    pub(crate) block: u16,
    pub(crate) byte: u32,
}

fn item(out: &mut Vec<u8>, place: Place, bytes: u16) {
    out.put(&[0x12, 0x0a, 0x10, 2]).be16(bytes).be16(place.block).u8(place.area).be24(place.byte << 3);
}

impl Link {
    fn next(&mut self) -> u16 {
        self.reference = self.reference.wrapping_add(1);
        self.reference
    }

    /// Reads variables.
    pub(crate) fn read(&mut self, net: &mut Net, places: &[(Place, u16)]) {
        let number = self.next();
        let request = build(|m| {
            m.u8(4).u8(places.len() as u8);
            places.iter().for_each(|(place, bytes)| item(m, *place, *bytes));
        });
        let data = build(|m| {
            for (index, (_, bytes)) in places.iter().enumerate() {
                let value = net.rng.bytes(usize::from(*bytes));
                m.u8(0xff).u8(4).be16(bytes * 8).put(&value);
                // Items begin at even offsets; the last is not filled up.
                if bytes % 2 == 1 && index + 1 < places.len() {
                    m.u8(0);
                }
            }
        });
        let ask = message(Kind::Job, number, &request, &[]);
        let (data, stage) = net.replay(self.conn, data);
        let answer = message(Kind::AckData, number, &[4, places.len() as u8], &data);
        match stage {
            None => net.exchange(self.conn, &ask, &answer),
            Some(stage) => {
                net.client_says(self.conn, &ask);
                net.during(stage, |net| net.server_says(self.conn, &answer));
                net.settle(self.conn);
            }
        }
    }

    /// Writes one variable.
    pub(crate) fn write(&mut self, net: &mut Net, place: Place, value: &[u8]) {
        let number = self.next();
        let request = build(|m| item(m.u8(5).u8(1), place, value.len() as u16));
        let data = build(|m| _ = m.u8(0).u8(4).be16(value.len() as u16 * 8).put(value));
        let answer = message(Kind::AckData, number, &[5, 1], &[0xff]);
        net.exchange(self.conn, &message(Kind::Job, number, &request, &data), &answer);
    }

    /// Reads a system status list of records of one length.
    pub(crate) fn system_list(&mut self, net: &mut Net, id: u16, records: &[Vec<u8>]) {
        let number = self.next();
        let sequence = net.rng.u8() | 1;
        let question = build(|m| _ = m.u8(0xff).u8(9).be16(4).be16(id).be16(0));
        let list = build(|m| {
            m.be16(id).be16(0).be16(records.first().map_or(0, Vec::len) as u16).be16(records.len() as u16);
            records.iter().for_each(|record| _ = m.put(record));
        });
        let data = build(|m| _ = m.u8(0xff).u8(9).long(&list));
        let ask = [0, 1, 0x12, 4, 0x11, 0x44, 1, 0];
        let tell = [0, 1, 0x12, 8, 0x12, 0x84, 1, sequence, 0, 0, 0, 0];
        net.exchange(
            self.conn,
            &message(Kind::UserData, number, &ask, &question),
            &message(Kind::UserData, number, &tell, &data),
        );
    }

    /// Reads what the controller is: order number and firmware (list 0x0011), then its names and
    /// serial number (list 0x001c).
    pub(crate) fn identify(&mut self, net: &mut Net, card: Card) {
        let module = |index: u16, version: [u8; 4]| {
            build(|m| _ = m.be16(index).field(card.order, 20, b' ').be16(0xc0).put(&version))
        };
        let [major, minor, patch] = card.firmware;
        self.system_list(
            net,
            0x0011,
            &[
                module(1, [0, 1, b' ', b' ']),
                module(6, [0, 1, b' ', b' ']),
                module(7, [b'V', major, minor, patch]),
            ],
        );
        let name = |index: u16, text: &str| build(|m| _ = m.be16(index).field(text, 32, 0));
        self.system_list(
            net,
            0x001c,
            &[
                name(1, card.station),
                name(2, card.module),
                name(3, card.plant),
                name(4, "Original Siemens Equipment"),
                name(5, card.serial),
                name(7, card.kind),
            ],
        );
    }

    /// Uploads a block, from the controller to the programming device.
    pub(crate) fn upload(&mut self, net: &mut Net, file: &str, block: &[u8]) {
        let number = self.next();
        let start = build(|m| _ = m.u8(0x1d).u8(0).be16(0).be32(0).short(file.as_bytes()));
        let size = format!("{:07}", block.len());
        let started = build(|m| _ = m.u8(0x1d).u8(0).be16(0x0100).be32(7).short(size.as_bytes()));
        self.job(net, number, &start, &started, &[]);
        for (index, part) in block.chunks(200).enumerate() {
            let number = self.next();
            let more = u8::from((index + 1) * 200 < block.len());
            let next = build(|m| _ = m.u8(0x1e).u8(0).be16(0).be32(7));
            let data = build(|m| _ = m.be16(part.len() as u16).be16(0x00fb).put(part));
            self.job(net, number, &next, &[0x1e, more], &data);
        }
        let number = self.next();
        self.job(net, number, &build(|m| _ = m.u8(0x1f).u8(0).be16(0).be32(7)), &[0x1f], &[]);
    }

    /// Downloads a block to the controller and has it put into the program.
    pub(crate) fn download(&mut self, net: &mut Net, file: &str, block: &[u8]) {
        let number = self.next();
        let sizes = format!("1{:06}{:06}", block.len(), block.len().saturating_sub(36));
        let head = |function: u8| build(|m| _ = m.u8(function).u8(0).be16(0).be32(0).short(file.as_bytes()));
        let request = build(|m| _ = m.put(&head(0x1a)).short(sizes.as_bytes()));
        self.job(net, number, &request, &[0x1a], &[]);
        // From here on the controller asks.
        for (index, part) in block.chunks(200).enumerate() {
            let number = 0x0100 + index as u16;
            let more = u8::from((index + 1) * 200 < block.len());
            let data = build(|m| _ = m.be16(part.len() as u16).be16(0x00fb).put(part));
            net.server_says(self.conn, &message(Kind::Job, number, &head(0x1b), &[]));
            net.client_says(self.conn, &message(Kind::AckData, number, &[0x1b, more], &data));
        }
        net.server_says(self.conn, &message(Kind::Job, 0x01ff, &head(0x1c), &[]));
        net.client_says(self.conn, &message(Kind::AckData, 0x01ff, &[0x1c], &[]));
        let number = self.next();
        let insert = build(|m| {
            // The block's name without the leading underscore and the file system's letter.
            let list = build(|v| _ = v.u8(1).u8(0).put(&file.as_bytes()[1..file.len() - 1]).u8(b'P'));
            m.u8(0x28).put(&[0, 0, 0, 0, 0, 0, 0xfd]).long(&list).short(b"_INSE");
        });
        self.job(net, number, &insert, &[0x28], &[]);
    }

    /// Asks how many blocks of each kind there are (user data, function group 3, "list blocks").
    pub(crate) fn count_blocks(&mut self, net: &mut Net, counts: &[(u8, u16)]) {
        let number = self.next();
        let sequence = net.rng.u8() | 1;
        let list = build(|m| counts.iter().for_each(|(kind, count)| _ = m.u8(b'0').u8(*kind).be16(*count)));
        let data = build(|m| _ = m.u8(0xff).u8(9).long(&list));
        let ask = [0, 1, 0x12, 4, 0x11, 0x43, 1, 0];
        let tell = [0, 1, 0x12, 8, 0x12, 0x83, 1, sequence, 0, 0, 0, 0];
        net.exchange(
            self.conn,
            &message(Kind::UserData, number, &ask, &[0x0a, 0, 0, 0]),
            &message(Kind::UserData, number, &tell, &data),
        );
    }

    /// Stops the controller's program.
    pub(crate) fn stop(&mut self, net: &mut Net) {
        let number = self.next();
        let ask = build(|m| _ = m.u8(0x29).put(&[0; 5]).short(b"P_PROGRAM"));
        self.job(net, number, &ask, &[0x29], &[]);
    }

    /// Starts the controller's program again.
    pub(crate) fn restart(&mut self, net: &mut Net) {
        let number = self.next();
        let ask = build(|m| _ = m.u8(0x28).put(&[0, 0, 0, 0, 0, 0, 0xfd]).be16(0).short(b"P_PROGRAM"));
        self.job(net, number, &ask, &[0x28], &[]);
    }

    fn job(&self, net: &mut Net, number: u16, ask: &[u8], answer: &[u8], data: &[u8]) {
        net.exchange(
            self.conn,
            &message(Kind::Job, number, ask, &[]),
            &message(Kind::AckData, number, answer, data),
        );
    }
}

/// What a controller says it is.
#[derive(Clone, Copy)]
pub(crate) struct Card {
    pub(crate) order: &'static str,
    pub(crate) firmware: [u8; 3],
    pub(crate) station: &'static str,
    pub(crate) module: &'static str,
    pub(crate) plant: &'static str,
    pub(crate) serial: &'static str,
    pub(crate) kind: &'static str,
}

/// A block as it is uploaded and downloaded, with a program of chance: header `pp`, version, language,
/// type (0x08 organisation block, 0x0a data block, 0x0c function) and number.
pub(crate) fn block(net: &mut Net, kind: u8, number: u16, size: usize) -> Vec<u8> {
    build(|m| _ = m.put(&[b'p', b'p', 1, 1, 0x02, kind]).be16(number).put(&net.rng.bytes(size)))
}
