//! HTTP/1.1 (RFC 9112) and RTSP (RFC 2326).

use crate::bytes::{Put, build};
use crate::net::{ConnId, HostId, Net};

/// A request as text.
pub(crate) fn get(host: &str, path: &str, agent: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{more}\r\n").into()
}

/// A request that brings something, as text.
pub(crate) fn post(host: &str, path: &str, agent: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    text.put(body);
    text
}

/// An answer as text.
pub(crate) fn answer(status: &str, server: &str, kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nServer: {server}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{more}\r\n",
        body.len()
    )
    .into_bytes();
    text.put(body);
    text
}

/// One request and its answer on a connection of its own.
pub(crate) fn fetch(net: &mut Net, client: HostId, server: HostId, port: u16, request: &[u8], answer: &[u8]) {
    let conn = net.connect(client, server, port, "http");
    net.exchange(conn, request, answer);
    net.close(conn);
}

/// A page that fills `size` bytes.
pub(crate) fn page(title: &str, size: usize) -> Vec<u8> {
    let mut text = format!("<!DOCTYPE html><html><head><title>{title}</title></head><body>\n").into_bytes();
    while text.len() + 15 < size {
        text.put(b"<p>.........</p>\n");
    }
    text.put(b"</body></html>\n");
    text
}

/// A device asks for a password by digest (RFC 7616), is given a proof, and shows the page. The proof
/// is made of chance: nobody here knows the password.
pub(crate) fn fetch_with_digest(
    net: &mut Net,
    (client, agent): (HostId, &str),
    (server, software, realm): (HostId, &str, &str),
    path: &str,
    body: &[u8],
) {
    let host = net.v4(server, client).to_string();
    let conn = net.connect(client, server, 80, "http");
    let nonce = net.rng.hex(32);
    let challenge =
        format!("WWW-Authenticate: Digest realm=\"{realm}\", qop=\"auth\", nonce=\"{nonce}\"\r\n");
    let refusal = answer("401 Unauthorized", software, "text/html", &challenge, b"<h1>401</h1>");
    net.exchange(conn, &get(&host, path, agent, ""), &refusal);
    let proof = format!(
        "Authorization: Digest username=\"admin\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{path}\", \
         response=\"{}\", qop=auth, nc=00000001, cnonce=\"{}\"\r\n",
        net.rng.hex(32),
        net.rng.hex(16)
    );
    let page = answer("200 OK", software, "application/xml", "", body);
    net.exchange(conn, &get(&host, path, agent, &proof), &page);
    net.close(conn);
}

/// A program tries to log in at a page by basic authentication (RFC 7617), with `token` as the coded user
/// and password; `page` is shown if it is right.
pub(crate) fn try_login(
    net: &mut Net,
    client: HostId,
    (server, software): (HostId, &str),
    token: &str,
    page: Option<&[u8]>,
) {
    let host = net.v4(server, client).to_string();
    let ask = get(&host, "/", "python-requests/2.31.0", &format!("Authorization: Basic {token}\r\n"));
    let tell = match page {
        Some(page) => answer("200 OK", software, "text/html", "", page),
        None => {
            let more = "WWW-Authenticate: Basic realm=\"login\"\r\n";
            answer("401 Unauthorized", software, "text/html", more, b"<h1>401 Unauthorized</h1>")
        }
    };
    fetch(net, client, server, 80, &ask, &tell);
}

/// A player opens a camera's stream, interleaved with the control connection (RFC 2326 section 10.12),
/// and returns the connection, ready for [`stream`].
pub(crate) fn play(
    net: &mut Net,
    (client, agent): (HostId, &str),
    (server, software, realm): (HostId, &str, &str),
    path: &str,
) -> ConnId {
    let url = format!("rtsp://{}:554{path}", net.v4(server, client));
    let conn = net.connect(client, server, 554, "rtsp");
    let agent = format!("User-Agent: {agent}\r\n");
    let ask = |method: &str, number: u8, more: &str| -> Vec<u8> {
        format!("{method} {url} RTSP/1.0\r\nCSeq: {number}\r\n{agent}{more}\r\n").into()
    };
    let say = |status: &str, number: u8, more: &str, body: &str| -> Vec<u8> {
        format!("RTSP/1.0 {status}\r\nCSeq: {number}\r\nServer: {software}\r\n{more}\r\n{body}").into()
    };
    let methods = "Public: OPTIONS, DESCRIBE, PLAY, PAUSE, SETUP, TEARDOWN, GET_PARAMETER\r\n";
    net.exchange(conn, &ask("OPTIONS", 1, ""), &say("200 OK", 1, methods, ""));
    let nonce = net.rng.hex(32);
    let challenge = format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\"\r\n");
    net.exchange(
        conn,
        &ask("DESCRIBE", 2, "Accept: application/sdp\r\n"),
        &say("401 Unauthorized", 2, &challenge, ""),
    );
    let proof = format!(
        "Authorization: Digest username=\"viewer\", realm=\"{realm}\", nonce=\"{nonce}\", \
         uri=\"{url}\", response=\"{}\"\r\n",
        net.rng.hex(32)
    );
    let sdp = "v=0\r\no=- 1109162014219182 1109162014219182 IN IP4 0.0.0.0\r\ns=Media Presentation\r\n\
               t=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n";
    let kind = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", sdp.len());
    let describe = format!("Accept: application/sdp\r\n{proof}");
    net.exchange(conn, &ask("DESCRIBE", 3, &describe), &say("200 OK", 3, &kind, sdp));
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let session = "Session: 1204867318;timeout=60\r\n";
    let setup = format!("{transport}{session}");
    net.exchange(conn, &ask("SETUP", 4, &format!("{transport}{proof}")), &say("200 OK", 4, &setup, ""));
    net.exchange(conn, &ask("PLAY", 5, session), &say("200 OK", 5, session, ""));
    conn
}

/// Some RTP packets of the stream (RFC 3550), their content made of chance.
pub(crate) fn stream(net: &mut Net, conn: ConnId, sequence: &mut u16, packets: usize) {
    for _ in 0..packets {
        let size = net.rng.range(500, 1_380) as usize;
        let content = net.rng.bytes(size);
        let mut packet = Vec::new();
        packet.u8(b'$').u8(0).be16(12 + size as u16).u8(0x80).u8(96).be16(*sequence);
        packet.be32(u32::from(*sequence) * 3_000).be32(0x5f3a_11c2).put(&content);
        *sequence = sequence.wrapping_add(1);
        net.server_says(conn, &packet);
    }
    net.settle(conn);
}

/// Ends a stream.
pub(crate) fn stop(net: &mut Net, conn: ConnId, url: &str) {
    let ask = format!("TEARDOWN {url} RTSP/1.0\r\nCSeq: 6\r\nSession: 1204867318\r\n\r\n");
    let answer = "RTSP/1.0 200 OK\r\nCSeq: 6\r\nSession: 1204867318\r\n\r\n";
    net.exchange(conn, ask.as_bytes(), answer.as_bytes());
    net.close(conn);
}

/// The attributes with which requests and answers of IPP begin (RFC 8010 section 3.1.4).
fn ipp_languages(out: &mut Vec<u8>) {
    out.u8(1);
    ipp_attribute(out, 0x47, "attributes-charset", "utf-8");
    ipp_attribute(out, 0x48, "attributes-natural-language", "en");
}

fn ipp_attribute(out: &mut Vec<u8>, kind: u8, name: &str, value: &str) {
    out.u8(kind).long(name.as_bytes()).long(value.as_bytes());
}

/// An IPP request to print a document (RFC 8011 section 4.2.1).
pub(crate) fn print_job(printer: &str, user: &str, document: &[u8]) -> Vec<u8> {
    build(|m| {
        m.be16(0x0101).be16(2).be32(1);
        ipp_languages(m);
        ipp_attribute(m, 0x45, "printer-uri", printer);
        ipp_attribute(m, 0x42, "requesting-user-name", user);
        m.u8(3).put(document);
    })
}

/// The printer has taken a document.
pub(crate) fn printed() -> Vec<u8> {
    build(|m| {
        m.be16(0x0101).be16(0).be32(1);
        ipp_languages(m);
        m.u8(3);
    })
}
