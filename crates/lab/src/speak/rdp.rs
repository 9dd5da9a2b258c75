//! The remote desktop (MS-RDPBCGR), as far as it can be read: X.224's connection, then TLS.

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};
use crate::speak::tls::{self, Dial, Name, Style};

/// The port of the protocol.
const PORT: u16 = 3_389;

/// TLS is asked for and granted (MS-RDPBCGR clauses 2.2.1.1.1 and 2.2.1.2.1).
const PROTOCOL_SSL: u32 = 1;

/// Opens a session as `user` on a computer called `name`.
pub(crate) fn open(
    net: &mut Net,
    client: HostId,
    (server, name): (HostId, &'static str),
    user: &str,
) -> ConnId {
    let conn = net.connect(client, server, PORT, "rdp");
    let cookie = format!("Cookie: mstshash={user}\r\n");
    let negotiation = |kind: u8| build(|m| _ = m.u8(kind).u8(0).le16(8).le32(PROTOCOL_SSL));
    // Transport header (RFC 1006), then X.224 with its own length.
    let wrap = |code: u8, content: &[u8]| {
        build(|m| {
            m.u8(3).u8(0).be16(11 + content.len() as u16);
            m.u8(6 + content.len() as u8).u8(code).be16(0).be16(if code == 0xd0 { 0x1234 } else { 0 });
            m.u8(0).put(content);
        })
    };
    let request = wrap(0xe0, &[cookie.as_bytes(), &negotiation(1)].concat());
    net.exchange(conn, &request, &wrap(0xd0, &negotiation(2)));
    let server = Name { host: name, organisation: name };
    tls::upgrade(net, conn, Dial { style: Style::Small, sni: "", protocols: &[], server, port: PORT });
    conn
}

/// Somebody works at the remote screen: keys and pointer up, pictures down.
pub(crate) fn work(net: &mut Net, conn: ConnId, times: usize) {
    for _ in 0..times {
        let (up, down) = (net.rng.range(60, 160) as usize, net.rng.range(400, 9_000) as usize);
        tls::talk(net, conn, up, down);
        net.pause_us(40_000, 900_000);
    }
}
