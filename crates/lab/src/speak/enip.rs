//! EtherNet/IP and CIP (ODVA, The CIP Networks Library volumes 1 and 2).

use std::net::{IpAddr, SocketAddr};

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};

const PORT: u16 = 44_818;

/// What a device says it is (volume 2 section 2-4.2).
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) vendor: u16,
    /// Device type: 14 is a programmable logic controller, 12 a communications adapter.
    pub(crate) kind: u16,
    pub(crate) product: u16,
    pub(crate) revision: [u8; 2],
    pub(crate) serial: u32,
    pub(crate) name: &'static str,
}

fn encapsulate(command: u16, session: u32, context: u64, data: &[u8]) -> Vec<u8> {
    build(|m| {
        m.le16(command).le16(data.len() as u16).le32(session).le32(0).be64(context).le32(0).put(data);
    })
}

/// Asks all devices of the link who they are; those given answer.
pub(crate) fn discover(net: &mut Net, host: HostId, all: [u8; 4], found: &[(HostId, Identity)]) {
    let port = net.port(host);
    let context = net.rng.next();
    let all = SocketAddr::from((all, PORT));
    net.tell(host, port, all, "enip", &encapsulate(0x63, 0, context, &[]));
    for (other, identity) in found {
        let IpAddr::V4(ip) = net.v4(*other, host) else { continue };
        let item = build(|m| {
            m.le16(1).be16(2).be16(PORT).put(&ip.octets()).be64(0);
            m.put(&identity_object(*identity)).u8(3);
        });
        let data = build(|m| _ = m.le16(1).le16(0x0c).le16(item.len() as u16).put(&item));
        let answer = encapsulate(0x63, 0, context, &data);
        net.pause_us(2_000, 60_000);
        net.answer((*other, PORT), (host, port), "enip", &answer);
    }
}

/// Attributes 1 to 7 of the identity object (volume 1 section 5A-2).
fn identity_object(identity: Identity) -> Vec<u8> {
    build(|m| {
        m.le16(identity.vendor).le16(identity.kind).le16(identity.product).put(&identity.revision);
        m.le16(0x0060).le32(identity.serial).short(identity.name.as_bytes());
    })
}

/// A session with a device.
#[derive(Clone, Copy)]
pub(crate) struct Session {
    pub(crate) conn: ConnId,
    handle: u32,
    context: u64,
}

/// Opens a session.
pub(crate) fn open(net: &mut Net, client: HostId, server: HostId) -> Session {
    let conn = net.connect(client, server, PORT, "enip");
    let (handle, context) = (net.rng.u32() | 1, net.rng.next());
    let version = [1, 0, 0, 0];
    let ask = encapsulate(0x65, 0, context, &version);
    net.exchange(conn, &ask, &encapsulate(0x65, handle, context, &version));
    Session { conn, handle, context }
}

impl Session {
    /// Asks a service of an object and is answered.
    fn request(&mut self, net: &mut Net, service: u8, path: &[u8], data: &[u8], answer: &[u8]) {
        self.context = self.context.wrapping_add(1);
        let ask = build(|m| _ = m.u8(service).u8((path.len() / 2) as u8).put(path).put(data));
        let tell = build(|m| _ = m.u8(service | 0x80).u8(0).u8(0).u8(0).put(answer));
        let wrap = |cip: &[u8]| {
            let data = build(|m| {
                m.le32(0).le16(10).le16(2).le16(0).le16(0).le16(0xb2).le16(cip.len() as u16).put(cip);
            });
            encapsulate(0x6f, self.handle, self.context, &data)
        };
        net.exchange(self.conn, &wrap(&ask), &wrap(&tell));
    }

    /// Reads all of the identity object: service 1, class 1, instance 1.
    pub(crate) fn identity(&mut self, net: &mut Net, identity: Identity) {
        self.request(net, 1, &[0x20, 1, 0x24, 1], &[], &identity_object(identity));
    }

    /// Reads a tag of 32 bits by its name: service 0x4c of Logix controllers.
    pub(crate) fn read_tag(&mut self, net: &mut Net, tag: &str, value: u32) {
        let answer = build(|m| _ = m.le16(0xc4).le32(value));
        self.request(net, 0x4c, &symbol(tag), &[1, 0], &answer);
    }

    /// Writes a tag of 32 bits: service 0x4d.
    pub(crate) fn write_tag(&mut self, net: &mut Net, tag: &str, value: u32) {
        let data = build(|m| _ = m.le16(0xc4).le16(1).le32(value));
        self.request(net, 0x4d, &symbol(tag), &data, &[]);
    }
}

/// A name as a path (volume 1 appendix C: ANSI extended symbol segment).
fn symbol(tag: &str) -> Vec<u8> {
    let mut path = build(|m| _ = m.u8(0x91).short(tag.as_bytes()));
    if path.len() % 2 == 1 {
        path.u8(0);
    }
    path
}
