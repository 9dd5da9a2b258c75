//! SMB 2.1 over TCP (MS-SMB2), with NTLM (MS-NLMP) and RPC over named pipes (DCE 1.1, C706). What would
//! prove a password is made of chance.

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};

const PORT: u16 = 445;

/// Commands (MS-SMB2 2.2.1.2).
const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const LOGOFF: u16 = 2;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;

const MORE_PROCESSING_REQUIRED: u32 = 0xc000_0016;

/// Most data in one read or write. SMB 2.0.2 allows 64 KiB for one credit.
const PART: usize = 32 * 1024;

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn le64(out: &mut Vec<u8>, value: u64) {
    out.put(&value.to_le_bytes());
}

/// A session on a server, with the share that is in use.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    conn: ConnId,
    message: u64,
    session: u64,
    tree: u32,
}

/// Negotiates, logs in as `user` and connects to `share` (`\\HOST\ADMIN$`); `pipe` says that it is IPC$.
pub(crate) fn open(
    net: &mut Net,
    (client, user): (HostId, &str),
    server: HostId,
    share: &str,
    pipe: bool,
) -> Link {
    let conn = net.connect(client, server, PORT, "smb");
    let mut link = Link { conn, message: 0, session: 0, tree: 0 };
    let guids = [net.rng.array::<16>(), net.rng.array::<16>()];
    let ask = build(|m| {
        m.le16(36).le16(2).le16(1).le16(0).le32(0).put(&guids[0]).put(&[0; 8]).le16(0x0202).le16(0x0210);
    });
    let answer = build(|m| {
        m.le16(65).le16(1).le16(0x0210).le16(0).put(&guids[1]).le32(1);
        m.le32(1 << 20).le32(1 << 20).le32(1 << 20).put(&[0; 16]).le16(128).le16(0).le32(0);
    });
    link.exchange(net, NEGOTIATE, &ask, &answer, 0);
    let session = u64::from(net.rng.u32()) << 8 | 1;
    let setup = |token: &[u8]| {
        build(|m| {
            m.le16(25).u8(0).u8(1).le32(1).le32(0).le16(88).le16(token.len() as u16).put(&[0; 8]).put(token);
        })
    };
    let told = |token: &[u8]| build(|m| _ = m.le16(9).le16(0).le16(72).le16(token.len() as u16).put(token));
    // The server's answer already tells the session's number.
    let ask = link.frame(SESSION_SETUP, 0, false, &setup(&ntlm_negotiate()));
    link.session = session;
    let challenge = ntlm_challenge(net.rng.array());
    let answer = link.frame(SESSION_SETUP, MORE_PROCESSING_REQUIRED, true, &told(&challenge));
    net.exchange(conn, &ask, &answer);
    link.message += 1;
    let proof = ntlm_authenticate(user, &net.rng.bytes(24));
    link.exchange(net, SESSION_SETUP, &setup(&proof), &told(&[]), 0);
    let path = utf16(share);
    let ask = build(|m| _ = m.le16(9).le16(0).le16(72).le16(path.len() as u16).put(&path));
    let answer = build(|m| {
        m.le16(16).u8(if pipe { 2 } else { 1 }).u8(0).le32(0).le32(0).le32(0x001f_01ff);
    });
    let ask = link.frame(TREE_CONNECT, 0, false, &ask);
    link.tree = net.rng.u32() >> 16 | 1;
    let answer = link.frame(TREE_CONNECT, 0, true, &answer);
    net.exchange(conn, &ask, &answer);
    link.message += 1;
    link
}

impl Link {
    /// A message in its frame (MS-SMB2 2.1 and 2.2.1.2).
    fn frame(&self, command: u16, status: u32, reply: bool, body: &[u8]) -> Vec<u8> {
        build(|m| {
            m.u8(0).be24(64 + body.len() as u32);
            m.put(&[0xfe, b'S', b'M', b'B']).le16(64).le16(u16::from(self.message > 0)).le32(status);
            m.le16(command).le16(1).le32(u32::from(reply)).le32(0);
            le64(m, self.message);
            m.le32(0xfeff).le32(self.tree);
            le64(m, self.session);
            m.put(&[0; 16]).put(body);
        })
    }

    fn exchange(&mut self, net: &mut Net, command: u16, ask: &[u8], answer: &[u8], status: u32) {
        let (ask, answer) = (self.frame(command, 0, false, ask), self.frame(command, status, true, answer));
        net.exchange(self.conn, &ask, &answer);
        self.message += 1;
    }

    /// Opens a file or pipe of the share and returns its identifier.
    fn create(&mut self, net: &mut Net, name: &str, size: u64, write: bool) -> [u8; 16] {
        let file = net.rng.array::<16>();
        let text = utf16(name);
        let (access, disposition) = if write { (0x0012_0196, 5) } else { (0x0012_0089, 1) };
        let ask = build(|m| {
            m.le16(57).u8(0).u8(0).le32(2).put(&[0; 16]).le32(access).le32(0x80).le32(7).le32(disposition);
            m.le32(0x40).le16(120).le16(text.len() as u16).le32(0).le32(0).put(&text);
        });
        let answer = build(|m| {
            m.le16(89).u8(0).u8(0).le32(if write { 2 } else { 1 }).put(&[0; 32]);
            le64(m, size);
            le64(m, size);
            m.le32(0x80).le32(0).put(&file).le32(0).le32(0);
        });
        self.exchange(net, CREATE, &ask, &answer, 0);
        file
    }

    fn close_file(&mut self, net: &mut Net, file: [u8; 16]) {
        let ask = build(|m| _ = m.le16(24).le16(0).le32(0).put(&file));
        let answer = build(|m| _ = m.le16(60).put(&[0; 58]));
        self.exchange(net, CLOSE, &ask, &answer, 0);
    }

    fn write_part(&mut self, net: &mut Net, file: [u8; 16], at: usize, data: &[u8]) {
        let ask = build(|m| {
            m.le16(49).le16(112).le32(data.len() as u32);
            le64(m, at as u64);
            m.put(&file).le32(0).le32(0).le16(0).le16(0).le32(0).put(data);
        });
        let answer = build(|m| _ = m.le16(17).le16(0).le32(data.len() as u32).le32(0).le32(0));
        self.exchange(net, WRITE, &ask, &answer, 0);
    }

    fn read_part(&mut self, net: &mut Net, file: [u8; 16], at: usize, data: &[u8]) {
        let ask = build(|m| {
            m.le16(49).u8(80).u8(0).le32(data.len() as u32);
            le64(m, at as u64);
            m.put(&file).le32(0).le32(0).le32(0).le32(0).u8(0);
        });
        let answer = build(|m| _ = m.le16(17).u8(80).u8(0).le32(data.len() as u32).le32(0).le32(0).put(data));
        self.exchange(net, READ, &ask, &answer, 0);
    }

    /// Writes a file of `size` bytes, made of chance.
    pub(crate) fn store(&mut self, net: &mut Net, name: &str, size: usize) {
        let file = self.create(net, name, 0, true);
        for at in (0..size).step_by(PART) {
            let data = net.rng.bytes(PART.min(size - at));
            self.write_part(net, file, at, &data);
        }
        self.close_file(net, file);
    }

    /// Reads a file of `size` bytes, made of chance.
    pub(crate) fn fetch(&mut self, net: &mut Net, name: &str, size: usize) {
        let file = self.create(net, name, size as u64, false);
        for at in (0..size).step_by(PART) {
            let data = net.rng.bytes(PART.min(size - at));
            self.read_part(net, file, at, &data);
        }
        self.close_file(net, file);
    }

    /// Calls operations of an RPC interface by a named pipe: binds, then asks and is answered; what is said
    /// is made of chance.
    pub(crate) fn call(&mut self, net: &mut Net, pipe: &str, interface: Interface, operations: &[u16]) {
        let file = self.create(net, pipe, 0, true);
        self.write_part(net, file, 0, &bind(interface));
        self.read_part(net, file, 0, &bound(pipe));
        for (number, operation) in (2..).zip(operations) {
            let size = net.rng.range(12, 40) as usize * 4;
            let (ask, tell) = (net.rng.bytes(size), net.rng.bytes(24));
            self.write_part(net, file, 0, &request(number, *operation, &ask));
            self.read_part(net, file, 0, &response(number, &tell));
        }
        self.close_file(net, file);
    }

    /// Has the server's service control manager create a service from a program, start it and delete it
    /// (MS-SCMR 3.1.4, operations 15, 12, 19 and 2).
    pub(crate) fn start_service(&mut self, net: &mut Net, name: &str, program: &str) {
        let [manager, service] = [net.rng.array::<20>(), net.rng.array::<20>()];
        let file = self.create(net, "svcctl", 0, true);
        self.write_part(net, file, 0, &bind(SERVICE_CONTROL));
        self.read_part(net, file, 0, &bound("svcctl"));
        let open = build(|m| _ = m.le32(0).le32(0).le32(0x000f_003f));
        let create = build(|m| {
            m.put(&manager);
            ndr_text(m, name);
            // No other name; all rights; a process of its own, started on demand, errors ignored.
            m.le32(0).le32(0x000f_01ff).le32(0x10).le32(3).le32(0);
            ndr_text(m, program);
            // Group, tag, dependencies, account and password: none.
            m.put(&[0; 28]);
        });
        let start = build(|m| _ = m.put(&service).le32(0).le32(0));
        for (number, operation, ask, tell) in [
            (2, 15, open, [&manager[..], &[0; 4]].concat()),
            (3, 12, create, [&[0; 4], &service[..], &[0; 4]].concat()),
            (4, 19, start, vec![0; 4]),
            (5, 2, service.to_vec(), vec![0; 4]),
        ] {
            self.write_part(net, file, 0, &request(number, operation, &ask));
            self.read_part(net, file, 0, &response(number, &tell));
        }
        self.close_file(net, file);
    }

    /// Logs off and closes.
    pub(crate) fn close(mut self, net: &mut Net) {
        self.exchange(net, LOGOFF, &[4, 0, 0, 0], &[4, 0, 0, 0], 0);
        net.close(self.conn);
    }
}

// ---- NTLM (MS-NLMP 2.2.1)

const FLAGS: u32 = 0xa208_8207;
/// Windows 6.1, build 7601, NTLM revision 15.
const VERSION: [u8; 8] = [6, 1, 0xb1, 0x1d, 0, 0, 0, 15];

fn field(out: &mut Vec<u8>, length: usize, at: usize) {
    out.le16(length as u16).le16(length as u16).le32(at as u32);
}

fn ntlm_negotiate() -> Vec<u8> {
    build(|m| {
        m.put(b"NTLMSSP\0").le32(1).le32(FLAGS);
        field(m, 0, 40);
        field(m, 0, 40);
        m.put(&VERSION);
    })
}

fn ntlm_challenge(challenge: [u8; 8]) -> Vec<u8> {
    let target = utf16("PLANT");
    // Attribute pairs: the domain's NetBIOS name, then the end.
    let about = build(|m| _ = m.le16(2).le16(target.len() as u16).put(&target).le32(0));
    build(|m| {
        m.put(b"NTLMSSP\0").le32(2);
        field(m, target.len(), 56);
        m.le32(FLAGS | 0x0080_0000).put(&challenge).put(&[0; 8]);
        field(m, about.len(), 56 + target.len());
        m.put(&VERSION).put(&target).put(&about);
    })
}

fn ntlm_authenticate(user: &str, proof: &[u8]) -> Vec<u8> {
    let parts = [vec![0; 24], proof.to_vec(), utf16("PLANT"), utf16(user), utf16("STATION"), Vec::new()];
    build(|m| {
        m.put(b"NTLMSSP\0").le32(3);
        let mut at = 72;
        for part in &parts {
            field(m, part.len(), at);
            at += part.len();
        }
        m.le32(FLAGS).put(&VERSION).put(&parts.concat());
    })
}

// ---- RPC (C706 chapter 12)

/// An interface: identifier as it goes over the wire, and its version.
pub(crate) type Interface = ([u8; 16], u32);

/// The service control manager (MS-SCMR 1.9): 367abb81-9844-35f1-ad32-98f038001003.
const SERVICE_CONTROL: Interface =
    ([0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0x00, 0x10, 0x03], 2);

/// Network data representation, version 2: 8a885d04-1ceb-11c9-9fe8-08002b104860.
const NDR: [u8; 20] = [
    0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0,
    0,
];

fn rpc(kind: u8, number: u32, body: &[u8]) -> Vec<u8> {
    build(|m| {
        m.put(&[5, 0, kind, 3, 0x10, 0, 0, 0]).le16(16 + body.len() as u16).le16(0).le32(number).put(body);
    })
}

fn bind((interface, version): Interface) -> Vec<u8> {
    let body = build(|m| {
        m.le16(4_280).le16(4_280).le32(0).le32(1).le16(0).le16(1).put(&interface).le32(version).put(&NDR);
    });
    rpc(11, 1, &body)
}

fn bound(pipe: &str) -> Vec<u8> {
    let address = format!("\\PIPE\\{pipe}\0");
    let mut body = build(|m| {
        m.le16(4_280).le16(4_280).le32(0x53f0).le16(address.len() as u16).put(address.as_bytes());
    });
    body.resize(body.len().next_multiple_of(4), 0);
    body.le32(1).le32(0).put(&NDR);
    rpc(12, 1, &body)
}

/// A string as NDR writes it (C706 section 14.3.4.2): room, offset, length, text with its zero, filled up.
fn ndr_text(out: &mut Vec<u8>, text: &str) {
    let bytes = utf16(&format!("{text}\0"));
    let length = bytes.len() as u32 / 2;
    out.le32(length).le32(0).le32(length).put(&bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn request(number: u32, operation: u16, stub: &[u8]) -> Vec<u8> {
    rpc(0, number, &build(|m| _ = m.le32(stub.len() as u32).le16(0).le16(operation).put(stub)))
}

fn response(number: u32, stub: &[u8]) -> Vec<u8> {
    rpc(2, number, &build(|m| _ = m.le32(stub.len() as u32).le16(0).le16(0).put(stub)))
}
