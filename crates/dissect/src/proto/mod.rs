//! Application and industrial protocols: one folder each, described by one constant, listed once.
//!
//! A protocol is added by writing its folder and one line in [`PROTOCOLS`]. It says how it is
//! recognised ([`Protocol::probe`]), where it is usually found ([`Protocol::carriers`]) and how it is
//! read ([`Protocol::start`]). What it finds it hands to [`Emit`].

mod amqp;
mod arp;
mod bacnet;
mod can;
mod cdp;
mod coap;
mod cotp;
mod default_credentials;
mod dhcp;
mod dhcpv6;
mod dicom;
mod dnp3;
mod dns;
mod doip;
pub mod dtls;
mod emit;
mod enip;
mod enterprise;
mod ethercat;
mod ftp;
mod goose;
mod hart_ip;
mod hl7;
mod hostname;
mod http;
mod http2;
pub mod http_connect;
mod icmp;
mod icmpv6;
mod iec104;
mod ieee802154;
mod igmp;
pub mod ike;
mod industrial;
mod irc;
pub mod ldap;
mod lldp;
mod llmnr;
mod mdns;
mod mms;
mod modbus;
mod mqtt;
mod nbdgm;
mod nbns;
mod ntp;
mod omron_fins;
mod opcua;
mod product;
mod profinet_dcp;
mod profinet_io_cm;
mod profinet_rt;
mod ptp;
pub mod quic;
pub mod rdp;
mod reader;
pub mod rfb;
mod rtsp;
mod s7comm;
mod s7comm_plus;
mod show;
mod sip;
pub mod smb;
mod smtp;
mod snmp;
pub mod socks;
mod ssdp;
pub mod ssh;
mod stp;
pub mod stun;
mod sv;
mod synchrophasor;
mod syslog;
mod telnet;
mod text;
mod tftp;
pub mod tls;
pub mod tplink_smarthome;
pub mod websocket;
pub mod wireguard;

pub use emit::{Emit, MAX_TEXT, Told, Wants, Yield};
pub use reader::{Reader, Short};

use model::{Side, Timestamp};

/// Everything that Pavise understands. The order decides only between protocols that are equally sure
/// of themselves.
pub static PROTOCOLS: &[&Protocol] = &[
    &arp::PROTOCOL,
    &lldp::PROTOCOL,
    &cdp::PROTOCOL,
    &stp::PROTOCOL,
    &icmp::PROTOCOL,
    &icmpv6::PROTOCOL,
    &igmp::PROTOCOL,
    &dhcp::PROTOCOL,
    &dhcpv6::PROTOCOL,
    &dns::PROTOCOL,
    &mdns::PROTOCOL,
    &llmnr::PROTOCOL,
    &nbns::PROTOCOL,
    &nbdgm::PROTOCOL,
    &ssdp::PROTOCOL,
    &ntp::PROTOCOL,
    &snmp::PROTOCOL,
    &syslog::PROTOCOL,
    &tftp::PROTOCOL,
    &tls::PROTOCOL,
    &dtls::PROTOCOL,
    &quic::PROTOCOL,
    &http_connect::PROTOCOL,
    &socks::PROTOCOL,
    &http::PROTOCOL,
    &http2::PROTOCOL,
    &ssh::PROTOCOL,
    &telnet::PROTOCOL,
    &ftp::PROTOCOL,
    &rtsp::PROTOCOL,
    &sip::PROTOCOL,
    &smtp::PROTOCOL,
    &irc::PROTOCOL,
    &amqp::PROTOCOL,
    &mqtt::PROTOCOL,
    &coap::PROTOCOL,
    &rdp::PROTOCOL,
    &smb::PROTOCOL,
    &modbus::PROTOCOL,
    &s7comm::PROTOCOL,
    &s7comm_plus::PROTOCOL,
    &enip::PROTOCOL,
    &dnp3::PROTOCOL,
    &doip::PROTOCOL,
    &bacnet::PROTOCOL,
    &iec104::PROTOCOL,
    &opcua::PROTOCOL,
    &mms::PROTOCOL,
    &goose::PROTOCOL,
    &profinet_dcp::PROTOCOL,
    &omron_fins::PROTOCOL,
    &hart_ip::PROTOCOL,
    &hl7::PROTOCOL,
    &dicom::PROTOCOL,
    &can::PROTOCOL,
    &ethercat::PROTOCOL,
    &ieee802154::PROTOCOL,
    &ike::PROTOCOL,
    &ldap::PROTOCOL,
    &profinet_io_cm::PROTOCOL,
    &profinet_rt::PROTOCOL,
    &ptp::PROTOCOL,
    &rfb::PROTOCOL,
    &stun::PROTOCOL,
    &sv::PROTOCOL,
    &synchrophasor::PROTOCOL,
    &tplink_smarthome::PROTOCOL,
    &websocket::PROTOCOL,
    &wireguard::PROTOCOL,
];

/// Describes one protocol.
pub struct Protocol {
    /// Its short name, lower case: `modbus`.
    pub id: &'static str,
    /// Its full name, for people.
    pub name: &'static str,
    /// The document that it is written from.
    pub spec: &'static str,
    /// What carries it, and where it is usually found.
    pub carriers: &'static [Carrier],
    /// Judges the first bytes that one side of a conversation sends. Cheap, without state.
    pub probe: fn(&Opening<'_>) -> Verdict,
    /// Begins to read a conversation. For the link and network carriers, which have no conversations,
    /// one parser reads all packets.
    pub start: fn() -> Box<dyn Parser>,
}

/// What carries a protocol. Ports are hints: they decide only when a probe is unsure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TCP, usually on these ports.
    Tcp(&'static [u16]),
    /// UDP, usually on these ports.
    Udp(&'static [u16]),
    /// Frames of this EtherType (0x0600 and up). Where several protocols share one, their probes decide.
    EtherType(u16),
    /// Frames with an LLC header and SNAP of this organisation and protocol (IEEE 802.2).
    Snap([u8; 3], u16),
    /// Frames with an LLC header to this service access point (IEEE 802.2), without SNAP.
    Llc(u8),
    /// IP packets of this protocol number.
    Ip(u8),
    /// SCTP data chunks with this payload protocol identifier (0: any).
    Sctp(u32),
    /// Frames of a CAN bus: the identifier with its flags as SocketCAN has them, four bytes, most
    /// significant first, and then the data.
    Can,
    /// Frames of IEEE 802.15.4.
    Wpan,
}

/// The first bytes that one side of a conversation sends.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The bytes: for streams all that has arrived in order, for datagrams the whole datagram.
    pub bytes: &'a [u8],
    /// Who sent them.
    pub from: Side,
    /// The client's port, 0 where there is none.
    pub client_port: u16,
    /// The server's port, 0 where there is none.
    pub server_port: u16,
    /// Whether this is a byte stream, so that more may follow.
    pub stream: bool,
}

/// What a probe thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is another protocol.
    No,
    /// Too few bytes to tell; ask again when there are more. For a datagram this means no.
    More,
    /// It could be; believed if the port agrees.
    Maybe,
    /// It is: a magic number, a checksum or several fields that agree.
    Yes,
}

/// Reads one conversation.
pub trait Parser: Send {
    /// Takes what has arrived.
    ///
    /// For streams, `input.bytes` is everything from `input.from` that has arrived in order and was not
    /// taken yet; it is called again when more arrives. For datagrams, frames and packets it is exactly
    /// one, and what is left over is dropped.
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress;

    /// `missing` bytes of the stream from `from` will never come; the next input begins after them.
    /// Bytes that were not taken before the gap are dropped. Return whether to go on.
    fn gap(&mut self, _from: Side, _missing: u64, _out: &mut Emit<'_>) -> bool {
        true
    }

    /// The conversation is over.
    fn finish(&mut self, _out: &mut Emit<'_>) {}
}

/// A parser of packets that stand alone, made of the function that reads one: nothing is remembered.
struct Alone<R>(R);

impl<R> Parser for Alone<R>
where
    R: Fn(&Input<'_>, &mut Emit<'_>) -> Result<(), Short> + Send,
{
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        if (self.0)(input, out).is_err() && input.cut == 0 {
            out.anomaly(input.from, "truncated", format_args!("{} bytes", input.bytes.len()));
        }
        Progress::Took(input.bytes.len())
    }
}

/// Bytes for a parser.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Who sent them.
    pub from: Side,
    /// When the last of them arrived.
    pub at: Timestamp,
    /// How many further bytes of this datagram or frame were on the wire but not captured (snap length).
    pub cut: usize,
}

/// What became of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes were taken. Fewer than given: the rest is kept and given again with what follows.
    /// More than given: the surplus is skipped as it arrives, without being stored.
    Took(usize),
    /// Nothing more is wanted from this conversation; its protocol is known and stays known.
    Enough,
    /// So many bytes were taken; from there on, in both directions, the stream carries another protocol:
    /// a tunnel was opened or encryption was agreed. The parser is dropped, without [`Parser::finish`],
    /// and the protocols are asked afresh about what follows, including what the other side sent and the
    /// parser had not taken. Of datagrams, 0 asks about this one, anything else about those that follow.
    /// Of frames it says, whatever the number, that this one is of another protocol under the same
    /// EtherType, which reads it and those that follow.
    Upgrade(usize),
    /// As [`Progress::Upgrade`], but both sides have named the protocol that follows, so that nobody is
    /// asked: it is the one with this id. Streams only.
    Become(usize, &'static str),
    /// This is not, or no longer, the protocol; the reason is reported as an anomaly
    /// `<protocol>.<reason>`.
    Lost(&'static str),
}

/// Finds a protocol by its id.
pub fn by_id(id: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().copied().find(|protocol| protocol.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_protocol_is_described_once_and_whole() {
        let mut ids = BTreeSet::new();
        for protocol in PROTOCOLS {
            assert!(ids.insert(protocol.id), "{} is listed twice", protocol.id);
            assert!(
                protocol
                    .id
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{} is not a short lower-case name",
                protocol.id
            );
            assert!(!protocol.name.is_empty() && !protocol.spec.is_empty() && !protocol.carriers.is_empty());
        }
    }
}
