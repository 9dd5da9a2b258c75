//! The control connection of FTP (RFC 959).

use crate::net::{HostId, Net};

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
