//! SSH (RFC 4253): banners and key exchange in the clear, the rest made of chance.

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};
use crate::rng::Rng;

/// The software at one end.
#[derive(Clone, Copy)]
pub(crate) struct Software {
    /// What stands after `SSH-2.0-`.
    pub(crate) banner: &'static str,
    pub(crate) exchanges: &'static str,
    pub(crate) host_keys: &'static str,
    pub(crate) ciphers: &'static str,
    pub(crate) macs: &'static str,
}

pub(crate) const OPENSSH_SERVER: Software = Software {
    banner: "OpenSSH_9.2p1 Debian-2+deb12u3",
    exchanges: "sntrup761x25519-sha512@openssh.com,curve25519-sha256,curve25519-sha256@libssh.org,\
                ecdh-sha2-nistp256,\
                ecdh-sha2-nistp384,diffie-hellman-group16-sha512,kex-strict-s-v00@openssh.com",
    host_keys: "rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256,ssh-ed25519",
    ciphers: "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,\
              aes256-gcm@openssh.com",
    macs: "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,\
           hmac-sha2-512-etm@openssh.com",
};
pub(crate) const OPENSSH_WINDOWS: Software = Software { banner: "OpenSSH_for_Windows_9.5", ..OPENSSH_SERVER };
pub(crate) const PUTTY: Software = Software {
    banner: "PuTTY_Release_0.81",
    exchanges: "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp521,ecdh-sha2-nistp384,\
                ecdh-sha2-nistp256,\
                diffie-hellman-group14-sha256",
    host_keys: "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256,ssh-rsa",
    ciphers: "aes256-ctr,aes192-ctr,aes128-ctr,chacha20-poly1305@openssh.com",
    macs: "hmac-sha2-256,hmac-sha1",
};
pub(crate) const CISCO: Software = Software {
    banner: "Cisco-1.25",
    exchanges: "curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha1",
    host_keys: "rsa-sha2-512,rsa-sha2-256,ssh-rsa",
    ciphers: "aes128-gcm@openssh.com,aes256-ctr,aes128-ctr",
    macs: "hmac-sha2-256,hmac-sha2-512,hmac-sha1",
};

/// A packet in the clear (section 6), filled up to a multiple of eight.
fn packet(net: &mut Net, payload: &[u8]) -> Vec<u8> {
    let least = 5 + payload.len() + 4;
    let padding = 4 + least.next_multiple_of(8) - least;
    let filling = net.rng.bytes(padding);
    build(|m| _ = m.be32((1 + payload.len() + padding) as u32).u8(padding as u8).put(payload).put(&filling))
}

/// The algorithms an end offers (section 7.1).
fn offer(net: &mut Net, software: Software) -> Vec<u8> {
    let cookie = net.rng.array::<16>();
    let payload = build(|m| {
        m.u8(20).put(&cookie);
        let (ciphers, macs) = (software.ciphers, software.macs);
        let lists = [
            software.exchanges,
            software.host_keys,
            ciphers,
            ciphers,
            macs,
            macs,
            "none,zlib@openssh.com",
            "none",
            "",
            "",
        ];
        for list in lists {
            m.be32(list.len() as u32).put(list.as_bytes());
        }
        m.u8(0).be32(0);
    });
    packet(net, &payload)
}

/// Opens a session up to the point where it is encrypted.
pub(crate) fn open(
    net: &mut Net,
    (client, left): (HostId, Software),
    (server, right): (HostId, Software),
) -> ConnId {
    let conn = net.connect(client, server, 22, "ssh");
    let banner = |software: Software| format!("SSH-2.0-{}\r\n", software.banner).into_bytes();
    net.client_says(conn, &banner(left));
    net.server_says(conn, &banner(right));
    let offer_left = offer(net, left);
    let offer_right = offer(net, right);
    net.client_says(conn, &offer_left);
    net.server_says(conn, &offer_right);
    let point = net.rng.array::<32>();
    let init = packet(net, &build(|m| _ = m.u8(30).be32(32).put(&point)));
    net.client_says(conn, &init);
    // A server has one host key.
    let key = Rng::named(&net.hosts[server].truth.name).array::<32>();
    let (point, signature) = (net.rng.array::<32>(), net.rng.array::<64>());
    let text = |m: &mut Vec<u8>, bytes: &[u8]| _ = m.be32(bytes.len() as u32).put(bytes);
    let reply = build(|m| {
        m.u8(31);
        let kind = b"ssh-ed25519";
        text(
            m,
            &build(|v| {
                text(v, kind);
                text(v, &key);
            }),
        );
        text(m, &point);
        text(
            m,
            &build(|v| {
                text(v, kind);
                text(v, &signature);
            }),
        );
    });
    let mut flight = packet(net, &reply);
    flight.extend(packet(net, &[21]));
    net.server_says(conn, &flight);
    let keys = packet(net, &[21]);
    net.client_says(conn, &keys);
    talk(net, conn, 2);
    conn
}

/// Some keystrokes or commands and what they bring.
pub(crate) fn talk(net: &mut Net, conn: ConnId, times: usize) {
    for _ in 0..times {
        let (up, down) = (net.rng.range(36, 120) as usize, net.rng.range(36, 700) as usize);
        let (ask, answer) = (net.rng.bytes(up & !3), net.rng.bytes(down & !3));
        net.exchange(conn, &ask, &answer);
    }
}
