//! SMB version 2.1 (MS-SMB2), a session set up by NTLM (MS-NLMP) whose proof is made of chance, and RPC over
//! named pipes (DCE 1.1: Remote Procedure Call, C706).

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const LOGOFF: u16 = 2;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;

/// STATUS_MORE_PROCESSING_REQUIRED (MS-ERREF clause 2.3).
const MORE_PROCESSING: u32 = 0xc000_0016;

/// Flags of NTLM (MS-NLMP clause 2.2.2.5): Unicode, NTLM, extended security, target information, version,
/// 128 and 56 bits.
const NTLM_FLAGS: u32 = 0xa288_8205;

/// The version of a Windows system as NTLM tells it (MS-NLMP clause 2.2.2.10): 10.0, its build, revision 15.
fn version(out: &mut Vec<u8>, build: u16) {
    out.u8(10).u8(0).le16(build).put(&[0, 0, 0, 15]);
}

fn le64(out: &mut Vec<u8>, value: u64) {
    out.put(&value.to_le_bytes());
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Nanoseconds since 1970 as Windows counts: in tenths of microseconds since 1601 (MS-DTYP clause 2.3.3).
fn file_time(nanos: u64) -> u64 {
    nanos / 100 + 116_444_736_000_000_000
}

/// The four times of a file.
fn times(out: &mut Vec<u8>, at: u64) {
    (0..4).for_each(|_| le64(out, file_time(at)));
}

/// One end of a session: its name, the domain it belongs to, the build of its system.
#[derive(Clone, Copy)]
pub(crate) struct Party {
    pub(crate) name: &'static str,
    pub(crate) domain: &'static str,
    pub(crate) build: u16,
}

/// Fields whose lengths and places stand first and whose bytes follow (MS-NLMP clause 2.2.1.3).
fn fields(out: &mut Vec<u8>, place: &mut u32, values: &[Vec<u8>]) {
    for value in values {
        out.le16(value.len() as u16).le16(value.len() as u16).le32(*place);
        *place += value.len() as u32;
    }
}

fn ntlm(kind: u32) -> Vec<u8> {
    build(|m| _ = m.put(b"NTLMSSP\0").le32(kind))
}

fn ntlm_negotiate(client: Party) -> Vec<u8> {
    let mut token = ntlm(1);
    token.le32(NTLM_FLAGS).put(&[0; 16]);
    version(&mut token, client.build);
    token
}

/// Names as pairs of kind and text (MS-NLMP clause 2.2.2.1), and the time.
fn target_information(server: Party, at: u64) -> Vec<u8> {
    build(|m| {
        for (kind, text) in [(2, server.domain), (1, server.name), (4, server.domain), (3, server.name)] {
            let text = wide(text);
            m.le16(kind).le16(text.len() as u16).put(&text);
        }
        le64(m.le16(7).le16(8), file_time(at));
        m.le32(0);
    })
}

fn ntlm_challenge(net: &mut Net, server: Party) -> Vec<u8> {
    let values = [wide(server.domain), target_information(server, net.clock)];
    let mut token = ntlm(2);
    let mut place = 56;
    fields(&mut token, &mut place, &values[..1]);
    token.le32(NTLM_FLAGS).put(&net.rng.array::<8>()).put(&[0; 8]);
    fields(&mut token, &mut place, &values[1..]);
    version(&mut token, server.build);
    token.put(&values.concat());
    token
}

/// The proof of version 2 (MS-NLMP clause 2.2.2.8) is made of chance: nobody here knows the password.
fn ntlm_authenticate(net: &mut Net, client: Party, user: &str, server: Party) -> Vec<u8> {
    let proof = build(|m| {
        m.put(&net.rng.array::<16>()).u8(1).u8(1).put(&[0; 6]);
        le64(m, file_time(net.clock));
        m.put(&net.rng.array::<8>()).le32(0).put(&target_information(server, net.clock)).le32(0);
    });
    let values = [vec![0; 24], proof, wide(client.domain), wide(user), wide(client.name), Vec::new()];
    let mut token = ntlm(3);
    fields(&mut token, &mut 88, &values);
    token.le32(NTLM_FLAGS);
    version(&mut token, client.build);
    // The integrity of the three messages.
    token.put(&net.rng.array::<16>()).put(&values.concat());
    token
}

/// A session on an open connection.
pub(crate) struct Session {
    conn: ConnId,
    message: u64,
    id: u64,
    tree: u32,
}

impl Session {
    /// A message with its header (MS-SMB2 clause 2.2.1.2), in a packet of the session service.
    fn message(&self, command: u16, status: u32, answer: bool, body: &[u8]) -> Vec<u8> {
        build(|m| {
            m.u8(0).be24(64 + body.len() as u32);
            m.put(b"\xfeSMB").le16(64).le16(1).le32(status).le16(command).le16(31);
            m.le32(u32::from(answer)).le32(0);
            le64(m, self.message);
            m.le32(0xfeff).le32(self.tree);
            le64(m, self.id);
            m.put(&[0; 16]).put(body);
        })
    }

    fn exchange(&mut self, net: &mut Net, command: u16, ask: &[u8], status: u32, answer: &[u8]) {
        let question = self.message(command, 0, false, ask);
        net.exchange(self.conn, &question, &self.message(command, status, true, answer));
        self.message += 1;
    }

    /// The client proves who it is in two steps (MS-SMB2 clauses 2.2.5 and 2.2.6).
    fn set_up(&mut self, net: &mut Net, client: Party, user: &str, server: Party) {
        let ask = |token: &[u8]| {
            build(|m| {
                m.le16(25)
                    .u8(0)
                    .u8(1)
                    .le32(1)
                    .le32(0)
                    .le16(88)
                    .le16(token.len() as u16)
                    .put(&[0; 8])
                    .put(token);
            })
        };
        let answer =
            |token: &[u8]| build(|m| _ = m.le16(9).le16(0).le16(72).le16(token.len() as u16).put(token));
        let challenge = answer(&ntlm_challenge(net, server));
        let question = self.message(SESSION_SETUP, 0, false, &ask(&ntlm_negotiate(client)));
        self.id = u64::from(net.rng.u32()) << 8 | 1;
        net.exchange(self.conn, &question, &self.message(SESSION_SETUP, MORE_PROCESSING, true, &challenge));
        self.message += 1;
        let proof = ask(&ntlm_authenticate(net, client, user, server));
        self.exchange(net, SESSION_SETUP, &proof, 0, &answer(&[]));
    }

    /// Connects to a share (MS-SMB2 clauses 2.2.9 and 2.2.10).
    fn connect_tree(&mut self, net: &mut Net, server: Party, share: &str) {
        let path = wide(&format!(r"\\{}\{share}", server.name));
        let ask = build(|m| _ = m.le16(9).le16(0).le16(72).le16(path.len() as u16).put(&path));
        let question = self.message(TREE_CONNECT, 0, false, &ask);
        self.tree = 5;
        // Files, or pipes.
        let kind = if share == "IPC$" { 2 } else { 1 };
        let answer = build(|m| _ = m.le16(16).u8(kind).u8(0).le32(0).le32(0).le32(0x001f_01ff));
        net.exchange(self.conn, &question, &self.message(TREE_CONNECT, 0, true, &answer));
        self.message += 1;
    }

    /// Opens a file or pipe (MS-SMB2 clauses 2.2.13 and 2.2.14).
    fn create(&mut self, net: &mut Net, file: &str, writes: bool, size: usize) -> [u8; 16] {
        let name = wide(file);
        let id = net.rng.array::<16>();
        let access = if writes { 0x0012_0196 } else { 0x0012_0089 };
        let ask = build(|m| {
            m.le16(57).u8(0).u8(0).le32(2).put(&[0; 16]).le32(access).le32(0).le32(7);
            m.le32(if writes { 3 } else { 1 }).le32(0x40).le16(120).le16(name.len() as u16).le32(0).le32(0);
            m.put(&name);
        });
        let tell = build(|m| {
            m.le16(89).u8(0).u8(0).le32(1);
            times(m, net.clock);
            le64(m, size as u64);
            le64(m, size as u64);
            m.le32(0x20).le32(0).put(&id).le32(0).le32(0);
        });
        self.exchange(net, CREATE, &ask, 0, &tell);
        id
    }

    /// Writes a piece (MS-SMB2 clauses 2.2.21 and 2.2.22).
    fn write(&mut self, net: &mut Net, id: [u8; 16], offset: usize, content: &[u8]) {
        let length = content.len() as u32;
        let ask = build(|m| {
            m.le16(49).le16(112).le32(length);
            le64(m, offset as u64);
            m.put(&id).put(&[0; 16]).put(content);
        });
        let tell = build(|m| _ = m.le16(17).le16(0).le32(length).put(&[0; 8]));
        self.exchange(net, WRITE, &ask, 0, &tell);
    }

    /// Reads a piece (MS-SMB2 clauses 2.2.19 and 2.2.20).
    fn read(&mut self, net: &mut Net, id: [u8; 16], offset: usize, content: &[u8]) {
        let length = content.len() as u32;
        let ask = build(|m| {
            m.le16(49).u8(80).u8(0).le32(length);
            le64(m, offset as u64);
            m.put(&id).put(&[0; 17]);
        });
        let tell = build(|m| _ = m.le16(17).u8(80).u8(0).le32(length).put(&[0; 8]).put(content));
        self.exchange(net, READ, &ask, 0, &tell);
    }

    /// Closes a file or pipe (MS-SMB2 clauses 2.2.15 and 2.2.16).
    fn close_file(&mut self, net: &mut Net, id: [u8; 16], at: u64) {
        let ask = build(|m| _ = m.le16(24).le16(0).le32(0).put(&id));
        let closed = build(|m| {
            m.le16(60).le16(0).le32(0);
            times(m, at);
            m.put(&[0; 20]);
        });
        self.exchange(net, CLOSE, &ask, 0, &closed);
    }

    /// Opens a file, reads or writes all of it in pieces of chance, and closes it.
    pub(crate) fn transfer(&mut self, net: &mut Net, file: &str, writes: bool, size: usize) {
        const PIECE: usize = 16_384;
        let opened = net.clock;
        let id = self.create(net, file, writes, size);
        let mut offset = 0;
        while offset < size {
            let piece = PIECE.min(size - offset);
            let content = net.rng.bytes(piece);
            if writes {
                self.write(net, id, offset, &content);
            } else {
                self.read(net, id, offset, &content);
            }
            offset += piece;
        }
        self.close_file(net, id, opened);
    }

    /// Calls operations of an RPC interface by a named pipe: binds, then asks and is answered; what is said
    /// is made of chance.
    pub(crate) fn call(&mut self, net: &mut Net, pipe: &str, interface: Interface, operations: &[u16]) {
        let opened = net.clock;
        let file = self.create(net, pipe, true, 0);
        self.write(net, file, 0, &bind(interface));
        self.read(net, file, 0, &bound(pipe));
        for (number, operation) in (2..).zip(operations) {
            let size = net.rng.range(12, 40) as usize * 4;
            let (ask, tell) = (net.rng.bytes(size), net.rng.bytes(24));
            self.write(net, file, 0, &request(number, *operation, &ask));
            self.read(net, file, 0, &response(number, &tell));
        }
        self.close_file(net, file, opened);
    }

    /// Has the server's service control manager create a service from a program, start it and delete it
    /// (MS-SCMR 3.1.4, operations 15, 12, 19 and 2).
    pub(crate) fn start_service(&mut self, net: &mut Net, name: &str, program: &str) {
        let [manager, service] = [net.rng.array::<20>(), net.rng.array::<20>()];
        let opened = net.clock;
        let file = self.create(net, "svcctl", true, 0);
        self.write(net, file, 0, &bind(SERVICE_CONTROL));
        self.read(net, file, 0, &bound("svcctl"));
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
            self.write(net, file, 0, &request(number, operation, &ask));
            self.read(net, file, 0, &response(number, &tell));
        }
        self.close_file(net, file, opened);
    }

    /// Takes leave and closes the connection.
    pub(crate) fn close(mut self, net: &mut Net) {
        self.exchange(net, LOGOFF, &[4, 0, 0, 0], 0, &[4, 0, 0, 0]);
        net.close(self.conn);
    }
}

/// A client agrees with a server on a dialect, logs in as `user` and connects to a share.
pub(crate) fn open(
    net: &mut Net,
    (client, who): (HostId, Party),
    user: &str,
    (server, whom): (HostId, Party),
    share: &str,
) -> Session {
    let conn = net.connect(client, server, 445, "smb");
    let mut session = Session { conn, message: 0, id: 0, tree: 0 };
    let ask = build(|m| {
        m.le16(36).le16(2).le16(1).le16(0).le32(0).put(&net.rng.array::<16>()).put(&[0; 8]);
        m.le16(0x0202).le16(0x0210);
    });
    // A server has one identifier.
    let id = crate::rng::Rng::named(whom.name).array::<16>();
    let tell = build(|m| {
        m.le16(65).le16(1).le16(0x0210).le16(0).put(&id).le32(7).le32(1 << 20).le32(1 << 20).le32(1 << 20);
        le64(m, file_time(net.clock));
        m.put(&[0; 8]).le16(128).le16(0).le32(0);
    });
    session.exchange(net, NEGOTIATE, &ask, 0, &tell);
    session.set_up(net, who, user, whom);
    session.connect_tree(net, whom, share);
    session
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
    let bytes = wide(&format!("{text}\0"));
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
