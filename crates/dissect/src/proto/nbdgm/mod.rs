//! NetBIOS datagram service (RFC 1002 clause 4.4) and the browser announcements within it (MS-BRWS).
//!
//! Windows computers, Samba servers and many printers announce themselves every few minutes with their
//! name, the version of their system, what services they offer, and a comment.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use model::{Attribute, Confidence, Host, Role};
use serde::Serialize;

use super::dns::wire::Name as DnsName;
use super::nbns::Name;
use super::show::text;
use super::{Carrier, Emit, Input, Opening, Parser, Progress, Protocol, Reader, Short, Verdict, hostname};

/// NetBIOS datagram service over TCP/IP.
pub(super) const PROTOCOL: Protocol = Protocol {
    id: "nbdgm",
    name: "NetBIOS Datagram Service",
    spec: "RFC 1001, RFC 1002, MS-BRWS",
    carriers: &[Carrier::Udp(&[138])],
    probe,
    start: || Box::new(Nbdgm),
};

fn probe(opening: &Opening<'_>) -> Verdict {
    match Datagram::read(opening.bytes) {
        Ok(Some(_)) if !opening.stream => Verdict::Yes,
        _ => Verdict::No,
    }
}

/// A datagram's header and names (RFC 1002 clause 4.4.1).
struct Datagram<'a> {
    kind: u8,
    source_ip: Ipv4Addr,
    source: Name,
    destination: Name,
    data: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// `None` if it is of another kind or its names are not of NetBIOS.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, Short> {
        let mut reader = Reader::new(bytes);
        let (kind, _flags, _id) = (reader.u8()?, reader.u8()?, reader.be16()?);
        let source_ip = reader.be32()?.into();
        // Source port, length and offset of a fragment.
        reader.skip(6)?;
        if !matches!(kind, 0x10..=0x12) {
            return Ok(None);
        }
        let rest = reader.rest();
        let Ok((source, at)) = DnsName::read(rest, 0) else { return Ok(None) };
        let Ok((destination, at)) = DnsName::read(rest, at) else { return Ok(None) };
        let (Some(source), Some(destination)) =
            (Name::decode(source.first()), Name::decode(destination.first()))
        else {
            return Ok(None);
        };
        let data = rest.get(at..).unwrap_or_default();
        Ok(Some(Self { kind, source_ip, source, destination, data }))
    }
}

/// A datagram.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Content<'a> {
    source_ip: Ipv4Addr,
    source: Cow<'a, str>,
    source_suffix: u8,
    destination: Cow<'a, str>,
    destination_suffix: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    mailslot: Option<Cow<'a, str>>,
    #[serde(flatten)]
    announcement: Option<Announcement<'a>>,
}

/// A host announcement (MS-BRWS clause 2.2.1) or one of a master browser (clauses 2.2.6, 2.2.10).
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Announcement<'a> {
    #[serde(skip)]
    kind: &'static str,
    server: Cow<'a, str>,
    os_major: u8,
    os_minor: u8,
    server_type: u32,
    comment: Cow<'a, str>,
}

/// What is sent to a mailslot.
struct Transaction<'a> {
    mailslot: Cow<'a, str>,
    body: &'a [u8],
}

/// Finds the browser's command within a datagram: an SMB transaction (MS-CIFS clause 2.2.4.33) to a
/// mailslot.
fn transaction(data: &[u8]) -> Result<Option<Transaction<'_>>, Short> {
    let mut reader = Reader::new(data);
    // The header of SMB is 32 bytes; 0x25 is "transaction".
    let header = reader.take(32)?;
    if !header.starts_with(b"\xffSMB\x25") {
        return Ok(None);
    }
    let words = reader.u8()?;
    let parameters = reader.take(usize::from(words) * 2)?;
    reader.skip(2)?;
    let name = reader.rest().split(|byte| *byte == 0).next().unwrap_or_default();
    // Words 11 and 12 say how long the data is and where it begins, from the header of SMB.
    let mut places = Reader::new(parameters.get(22..).unwrap_or_default());
    let (length, offset) = (places.le16()?, places.le16()?);
    let body = data.get(usize::from(offset)..).unwrap_or_default();
    let body = body.get(..usize::from(length)).unwrap_or(body);
    Ok(Some(Transaction { mailslot: text(name), body }))
}

fn announcement(body: &[u8]) -> Result<Option<Announcement<'_>>, Short> {
    let mut reader = Reader::new(body);
    let kind = match reader.u8()? {
        1 => "host-announcement",
        12 => "domain-announcement",
        15 => "local-master-announcement",
        _ => return Ok(None),
    };
    // How often it is sent.
    reader.skip(5)?;
    let server = text(reader.take(16)?.split(|byte| *byte == 0).next().unwrap_or_default());
    let (os_major, os_minor, server_type) = (reader.u8()?, reader.u8()?, reader.le32()?);
    // Version and signature of the browser.
    reader.skip(4)?;
    let comment = text(reader.rest().split(|byte| *byte == 0).next().unwrap_or_default());
    Ok(Some(Announcement { kind, server, os_major, os_minor, server_type, comment }))
}

/// Reads datagrams; each stands for itself.
struct Nbdgm;

impl Parser for Nbdgm {
    fn parse(&mut self, input: &Input<'_>, out: &mut Emit<'_>) -> Progress {
        let taken = Progress::Took(input.bytes.len());
        let from = input.from;
        let datagram = match Datagram::read(input.bytes) {
            Ok(Some(datagram)) => datagram,
            Ok(None) => return taken,
            Err(Short) => {
                if input.cut == 0 {
                    out.anomaly(from, "header-truncated", format_args!("{} bytes", input.bytes.len()));
                }
                return taken;
            }
        };
        let transaction = transaction(datagram.data).ok().flatten();
        let announced = transaction
            .as_ref()
            .filter(|transaction| transaction.mailslot.eq_ignore_ascii_case("\\MAILSLOT\\BROWSE"))
            .and_then(|transaction| announcement(transaction.body).ok().flatten());
        let sender = out.host(from);
        // A datagram may be passed on by a distribution server; then the sender is another.
        let about = if sender.ip == Some(datagram.source_ip.into()) {
            sender
        } else {
            Host::from_ip(datagram.source_ip.into())
        };
        if matches!(datagram.source.suffix, 0x00 | 0x20) {
            let name = datagram.source.text();
            hostname::tell(about, &name, "nbdgm.source-name", Confidence::STRONG, out);
        }
        if let Some(announced) =
            announced.as_ref().filter(|announced| announced.kind != "domain-announcement")
        {
            announced_facts(about, announced, out);
        }
        if out.wants_messages() {
            let kind = match &announced {
                Some(announced) => announced.kind,
                None if datagram.kind == 0x10 => "direct-unique",
                None if datagram.kind == 0x11 => "direct-group",
                None => "broadcast",
            };
            let content = Content {
                source_ip: datagram.source_ip,
                source: datagram.source.text(),
                source_suffix: datagram.source.suffix,
                destination: datagram.destination.text(),
                destination_suffix: datagram.destination.suffix,
                mailslot: transaction.map(|transaction| transaction.mailslot),
                announcement: announced,
            };
            out.message(from, kind, &content);
        }
        taken
    }
}

fn announced_facts(about: Host, announced: &Announcement<'_>, out: &mut Emit<'_>) {
    let source = "nbdgm.announcement";
    let mut fact = |attribute, value: &str, confidence| {
        out.fact_about(about, attribute, value, source, confidence);
    };
    fact(Attribute::Label, &announced.comment, Confidence::STRONG);
    // Samba announces itself with a version of Windows, and a comment unless that was changed.
    let samba = announced.comment.contains("Samba") || announced.server_type & 0x0800 != 0;
    let system = match (announced.os_major, announced.os_minor) {
        _ if samba => None,
        (4, 0) => Some("Windows NT 4.0"),
        (5, 0) => Some("Windows 2000"),
        (5, 1) => Some("Windows XP"),
        (5, 2) => Some("Windows Server 2003"),
        (6, 0) => Some("Windows Vista or Server 2008"),
        (6, 1) => Some("Windows 7 or Server 2008 R2"),
        (6, 2) => Some("Windows 8 or Server 2012"),
        (6, 3) => Some("Windows 8.1 or Server 2012 R2"),
        (10, 0) => Some("Windows 10 or later"),
        _ => None,
    };
    match system {
        // Samba says 6.1 or 4.9 as well where its comment was changed.
        Some(system) => fact(Attribute::OperatingSystem, system, Confidence::LIKELY),
        None if samba => fact(Attribute::Software, "Samba", Confidence::LIKELY),
        None => {}
    }
    // MS-BRWS refers to the server types of MS-SRVS clause 2.2.2.7.
    let devices = [(0x0000_0018, "domain controller"), (0x0000_8000, "server")];
    if let Some((_, device)) = devices.iter().find(|(bits, _)| announced.server_type & bits != 0) {
        fact(Attribute::Type, device, Confidence::LIKELY);
        fact(Attribute::Role, Role::Server.name(), Confidence::LIKELY);
    }
    // A workstation of the NT line that is no server.
    if announced.server_type & 0x0000_9018 == 0x0000_1000 && !samba {
        fact(Attribute::Role, Role::Workstation.name(), Confidence::LIKELY);
    }
}

#[cfg(test)]
mod tests {
    use model::Side;
    use proptest::prelude::*;

    use super::super::dns::wire::tests::encoded as dns_name;
    use super::super::nbns::tests::encoded;
    use super::*;
    use crate::testing::{any_bytes_are_survived, converse, damage, hits, survives};

    /// A host announcement from 192.0.2.10 as MS-BRWS clause 2.2.1 draws it.
    fn host_announcement() -> Vec<u8> {
        let mut body = vec![1, 0, 0x80, 0xfc, 0x0a, 0];
        body.extend(b"HIST-01\0\0\0\0\0\0\0\0\0");
        body.extend([10, 0, 3, 0x90, 0, 0, 0x0f, 1, 0x55, 0xaa]);
        body.extend(b"Historian\0");
        let mut smb = b"\xffSMB\x25".to_vec();
        smb.resize(32, 0);
        let mut words = [0_u8; 34];
        let length = u16::try_from(body.len()).unwrap().to_le_bytes();
        words[22..24].copy_from_slice(&length);
        words[24..26].copy_from_slice(&86_u16.to_le_bytes());
        smb.push(17);
        smb.extend(words);
        smb.extend([0, 0]);
        smb.extend(b"\\MAILSLOT\\BROWSE\0");
        assert_eq!(smb.len(), 86);
        smb.extend(body);
        let mut datagram = vec![0x11, 2, 0, 1, 192, 0, 2, 10, 0, 138, 0, 0, 0, 0];
        datagram.extend(dns_name(&encoded("HIST-01", 0x20)));
        datagram.extend(dns_name(&encoded("PLANT", 0x1d)));
        datagram.extend(smb);
        datagram
    }

    #[test]
    fn a_host_announces_its_system_and_services() {
        let text = converse(&PROTOCOL, &[(Side::Client, &host_announcement())]);
        insta::assert_snapshot!(text, @r#"
        fact 192.0.2.10 hostname = "HIST-01" (nbdgm.source-name, 75%)
        fact 192.0.2.10 label = "Historian" (nbdgm.announcement, 75%)
        fact 192.0.2.10 operating-system = "Windows 10 or later" (nbdgm.announcement, 50%)
        fact 192.0.2.10 type = "server" (nbdgm.announcement, 50%)
        fact 192.0.2.10 role = "server" (nbdgm.announcement, 50%)
        client host-announcement {"source-ip":"192.0.2.10","source":"HIST-01","source-suffix":32,"destination":"PLANT","destination-suffix":29,"mailslot":"\\MAILSLOT\\BROWSE","server":"HIST-01","os-major":10,"os-minor":0,"server-type":36867,"comment":"Historian"}
        "#);
    }

    any_bytes_are_survived!(PROTOCOL);

    proptest! {
        #[test]
        fn damaged_announcements_are_survived(hits in hits(), end in any::<prop::sample::Index>()) {
            let whole = host_announcement();
            let cut = whole[..=end.index(whole.len())].to_vec();
            survives(&PROTOCOL, &damage(&[(Side::Client, cut)], &hits));
        }
    }
}
