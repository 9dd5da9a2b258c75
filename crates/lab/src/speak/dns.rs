//! DNS messages (RFC 1035) and their relatives: mDNS (RFC 6762), LLMNR (RFC 4795), NetBIOS names
//! (RFC 1002).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bytes::{Put, build};
use crate::net::{HostId, Net};

pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;
pub(crate) const AAAA: u16 = 28;
const IN: u16 = 1;
/// The bit that says "this is all there is" (RFC 6762 section 10.2).
const FLUSH: u16 = 0x8000;

/// What a record says.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Ptr(String),
    Cname(String),
    Srv(u16, String),
    Txt(Vec<String>),
    /// Type and content, as they are.
    Raw(u16, Vec<u8>),
}

/// A record: owner, time to live, data.
pub(crate) type Record = (String, u32, Data);

fn name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.short(label.as_bytes());
    }
    out.u8(0);
}

/// A service instance's name has dots and spaces of its own: its first label is given apart.
fn owner(out: &mut Vec<u8>, text: &str) {
    match text.split_once("._") {
        Some((first, rest)) if !first.is_empty() && !first.starts_with('_') => {
            out.short(first.as_bytes());
            name(out, &format!("_{rest}"));
        }
        _ => name(out, text),
    }
}

fn record(out: &mut Vec<u8>, (name_of, ttl, data): &Record, flush: u16) {
    owner(out, name_of);
    let (kind, class, data) = match data {
        Data::A(ip) => (A, IN | flush, ip.octets().to_vec()),
        Data::Aaaa(ip) => (AAAA, IN | flush, ip.octets().to_vec()),
        Data::Ptr(to) => (PTR, IN, build(|v| owner(v, to))),
        Data::Cname(to) => (5, IN, build(|v| name(v, to))),
        Data::Srv(port, to) => (33, IN | flush, build(|v| name(v.be16(0).be16(0).be16(*port), to))),
        Data::Txt(texts) => {
            (16, IN | flush, build(|v| texts.iter().for_each(|text| _ = v.short(text.as_bytes()))))
        }
        Data::Raw(kind, bytes) => (*kind, IN, bytes.clone()),
    };
    out.be16(kind).be16(class).be32(*ttl).long(&data);
}

/// A message with questions and answers.
pub(crate) fn message(id: u16, flags: u16, questions: &[(&str, u16)], answers: &[Record]) -> Vec<u8> {
    sections(id, flags, questions, answers, &[], 0)
}

fn sections(
    id: u16,
    flags: u16,
    questions: &[(&str, u16)],
    answers: &[Record],
    more: &[Record],
    flush: u16,
) -> Vec<u8> {
    build(|m| {
        m.be16(id).be16(flags).be16(questions.len() as u16).be16(answers.len() as u16).be16(0);
        m.be16(more.len() as u16);
        for (text, kind) in questions {
            owner(m, text);
            m.be16(*kind).be16(IN);
        }
        for answer in answers.iter().chain(more) {
            record(m, answer, flush);
        }
    })
}

/// A client asks its name server for a host's address and is told it, through an alias now and then.
pub(crate) fn lookup(net: &mut Net, client: HostId, server: HostId, host: &str, ip: IpAddr) {
    let id = net.rng.u16();
    let (kind, data) = match ip {
        IpAddr::V4(ip) => (A, Data::A(ip)),
        IpAddr::V6(ip) => (AAAA, Data::Aaaa(ip)),
    };
    let ttl = net.rng.range(60, 600) as u32;
    let question = message(id, 0x0100, &[(host, kind)], &[]);
    let alias = format!("edge-1.{host}");
    let answers = if net.rng.u8() < 80 {
        vec![(host.into(), ttl, Data::Cname(alias.clone())), (alias, ttl, data)]
    } else {
        vec![(host.into(), ttl, data)]
    };
    let answer = message(id, 0x8180, &[(host, kind)], &answers);
    net.ask(client, server, (53, "dns"), &question, &answer);
}

/// A client asks for a name that does not exist.
pub(crate) fn lookup_in_vain(net: &mut Net, client: HostId, server: HostId, host: &str) {
    let id = net.rng.u16();
    let question = message(id, 0x0100, &[(host, A)], &[]);
    let answer = message(id, 0x8183, &[(host, A)], &[]);
    net.ask(client, server, (53, "dns"), &question, &answer);
}

/// A client asks its name server for a record of any kind and is told one.
pub(crate) fn query(net: &mut Net, client: HostId, server: HostId, host: &str, data: Data) {
    let id = net.rng.u16();
    let kind = match &data {
        Data::A(_) => A,
        Data::Aaaa(_) => AAAA,
        Data::Ptr(_) => PTR,
        Data::Cname(_) => 5,
        Data::Srv(..) => 33,
        Data::Txt(_) => 16,
        Data::Raw(kind, _) => *kind,
    };
    let question = message(id, 0x0100, &[(host, kind)], &[]);
    let answer = message(id, 0x8180, &[(host, kind)], &[(host.into(), 0, data)]);
    net.ask(client, server, (53, "dns"), &question, &answer);
}

/// The group of mDNS.
pub(crate) fn mdns_group() -> SocketAddr {
    SocketAddr::from(([224, 0, 0, 251], 5353))
}

/// Asks the link for services.
pub(crate) fn mdns_ask(net: &mut Net, host: HostId, services: &[&str]) {
    let questions: Vec<_> = services.iter().map(|&service| (service, PTR)).collect();
    let question = sections(0, 0, &questions, &[], &[], 0);
    net.tell(host, 5353, mdns_group(), "mdns", &question);
}

/// A service that is announced by mDNS (RFC 6763).
#[derive(Clone, Copy)]
pub(crate) struct Service {
    /// `_hap._tcp.local`
    pub(crate) kind: &'static str,
    /// The instance's name.
    pub(crate) instance: &'static str,
    /// `printer.local`
    pub(crate) host: &'static str,
    pub(crate) port: u16,
    pub(crate) txt: &'static [&'static str],
}

/// Announces a service and the host that has it to the link; also the answer to a question for it.
pub(crate) fn mdns_announce(net: &mut Net, host: HostId, service: Service) {
    let group = mdns_group();
    let full = format!("{}.{}", service.instance, service.kind);
    let mut more = vec![
        (full.clone(), 120, Data::Srv(service.port, service.host.into())),
        (full.clone(), 4_500, Data::Txt(service.txt.iter().map(|&text| text.into()).collect())),
    ];
    if let IpAddr::V4(ip) = net.source(host, group.ip()) {
        more.push((service.host.into(), 120, Data::A(ip)));
    }
    let answer = [(service.kind.to_string(), 4_500, Data::Ptr(full))];
    let message = sections(0, 0x8400, &[], &answer, &more, FLUSH);
    net.tell(host, 5353, group, "mdns", &message);
}

/// Announces a host's own address by mDNS.
pub(crate) fn mdns_host(net: &mut Net, host: HostId, name: &str) {
    let group = mdns_group();
    if let IpAddr::V4(ip) = net.source(host, group.ip()) {
        let answer = [(name.to_string(), 120, Data::A(ip))];
        let message = sections(0, 0x8400, &[], &answer, &[], FLUSH);
        net.tell(host, 5353, group, "mdns", &message);
    }
}

/// Asks the link for a name by LLMNR; `answerer` answers if there is one.
pub(crate) fn llmnr(net: &mut Net, host: HostId, text: &str, answerer: Option<HostId>) {
    let group = SocketAddr::from(([224, 0, 0, 252], 5355));
    let (id, port) = (net.rng.u16(), net.port(host));
    net.tell(host, port, group, "llmnr", &message(id, 0, &[(text, A)], &[]));
    if let Some(other) = answerer
        && let IpAddr::V4(ip) = net.v4(other, host)
    {
        let answer = message(id, 0x8000, &[(text, A)], &[(text.into(), 30, Data::A(ip))]);
        net.answer((other, 5355), (host, port), "llmnr", &answer);
    }
}

/// A NetBIOS name: 16 bytes, the last a kind, each half a letter (RFC 1001 section 14.1).
fn netbios(out: &mut Vec<u8>, text: &str, kind: u8) {
    let mut bytes = build(|v| _ = v.field(&text.to_uppercase(), 15, b' '));
    bytes.push(kind);
    out.u8(32);
    for byte in bytes {
        out.u8(b'A' + (byte >> 4)).u8(b'A' + (byte & 15));
    }
    out.u8(0);
}

/// Claims a NetBIOS name on the link, by broadcast (RFC 1002 section 4.2.2).
pub(crate) fn nbns_register(net: &mut Net, host: HostId, text: &str, kind: u8, group: bool) {
    let Some(ip) = net.hosts[host].v4 else { return };
    let id = net.rng.u16();
    let request = build(|m| {
        m.be16(id).be16(0x2910).be16(1).be16(0).be16(0).be16(1);
        netbios(m, text, kind);
        m.be16(0x20).be16(IN);
        m.be16(0xc00c).be16(0x20).be16(IN).be32(0).be16(6);
        m.be16(if group { 0x8000 } else { 0 }).put(&ip.octets());
    });
    let [a, b, c, _] = ip.octets();
    net.tell(host, 137, SocketAddr::from(([a, b, c, 255], 137)), "nbns", &request);
}

/// Asks the link for a NetBIOS name; `answerer` has it if there is one.
pub(crate) fn nbns_ask(net: &mut Net, host: HostId, text: &str, answerer: Option<HostId>) {
    let Some(ip) = net.hosts[host].v4 else { return };
    let id = net.rng.u16();
    let request = build(|m| {
        m.be16(id).be16(0x0110).be16(1).be16(0).be16(0).be16(0);
        netbios(m, text, 0x20);
        m.be16(0x20).be16(IN);
    });
    let [a, b, c, _] = ip.octets();
    net.tell(host, 137, SocketAddr::from(([a, b, c, 255], 137)), "nbns", &request);
    if let Some(other) = answerer
        && let IpAddr::V4(ip) = net.v4(other, host)
    {
        let answer = build(|m| {
            m.be16(id).be16(0x8500).be16(0).be16(1).be16(0).be16(0);
            netbios(m, text, 0x20);
            m.be16(0x20).be16(IN).be32(300_000).be16(6).be16(0).put(&ip.octets());
        });
        net.answer((other, 137), (host, 137), "nbns", &answer);
    }
}
