//! What is usually found at a port.

use model::{FlowHead, Host, Transport};

use crate::judge::Site;

/// The names under which protocols put files.
pub(super) const PUTS: &[&str] = &["stor", "stou", "appe", "write-request", "write"];

/// The industrial protocol whose port a conversation goes to, by the registry of IANA and, where a protocol is not
/// registered, by its maker's documents.
pub(super) fn industrial(head: &FlowHead) -> Option<&'static str> {
    Some(match (head.transport, head.server.port) {
        (Transport::Tcp, 102) => "S7 or MMS (ISO-TSAP)",
        (Transport::Tcp, 502 | 802) => "Modbus",
        (Transport::Tcp | Transport::Udp, 44_818) | (Transport::Udp, 2222) => "EtherNet/IP",
        (Transport::Tcp | Transport::Udp, 20_000) => "DNP3",
        (Transport::Tcp, 2404 | 19_998) => "IEC 60870-5-104",
        (Transport::Udp, 47_808) => "BACnet/IP",
        (Transport::Tcp, 4840) => "OPC UA",
        (Transport::Tcp | Transport::Udp, 9600) => "FINS",
        (Transport::Tcp | Transport::Udp, 5094) => "HART-IP",
        (Transport::Tcp | Transport::Udp, 34_962..=34_964) => "PROFINET",
        (Transport::Tcp, 1217 | 11_740) => "CODESYS",
        (Transport::Tcp, 18_245 | 18_246) => "GE SRTP",
        (Transport::Tcp | Transport::Udp, 1962) => "PCWorx",
        (Transport::Tcp, 20_547) => "ProConOS",
        (Transport::Tcp | Transport::Udp, 5006 | 5007) => "MELSEC",
        (Transport::Tcp, 48_898) => "ADS (TwinCAT)",
        (Transport::Udp, 1911) | (Transport::Tcp, 1911 | 4911) => "Niagara Fox",
        _ => return None,
    })
}

/// The service for managing hosts whose port a conversation goes to.
pub(super) fn management(head: &FlowHead) -> Option<&'static str> {
    Some(match (head.transport, head.server.port) {
        (Transport::Tcp, 22) => "SSH",
        (Transport::Tcp, 23 | 2323) => "Telnet",
        (Transport::Tcp, 135) => "Windows RPC",
        (Transport::Tcp, 139 | 445) => "file sharing (SMB)",
        (Transport::Udp, 161) => "SNMP",
        (Transport::Tcp, 3389) => "Remote Desktop",
        (Transport::Tcp, 5900..=5903) => "VNC",
        (Transport::Tcp, 5985 | 5986) => "Windows Remote Management",
        (Transport::Tcp, 5555) => "Android Debug Bridge",
        (Transport::Tcp, 7547) => "TR-069",
        _ => return None,
    })
}

/// Whether a service is ours to mend: it is not elsewhere in the Internet, and others than its own host reach it.
pub(super) fn is_ours(site: Site<'_>, server: &Host) -> bool {
    !site.is_external(server) && !server.ip.is_some_and(|ip| ip.is_loopback())
}
