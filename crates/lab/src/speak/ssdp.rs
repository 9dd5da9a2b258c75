//! SSDP (UPnP Device Architecture 2.0 section 1) and WS-Discovery's probe.

use std::net::SocketAddr;

use crate::net::{HostId, Net};

/// A device that announces itself.
#[derive(Clone, Copy)]
pub(crate) struct Card {
    pub(crate) kind: &'static str,
    pub(crate) uuid: &'static str,
    pub(crate) server: &'static str,
    /// Port and path of its description.
    pub(crate) location: (u16, &'static str),
}

fn group() -> SocketAddr {
    SocketAddr::from(([239, 255, 255, 250], 1900))
}

fn location(net: &Net, host: HostId, card: Card) -> String {
    let ip = net.source(host, group().ip());
    format!("http://{ip}:{}{}", card.location.0, card.location.1)
}

/// Announces a device.
pub(crate) fn notify(net: &mut Net, host: HostId, card: Card) {
    let text = format!(
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\nLOCATION: {}\r\n\
         SERVER: {}\r\nNT: {}\r\nNTS: ssdp:alive\r\nUSN: uuid:{}::{}\r\n\r\n",
        location(net, host, card),
        card.server,
        card.kind,
        card.uuid,
        card.kind
    );
    net.tell(host, 1900, group(), "ssdp", text.as_bytes());
}

/// Searches for devices; those given answer.
pub(crate) fn search(net: &mut Net, host: HostId, target: &str, agent: &str, found: &[(HostId, Card)]) {
    let port = net.port(host);
    let text = format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\
         ST: {target}\r\nUSER-AGENT: {agent}\r\n\r\n"
    );
    net.tell(host, port, group(), "ssdp", text.as_bytes());
    for (other, card) in found {
        let text = format!(
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: {}\r\nSERVER: {}\r\n\
             ST: {}\r\nUSN: uuid:{}::{}\r\n\r\n",
            location(net, *other, *card),
            card.server,
            card.kind,
            card.uuid,
            card.kind
        );
        net.pause_us(20_000, 400_000);
        net.answer((*other, 1900), (host, port), "ssdp", text.as_bytes());
    }
}
