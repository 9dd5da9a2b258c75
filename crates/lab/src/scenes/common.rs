//! What several scenes have in common.

use model::Role;

use crate::net::{ConnId, Host, HostId, Hours, Net, Os, SECOND};
use crate::speak::mqtt::{self, Version};
use crate::speak::tls::{Dial, Name, Style};
use crate::speak::{dns, link, tls};

/// A Windows computer.
pub(crate) fn computer(
    name: &str,
    mac: &str,
    ip: [u8; 4],
    vendor: &str,
    hostname: &str,
    roles: &[Role],
) -> Host {
    Host::new(name, mac, Os::Windows).at(ip).vendor(vendor).hostname(hostname).os_name("Windows").roles(roles)
}

/// A computer claims its NetBIOS names, one of them a group's, and looks for others by LLMNR.
pub(crate) fn windows_talk(
    net: &mut Net,
    host: HostId,
    name: &'static str,
    group: &'static str,
    after_s: u64,
) {
    net.once(after_s * SECOND, move |net| {
        link::announce(net, host);
        for (name, kind, group) in [(name, 0, false), (name, 0x20, false), (group, 0, true)] {
            dns::nbns_register(net, host, name, kind, group);
            net.pause_us(700_000, 760_000);
        }
    });
    net.every((after_s + 15) * SECOND, 100 * SECOND, move |net| dns::llmnr(net, host, "wpad", None));
}

/// How a client of this style calls a server by its name.
pub(crate) fn dial(style: Style, sni: &'static str, organisation: &'static str, port: u16) -> Dial {
    let protocols: &[&str] = match style {
        Style::Browser => &["h2", "http/1.1"],
        Style::Program => &["http/1.1"],
        Style::Small => &[],
        Style::Quic => &["h3"],
    };
    Dial { style, sni, protocols, server: Name { host: sni, organisation }, port }
}

/// In these hours a device keeps a TLS connection to a server outside: it asks `names` for the server's
/// address first, and then something every so many seconds.
pub(crate) fn cloud(
    net: &mut Net,
    hours: Hours,
    (names, client, server): (HostId, HostId, HostId),
    (first_s, period_s): (u64, u64),
    dial: Dial,
    (up, down): (usize, usize),
) {
    net.session_in(
        hours,
        (first_s * SECOND, period_s * SECOND),
        move |net| {
            let ip = net.v4(server, client);
            dns::lookup(net, client, names, dial.sni, ip);
            tls::open(net, client, server, dial)
        },
        move |net, conn| {
            let extra = net.rng.range(0, 60) as usize;
            tls::talk(net, *conn, up + extra, down + extra);
        },
        move |net, conn| tls::close(net, conn, dial.style),
    );
}

/// A client looks a server's name up, connects to it by TLS, asks once and leaves.
pub(crate) fn visit(
    net: &mut Net,
    (names, client, server): (HostId, HostId, HostId),
    dial: Dial,
    (up, down): (usize, usize),
) {
    let ip = net.v4(server, client);
    dns::lookup(net, client, names, dial.sni, ip);
    let conn = tls::open(net, client, server, dial);
    tls::talk(net, conn, up, down);
    tls::close(net, conn, dial.style);
}

/// What a thing says to its broker: client id, user, topic, message.
pub(crate) type Words = (&'static str, &'static str, &'static str, &'static [u8]);

/// A thing tells its broker something every `period` and is told something now and then.
pub(crate) fn broker_session(
    net: &mut Net,
    (host, broker): (HostId, HostId),
    (from, until, period): (u64, u64, u64),
    version: Version,
    words: Words,
) {
    let (client, user, topic, text) = words;
    net.session(
        (from, until, period),
        move |net| {
            let conn = net.connect(host, broker, 1883, "mqtt");
            net.exchange(conn, &mqtt::connect(version, client, Some(user), 60), &mqtt::connack(version));
            net.exchange(
                conn,
                &mqtt::subscribe(version, 1, &format!("{topic}/set")),
                &mqtt::suback(version, 1),
            );
            (conn, 1_u16)
        },
        move |net, (conn, id): &mut (ConnId, u16)| {
            // No message has the identifier 0.
            *id = id.checked_add(1).unwrap_or(1);
            match *id % 6 {
                0 => net.exchange(*conn, mqtt::PING, mqtt::PONG),
                3 => {
                    net.server_says(
                        *conn,
                        &mqtt::publish(version, Some(*id), &format!("{topic}/set"), b"on"),
                    );
                    net.client_says(*conn, &mqtt::puback(*id));
                    net.settle(*conn);
                }
                5 => {
                    net.client_says(*conn, &mqtt::publish(version, None, topic, text));
                    net.settle(*conn);
                }
                _ => net.exchange(*conn, &mqtt::publish(version, Some(*id), topic, text), &mqtt::puback(*id)),
            }
        },
        move |net, (conn, _)| {
            let leave: &[u8] = if version == Version::V5 { &[0xe0, 2, 0, 0] } else { &[0xe0, 0] };
            net.client_says(conn, leave);
            net.close(conn);
        },
    );
}
