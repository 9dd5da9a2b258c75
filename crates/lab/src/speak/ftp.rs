//! FTP (RFC 959): the control connection, and passive data connections.

use std::net::IpAddr;

use crate::net::{HostId, NO_PROTOCOL, Net};

/// A client logs in, looks at some files' sizes and leaves.
pub(crate) fn session(net: &mut Net, client: HostId, server: HostId, greeting: &str, files: &[&str]) {
    let conn = net.connect(client, server, 21, "ftp");
    net.server_says(conn, format!("220 {greeting}\r\n").as_bytes());
    net.exchange(conn, b"USER datalogger\r\n", b"331 Password required\r\n");
    net.exchange(conn, b"PASS ********\r\n", b"230 User logged in\r\n");
    net.exchange(conn, b"SYST\r\n", b"215 VxWorks 6.4\r\n");
    net.exchange(conn, b"TYPE I\r\n", b"200 Type set to I, binary mode\r\n");
    for file in files {
        let size = net.rng.range(1_000, 90_000);
        net.exchange(conn, format!("SIZE {file}\r\n").as_bytes(), format!("213 {size}\r\n").as_bytes());
    }
    net.exchange(conn, b"QUIT\r\n", b"221 Bye\r\n");
    net.close(conn);
}

/// A client logs in and stores files of chance at the server, each over a data connection that the server
/// names (RFC 959 section 4.1.2, PASV).
pub(crate) fn store(
    net: &mut Net,
    client: HostId,
    (server, greeting): (HostId, &str),
    user: &str,
    files: &[(&str, usize)],
) {
    let conn = net.connect(client, server, 21, "ftp");
    net.server_says(conn, format!("220 {greeting}\r\n").as_bytes());
    net.exchange(conn, format!("USER {user}\r\n").as_bytes(), b"331 Password required\r\n");
    net.exchange(conn, b"PASS ********\r\n", b"230 User logged in\r\n");
    net.exchange(conn, b"TYPE I\r\n", b"200 Type set to I\r\n");
    let IpAddr::V4(ip) = net.v4(server, client) else { return };
    let [a, b, c, d] = ip.octets();
    for (file, size) in files {
        let port = net.rng.range(50_000, 60_000) as u16;
        let [high, low] = port.to_be_bytes();
        let passive = format!("227 Entering Passive Mode ({a},{b},{c},{d},{high},{low})\r\n");
        net.exchange(conn, b"PASV\r\n", passive.as_bytes());
        net.client_says(conn, format!("STOR {file}\r\n").as_bytes());
        let data = net.connect(client, server, port, NO_PROTOCOL);
        net.server_says(conn, b"150 Ok to send data\r\n");
        net.settle(conn);
        for at in (0..*size).step_by(16_384) {
            let part = net.rng.bytes(16_384.min(size - at));
            net.client_says(data, &part);
        }
        net.close(data);
        net.server_says(conn, b"226 Transfer complete\r\n");
        net.settle(conn);
    }
    net.exchange(conn, b"QUIT\r\n", b"221 Goodbye\r\n");
    net.close(conn);
}
