//! Telnet (RFC 854): options, a login, some commands.

use crate::net::{ConnId, HostId, Net};

/// A program gives a command and reads what comes, up to the prompt.
pub(crate) fn command(net: &mut Net, conn: ConnId, prompt: &str, command: &str, output: &str) {
    net.pause_us(20_000, 150_000);
    let gap = if output.is_empty() { "" } else { "\r\n" };
    let answer = format!("{command}\r\n{output}{gap}{prompt}");
    net.exchange(conn, format!("{command}\r\n").as_bytes(), answer.as_bytes());
}

/// A program tries a user name and password on a device with BusyBox. Returns the connection if it is let
/// in.
pub(crate) fn enter(
    net: &mut Net,
    client: HostId,
    (server, port): (HostId, u16),
    (user, password): (&str, &str),
    prompt: Option<&str>,
) -> Option<ConnId> {
    let conn = net.connect(client, server, port, "telnet");
    // DO window size, WILL echo, WILL suppress go-ahead; all is refused but the echo.
    net.server_says(conn, &[255, 253, 31, 255, 251, 1, 255, 251, 3]);
    net.client_says(conn, &[255, 252, 31, 255, 253, 1, 255, 253, 3]);
    net.server_says(conn, b"\r\n(none) login: ");
    net.exchange(conn, format!("{user}\r\n").as_bytes(), format!("{user}\r\nPassword: ").as_bytes());
    net.client_says(conn, format!("{password}\r\n").as_bytes());
    if let Some(prompt) = prompt {
        let banner = "\r\n\r\nBusyBox v1.16.1 (2014-03-04 16:00:18 CST) built-in shell (ash)\r\n\
                      Enter 'help' for a list of built-in commands.\r\n\r\n";
        net.server_says(conn, format!("{banner}{prompt}").as_bytes());
        net.settle(conn);
        return Some(conn);
    }
    net.pause_us(900_000, 1_600_000);
    net.server_says(conn, b"\r\nLogin incorrect\r\n(none) login: ");
    net.close(conn);
    None
}

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
