//! What the text protocols share: a start line with header fields (HTTP, RTSP, SIP), single lines (FTP,
//! SMTP, IRC), and the rules by which secrets are kept out of everything that is told.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2};

/// A head (start line and header fields) longer than this many bytes is not read.
pub(crate) const MAX_HEAD: usize = 32 * 1024;

/// Header fields after this many are not read.
const MAX_FIELDS: usize = 128;

/// Bytes of a header field's value that are told.
pub(crate) const MAX_VALUE: usize = 256;

/// Bytes of a request target or other locator that are told.
pub(crate) const MAX_TARGET: usize = 512;

/// Stands where a secret was.
const REDACTED: &str = "***";

/// A start line and its header fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// The start line, without its end.
    pub(crate) start: &'a [u8],
    fields: &'a [u8],
    /// Bytes of the whole head with the empty line that ends it.
    pub(crate) length: usize,
}

impl<'a> Head<'a> {
    /// Names and values of the header fields. Continuation lines (RFC 9112 clause 5.2, RFC 3261 clause
    /// 7.3.1) are passed over.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let fields = self.fields;
        let mut from = 0;
        memchr_iter(b'\n', fields)
            .map(move |end| {
                let line = &fields[from..end];
                from = end + 1;
                line
            })
            .filter(|line| !line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')))
            .filter_map(|line| {
                let colon = memchr(b':', line)?;
                Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
            })
            .take(MAX_FIELDS)
    }

    /// The value of the first header field of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields().find(|(known, _)| is(known, name)).map(|(_, value)| value)
    }

    /// A head that is whole in `bytes`.
    pub(crate) fn whole(bytes: &'a [u8]) -> Option<Self> {
        match HeadScan::default().find(bytes) {
            Found::Whole(head) => Some(head),
            Found::More | Found::TooLong => None,
        }
    }
}

/// Looks for the end of a head as its bytes arrive, each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadScan {
    scanned: usize,
}

/// What a [`HeadScan`] found.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// The head is whole.
    Whole(Head<'a>),
    /// Its end has not arrived.
    More,
    /// It is longer than [`MAX_HEAD`].
    TooLong,
}

impl HeadScan {
    /// Looks at all bytes since the head began; those seen in earlier calls are not looked at again. A
    /// line may end with CR LF or LF alone (RFC 9112 clause 2.2).
    pub(crate) fn find<'a>(&mut self, bytes: &'a [u8]) -> Found<'a> {
        let mut at = self.scanned.min(bytes.len());
        while let Some(offset) = memchr(b'\n', &bytes[at..]) {
            let end = at + offset;
            let after = match bytes.get(end + 1..) {
                Some([b'\n', ..]) => end + 2,
                Some([b'\r', b'\n', ..]) => end + 3,
                // The next line's first bytes decide, and are not there yet.
                Some([] | [b'\r']) => {
                    at = end;
                    break;
                }
                _ => {
                    at = end + 1;
                    continue;
                }
            };
            if after > MAX_HEAD {
                return Found::TooLong;
            }
            self.scanned = 0;
            let first = memchr(b'\n', bytes).unwrap_or(end);
            return Found::Whole(Head {
                start: bytes[..first].trim_ascii_end(),
                fields: &bytes[first..=end],
                length: after,
            });
        }
        self.scanned = if bytes.get(at) == Some(&b'\n') { at } else { bytes.len() };
        if bytes.len() > MAX_HEAD { Found::TooLong } else { Found::More }
    }

    /// Forgets what was seen: the bytes were dropped.
    pub(crate) fn reset(&mut self) {
        self.scanned = 0;
    }
}

/// The first line of `bytes` without its end, and how many bytes it takes with it.
pub(crate) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', bytes)?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// Whether `bytes` are `name`, letters of either case.
pub(crate) fn is(bytes: &[u8], name: &str) -> bool {
    bytes.eq_ignore_ascii_case(name.as_bytes())
}

/// Where `needle` stands in `hay`, letters of either case. `needle` is in lower case.
pub(crate) fn find(hay: &[u8], needle: &str) -> Option<usize> {
    let (first, rest) = needle.as_bytes().split_first()?;
    let last = hay.len().checked_sub(needle.len())?;
    let mut at = 0;
    while at <= last {
        at += memchr2(*first, first.to_ascii_uppercase(), &hay[at..=last])?;
        if hay[at + 1..at + needle.len()].eq_ignore_ascii_case(rest) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Whether `needle`, in lower case, stands in `hay`, letters of either case.
pub(crate) fn has(hay: &[u8], needle: &str) -> bool {
    find(hay, needle).is_some()
}

/// At most `max` bytes as text fit to be shown: what is not UTF-8 and what controls a terminal is
/// replaced.
pub(crate) fn clean(bytes: &[u8], max: usize) -> Cow<'_, str> {
    let bytes = bytes.get(..max).unwrap_or(bytes);
    let plain = |byte: &u8| matches!(byte, b' '..=b'~');
    if let (true, Ok(text)) = (bytes.iter().all(plain), std::str::from_utf8(bytes)) {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(bytes);
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        text
    }
}

/// A decimal number and nothing else.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A digest to tell a repeated text from a new one (FNV-1a); never 0.
pub(crate) fn digest(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)) | 1
}

/// Whether every byte can stand in a token (RFC 9110 clause 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Authentication schemes by their registered names (IANA HTTP Authentication Schemes, and those that
/// are in use without registration).
const SCHEMES: &[&str] = &[
    "basic",
    "digest",
    "bearer",
    "ntlm",
    "negotiate",
    "hoba",
    "mutual",
    "oauth",
    "dpop",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "vapid",
    "aws4-hmac-sha256",
    "hmac",
    "apikey",
    "token",
    "wsse",
];

/// What kind of program a file is, by its first bytes.
pub(crate) fn program(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0x7f, b'E', b'L', b'F', ..] => "elf",
        [b'd', b'e', b'x', b'\n', ..] => "dex",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "mach-o",
        [b'#', b'!', b'/' | b' ', ..] => "script",
        // Two letters are a weak mark: the length of the last page (below 512) and the page count agree.
        [b'M', b'Z', _, 0 | 1, pages, 0, ..] if *pages > 0 => "pe",
        _ => return None,
    })
}

/// The name of the scheme in a credential or challenge (RFC 9110 clause 11). Only registered and widely
/// used names are told: anything else may be a secret sent without a scheme.
pub(crate) fn scheme(value: &[u8]) -> &'static str {
    let word = value.split(|byte| matches!(byte, b' ' | b',')).next().unwrap_or_default();
    SCHEMES.iter().find(|known| is(word, known)).copied().unwrap_or("other")
}

/// The realm of a challenge (RFC 9110 clause 11.5).
pub(crate) fn realm(value: &[u8]) -> Option<&[u8]> {
    let rest = value[find(value, "realm=")? + "realm=".len()..].trim_ascii_start();
    let inner = rest.strip_prefix(b"\"")?;
    let end = inner.iter().position(|byte| *byte == b'"')?;
    Some(&inner[..end]).filter(|realm| !realm.is_empty())
}

/// Words within a parameter's name that make its value a secret or part of a login, by first letter.
const fn secret_words(first: u8) -> &'static [&'static str] {
    match first {
        b'a' => &["auth", "account"],
        b'c' => &["cred", "cookie"],
        b'e' => &["email"],
        b'j' => &["jwt"],
        b'k' => &["key"],
        b'l' => &["login", "logon"],
        b'p' => &["pass", "pwd", "psw", "psk"],
        b's' => &["secret", "sess", "signature"],
        b't' => &["token"],
        b'u' => &["user", "usr", "uname"],
        _ => &[],
    }
}

/// Whole names of parameters that hold a secret or part of a login.
const SECRET_NAMES: &[&str] = &["sid", "pw", "pin", "otp", "sig", "code", "u", "p", "mail", "hash", "nonce"];

/// Words that make the following path segment a secret.
const SECRET_SEGMENTS: &[&str] =
    &["token", "password", "passwd", "pwd", "secret", "session", "apikey", "api_key", "api-key"];

/// A name in a path after which a long opaque segment is taken for an access key (as in
/// `/api/<key>/lights`).
const KEY_HOLDER: &str = "api";

/// An opaque path segment of at least this many bytes after [`KEY_HOLDER`] is taken for a key.
const KEY_LENGTH: usize = 16;

/// Whether a parameter of that name holds a password, a key, or a part of a login. The name may be
/// percent-encoded.
pub(crate) fn is_secret(name: &[u8]) -> bool {
    let name = percent_decoded(name);
    let begins = |at: usize, word: &str| name[at..].get(..word.len()).is_some_and(|part| is(part, word));
    let mut places = name.iter().map(u8::to_ascii_lowercase).enumerate();
    places.any(|(at, first)| secret_words(first).iter().any(|word| begins(at, word)))
        || SECRET_NAMES.iter().any(|known| is(&name, known))
}

/// Whether a parameter of that name holds a password.
pub(crate) fn is_password(name: &[u8]) -> bool {
    let name = percent_decoded(name);
    ["pass", "pwd", "psw"].iter().any(|word| has(&name, word)) || is(&name, "pw")
}

/// A name with its percent-encoded bytes decoded (RFC 3986 clause 2.1); what is no valid encoding stays.
fn percent_decoded(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'%') {
        return Cow::Borrowed(name);
    }
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    loop {
        match rest {
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
                decoded.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            [byte, after @ ..] => {
                decoded.push(*byte);
                rest = after;
            }
            [] => return Cow::Owned(decoded),
        }
    }
}

/// A locator (RFC 3986) that holds no secret: user information is left out, the values of parameters
/// whose names speak of passwords, keys, sessions or logins are replaced by `***`, in the query, in path
/// parameters and in path segments. At most [`MAX_TARGET`] bytes.
pub(crate) fn locator(target: &[u8]) -> String {
    let target = target.get(..MAX_TARGET * 2).unwrap_or(target);
    let mut text = String::with_capacity(target.len().min(MAX_TARGET));
    let mut rest = target;
    if let Some(scheme) = scheme_length(target) {
        text.push_str(&clean(&target[..scheme], MAX_TARGET));
        let after = &target[scheme..];
        let end = after.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(after.len());
        text.push_str(&clean(without_user(&after[..end]), MAX_TARGET));
        rest = &after[end..];
    }
    let query = rest.iter().position(|byte| *byte == b'?').unwrap_or(rest.len());
    let (path, query) = rest.split_at(query);
    let mut before: &[u8] = b"";
    for piece in path.split_inclusive(|byte| b"/;,&".contains(byte)) {
        let (word, end) = split_end(piece, b"/;,&");
        let follows_word = SECRET_SEGMENTS.iter().any(|known| is(before, known));
        let is_key =
            is(before, KEY_HOLDER) && word.len() >= KEY_LENGTH && word.iter().all(u8::is_ascii_alphanumeric);
        if !word.is_empty() && (follows_word || is_key) {
            text.push_str(REDACTED);
        } else {
            push_parameter(&mut text, word);
        }
        text.push_str(&clean(end, 1));
        before = word;
    }
    for piece in query.split_inclusive(|byte| b"?&;".contains(byte)) {
        let (word, end) = split_end(piece, b"?&;");
        push_parameter(&mut text, word);
        text.push_str(&clean(end, 1));
    }
    if text.len() > MAX_TARGET {
        let mut end = MAX_TARGET;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

/// The authority without user information (RFC 3986 clause 3.2.1).
pub(crate) fn without_user(authority: &[u8]) -> &[u8] {
    authority.iter().rposition(|byte| *byte == b'@').map_or(authority, |at| &authority[at + 1..])
}

/// Bytes of `scheme://` at the beginning of a locator.
fn scheme_length(target: &[u8]) -> Option<usize> {
    let colon = target.iter().take(16).position(|byte| *byte == b':')?;
    (target[colon..].starts_with(b"://") && target[..colon].iter().all(u8::is_ascii_alphanumeric))
        .then_some(colon + 3)
}

fn split_end<'a>(piece: &'a [u8], ends: &[u8]) -> (&'a [u8], &'a [u8]) {
    match piece.split_last() {
        Some((last, word)) if ends.contains(last) => (word, &piece[word.len()..]),
        _ => (piece, b""),
    }
}

/// Adds `name=value` without its value where that is a secret, or holds a locator with user information.
fn push_parameter(text: &mut String, word: &[u8]) {
    let mut from = 0;
    while let Some(offset) = word[from..].iter().position(|byte| *byte == b'=') {
        let equals = from + offset;
        if is_secret(&word[from..equals]) {
            text.push_str(&clean(&word[..=equals], MAX_TARGET));
            if equals + 1 < word.len() {
                text.push_str(REDACTED);
            }
            return;
        }
        from = equals + 1;
    }
    let plain = percent_decoded(&word[from..]);
    if plain.contains(&b'@') && has(&plain, "://") {
        text.push_str(&clean(&word[..from], MAX_TARGET));
        text.push_str(REDACTED);
    } else {
        text.push_str(&clean(word, MAX_TARGET));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn locators_keep_their_shape_and_lose_their_secrets() {
        for (target, told) in [
            ("/index.html?a=1&b=2", "/index.html?a=1&b=2"),
            ("http://admin:1234@192.0.2.1:8080/x", "http://192.0.2.1:8080/x"),
            ("/login.cgi?user=admin&password=1234&next=/", "/login.cgi?user=***&password=***&next=/"),
            ("/x?%70assword=1234", "/x?%70assword=***"),
            ("/user=admin_password=tlJwpbo6_channel=1.sdp?real", "/user=***?real"),
            ("/channel=1_password=abc", "/channel=1_password=***"),
            ("/a;jsessionid=99AF?x", "/a;jsessionid=***?x"),
            ("/api/83b7780291a6ceffbe0bd049104df/lights", "/api/***/lights"),
            ("/reset/token/abcdef", "/reset/token/***"),
            ("/get?url=ftp%3A%2F%2Fjoe%3Apw%40host%2Ff", "/get?url=***"),
            ("/?sid=", "/?sid="),
            ("rtsp://u:p@ss@host/live", "rtsp://host/live"),
        ] {
            assert_eq!(locator(target.as_bytes()), told);
        }
    }

    #[test]
    fn a_credential_without_a_scheme_is_not_taken_for_one() {
        assert_eq!(scheme(b"Basic YWRtaW46MTIzNA=="), "basic");
        assert_eq!(scheme(b"YWRtaW46MTIzNA=="), "other");
        assert_eq!(
            realm(b"Digest qop=\"auth\", realm=\"IP Camera(C2233)\", nonce=\"1\""),
            Some(&b"IP Camera(C2233)"[..])
        );
        assert_eq!(realm(b"Basic realm=\"\""), None);
    }

    #[test]
    fn a_head_is_found_however_its_bytes_arrive() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: b\r\n c\r\nEmpty:\r\n\r\nbody";
        let mut scan = HeadScan::default();
        for length in 0..bytes.len() - 4 {
            assert!(matches!(scan.find(&bytes[..length]), Found::More), "at {length}");
        }
        let Found::Whole(head) = scan.find(bytes) else { panic!("the head is whole") };
        assert_eq!(head.start, b"GET / HTTP/1.1");
        assert_eq!(head.length, bytes.len() - 4);
        assert_eq!(head.get("HOST"), Some(&b"a"[..]));
        assert_eq!(head.get("x-long"), Some(&b"b"[..]));
        assert_eq!(head.get("empty"), Some(&b""[..]));
        assert_eq!(head.get("c"), None);
    }

    #[test]
    fn a_head_without_an_end_is_given_up() {
        let bytes = vec![b'a'; MAX_HEAD + 1];
        assert!(matches!(HeadScan::default().find(&bytes), Found::TooLong));
    }

    proptest! {
        #[test]
        fn a_password_parameter_never_shows(before in "[a-z0-9/?&=;]{0,40}", secret in "[A-Z]{8,20}", after in "(&[a-z0-9=]{0,20})?") {
            let target = format!("/{before}&password={secret}{after}");
            prop_assert!(!locator(target.as_bytes()).contains(&secret));
        }

        #[test]
        fn any_bytes_make_a_locator_that_fits(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert!(locator(&bytes).len() <= MAX_TARGET);
        }

        #[test]
        fn scanning_in_pieces_finds_what_scanning_at_once_finds(bytes in "[ab:\r\n]{0,60}", cut in 0_usize..60) {
            let bytes = bytes.as_bytes();
            let mut scan = HeadScan::default();
            let early = match scan.find(&bytes[..cut.min(bytes.len())]) {
                Found::Whole(head) => Some(head.length),
                _ => None,
            };
            let found = early.or_else(|| match scan.find(bytes) {
                Found::Whole(head) => Some(head.length),
                _ => None,
            });
            prop_assert_eq!(found, Head::whole(bytes).map(|head| head.length));
        }
    }
}
