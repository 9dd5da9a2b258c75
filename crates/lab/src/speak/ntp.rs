//! NTP version 4 (RFC 5905).

use crate::bytes::{Put, build};
use crate::net::{HostId, Net};

/// Seconds from 1900 to 1970.
const TO_1970: u64 = 2_208_988_800;

fn stamp(nanos: u64) -> u64 {
    let (seconds, rest) = (nanos / 1_000_000_000 + TO_1970, nanos % 1_000_000_000);
    (seconds << 32) | ((rest << 32) / 1_000_000_000)
}

fn packet(first: u8, stratum: u8, reference: [u8; 4], times: [u64; 4]) -> Vec<u8> {
    build(|m| {
        m.u8(first)
            .u8(stratum)
            .u8(6)
            .u8(0xe9)
            .be32(if stratum == 0 { 0 } else { 0x0a8 })
            .be32(0x2c0)
            .put(&reference);
        times.iter().for_each(|time| _ = m.be64(*time));
    })
}

/// A client asks a server for the time.
pub(crate) fn ask(net: &mut Net, client: HostId, server: HostId) {
    let now = net.clock;
    let question = packet(0x23, 0, [0; 4], [0, 0, 0, stamp(now)]);
    let received = now + 500_000;
    let answer = packet(
        0x24,
        2,
        [192, 0, 2, 123],
        [stamp(now.saturating_sub(17_000_000_000)), stamp(now), stamp(received), stamp(received + 40_000)],
    );
    net.ask(client, server, (123, "ntp"), &question, &answer);
}
