//! Telnet (RFC 854): options, a login, some commands.

use crate::net::{HostId, Net};

/// A person logs in on a device and gives commands.
pub(crate) fn session(
    net: &mut Net,
    client: HostId,
    server: HostId,
    banner: &str,
    user: &str,
    commands: &[(&str, &str)],
    prompt: &str,
) {
    let conn = net.connect(client, server, 23, "telnet");
    // DO terminal type, DO window size, WILL echo, WILL suppress go-ahead.
    net.server_says(conn, &[255, 253, 24, 255, 253, 31, 255, 251, 1, 255, 251, 3]);
    // WILL terminal type, WILL window size, DO echo, DO suppress go-ahead, 80 by 24.
    net.client_says(
        conn,
        &[255, 251, 24, 255, 251, 31, 255, 253, 1, 255, 253, 3, 255, 250, 31, 0, 80, 0, 24, 255, 240],
    );
    net.server_says(conn, &[255, 250, 24, 1, 255, 240]);
    net.client_says(conn, &[&[255, 250, 24, 0][..], b"xterm", &[255, 240]].concat());
    net.server_says(conn, format!("{banner}\r\nlogin: ").as_bytes());
    net.pause_us(900_000, 1_800_000);
    net.exchange(conn, format!("{user}\r\n").as_bytes(), format!("{user}\r\nPassword: ").as_bytes());
    net.pause_us(900_000, 1_800_000);
    net.exchange(conn, b"********\r\n", format!("\r\n{prompt}").as_bytes());
    for (command, output) in commands {
        net.pause_us(1_200_000, 4_000_000);
        let answer = format!("{command}\r\n{output}\r\n{prompt}");
        net.exchange(conn, format!("{command}\r\n").as_bytes(), answer.as_bytes());
    }
    net.close(conn);
}
