//! Reading: what is wrong is told with its place, what can mean one thing only is taken with a warning.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use model::{MacAddr, Timestamp};
use serde_json::{Map, Value};

use crate::file::{
    Ace, Acl, AclKind, Eth, Forwarding, Initiator, Ip, IpVersion, L4, Matches, MudFile, MudMatch, Network,
    Ports, Unknown, authority,
};
use crate::json;

/// Longest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of objects and lists; RFC 8520 itself needs ten.
pub const MAX_DEPTH: usize = 32;
/// Most access lists.
pub const MAX_ACLS: usize = 64;
/// Most rules in all access lists together.
pub const MAX_ACES: usize = 4_096;
/// Most extensions that a file may say it uses.
pub const MAX_EXTENSIONS: usize = 64;
/// Longest name of a list, a rule or a host, in bytes.
pub const MAX_NAME: usize = 255;
/// Longest URL or other text, in bytes.
pub const MAX_TEXT: usize = 4_096;
/// Most faults, and most warnings, that are told of one file.
pub const MAX_FAULTS: usize = 100;

/// Extensions that are known by name: how their module or their `extensions` entry begins, and what they are. What
/// they say is kept, not used.
pub const EXTENSIONS: &[(&str, &str)] = &[
    ("ietf-mud-transparency", "where the list of software parts is (RFC 9472)"),
    ("transparency", "where the list of software parts is (RFC 9472)"),
    ("ietf-mud-reporter", "where to report what was forbidden (draft-ietf-opsawg-mud-reporter)"),
    ("reporter", "where to report what was forbidden (draft-ietf-opsawg-mud-reporter)"),
    ("ietf-mud-tls", "how the device speaks TLS (draft-ietf-opsawg-mud-tls)"),
    ("ietf-acl-tls", "how the device speaks TLS (draft-ietf-opsawg-mud-tls)"),
    ("ol", "ownership and licence (draft-ietf-opsawg-ol)"),
    ("ietf-ol", "ownership and licence (draft-ietf-opsawg-ol)"),
    ("ietf-mud-detext-example", "deterministic networking (RFC 8520, appendix B)"),
    ("nist-mud", "rules for a device in quarantine (NIST SP 1800-15)"),
];

const MUD: &str = "ietf-mud:mud";
const ACLS: &str = "ietf-access-control-list:acls";
/// How drafts before RFC 8519 named the container.
const OLD_ACLS: &str = "ietf-access-control-list:access-lists";

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where (a JSON pointer, RFC 6901); empty for the whole file.
    pub path: String,
    /// What is wrong, and what is expected or was made of it.
    pub what: String,
    /// The clause of the standard that says so.
    pub clause: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{path}: {} ({})", self.what, self.clause)
    }
}

/// Why a file was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// More bytes than are read.
    #[error("the file has {0} bytes; at most {MAX_BYTES} are read: ask its maker for a shorter one")]
    TooLong(usize),
    /// Not the JSON that is expected.
    #[error("line {line}, column {column}: {what}; the file must be I-JSON in UTF-8 (RFC 7951, section 3)")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// Not a description.
    #[error("not a valid description: {}", listed(.0))]
    Invalid(Vec<Fault>),
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// What it says.
    pub file: MudFile,
    /// What is not as it should be although it can mean one thing only, in the order of the file.
    pub warnings: Vec<Fault>,
    /// Extensions that it uses: name, and what they are where that is known.
    pub extensions: Vec<(String, Option<&'static str>)>,
}

/// Reads a description.
///
/// # Errors
///
/// If the file is longer than [`MAX_BYTES`], is no JSON, or says what is invalid or can mean more than one thing.
pub fn read(bytes: &[u8]) -> Result<Read, ReadError> {
    if bytes.len() > MAX_BYTES {
        return Err(ReadError::TooLong(bytes.len()));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value = json::parse(text).map_err(|error| {
        let what = error.to_string();
        // The place is told in fields of its own.
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what).to_owned();
        ReadError::Json { line: error.line(), column: error.column(), what }
    })?;
    let mut reader = Reader::default();
    if text.len() != bytes.len() {
        reader.warn("", "the file begins with a byte order mark, which was skipped", "RFC 8259, section 8.1");
    }
    let file = reader.file(value);
    if reader.faults.is_empty() {
        let extensions = reader.used_extensions(&file);
        Ok(Read { file, warnings: reader.warnings, extensions })
    } else {
        Err(ReadError::Invalid(reader.faults))
    }
}

/// A JSON object whose fields are taken one after the other; what is left was not understood.
struct Object {
    path: String,
    fields: Map<String, Value>,
}

impl Object {
    fn take(&mut self, name: &str) -> Option<Field> {
        self.fields.remove(name).map(|value| Field { path: below(&self.path, name), value })
    }

    /// Keeps what is left, by its path below `base`.
    fn keep(self, base: &str, unknown: &mut Unknown) {
        for (name, value) in self.fields {
            let path = below(&self.path, &name);
            unknown.insert(path[base.len()..].trim_start_matches('/').to_owned(), value);
        }
    }
}

/// A value and where it stands.
struct Field {
    path: String,
    value: Value,
}

/// The path of a field of an object (RFC 6901, section 3).
fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[derive(Default)]
struct Reader {
    warnings: Vec<Fault>,
    faults: Vec<Fault>,
    aces: usize,
}

impl Reader {
    fn warn(&mut self, path: &str, what: impl Into<String>, clause: &'static str) {
        if self.warnings.len() < MAX_FAULTS {
            self.warnings.push(Fault { path: path.to_owned(), what: what.into(), clause });
        }
    }

    fn fault(&mut self, path: &str, what: impl Into<String>, clause: &'static str) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { path: path.to_owned(), what: what.into(), clause });
        }
    }

    fn object(&mut self, field: Field, clause: &'static str) -> Option<Object> {
        match field.value {
            Value::Object(fields) => Some(Object { path: field.path, fields }),
            other => {
                self.fault(&field.path, format!("an object is expected, not {}", kind(&other)), clause);
                None
            }
        }
    }

    fn list(&mut self, field: Field, limit: usize, clause: &'static str) -> Vec<Field> {
        match field.value {
            Value::Array(values) if values.len() > limit => {
                self.fault(
                    &field.path,
                    format!("{} entries, of which at most {limit} are read", values.len()),
                    clause,
                );
                Vec::new()
            }
            Value::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(number, value)| Field { path: format!("{}/{number}", field.path), value })
                .collect(),
            other => {
                self.fault(&field.path, format!("a list is expected, not {}", kind(&other)), clause);
                Vec::new()
            }
        }
    }

    fn text(&mut self, field: Field, limit: usize, clause: &'static str) -> Option<String> {
        match field.value {
            Value::String(text) if text.len() <= limit => Some(text),
            Value::String(text) => {
                self.fault(
                    &field.path,
                    format!("{} bytes, of which at most {limit} are read", text.len()),
                    clause,
                );
                None
            }
            other => {
                self.fault(&field.path, format!("a text is expected, not {}", kind(&other)), clause);
                None
            }
        }
    }

    /// A whole number; one in a text is taken with a warning.
    fn number(&mut self, field: &Field, range: (u64, u64), clause: &'static str) -> Option<u64> {
        let number = match &field.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if is_decimal(text) => {
                self.warn(&field.path, format!("{text:?} is a text; it was taken as a number"), clause);
                text.parse().ok()
            }
            _ => None,
        };
        let number = number.filter(|number| (range.0..=range.1).contains(number));
        if number.is_none() {
            let what =
                format!("a number from {} to {} is expected, not {}", range.0, range.1, kind(&field.value));
            self.fault(&field.path, what, clause);
        }
        number
    }

    fn byte(&mut self, field: Option<Field>, clause: &'static str) -> Option<u8> {
        let number = self.number(&field?, (0, 255), clause)?;
        u8::try_from(number).ok()
    }

    fn boolean(&mut self, field: Field, clause: &'static str) -> Option<bool> {
        match &field.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) if text == "true" || text == "false" => {
                self.warn(&field.path, format!("{text:?} is a text; it was taken as a truth value"), clause);
                Some(text == "true")
            }
            other => {
                self.fault(&field.path, format!("true or false is expected, not {}", kind(other)), clause);
                None
            }
        }
    }

    /// A leaf of type `empty`: `[null]` (RFC 7951, section 6.9).
    fn empty(&mut self, field: Option<Field>) -> bool {
        let Some(field) = field else { return false };
        match &field.value {
            Value::Array(values) if matches!(values.as_slice(), [Value::Null]) => return true,
            Value::Null | Value::Bool(true) => {}
            Value::Array(values) if values.is_empty() => {}
            Value::Object(fields) if fields.is_empty() => {}
            Value::String(text) if text.is_empty() => {}
            other => {
                let what = format!("[null] is expected, not {}", kind(other));
                self.fault(&field.path, what, "RFC 7951, section 6.9");
                return false;
            }
        }
        self.warn(&field.path, "it was taken as [null]", "RFC 7951, section 6.9");
        true
    }

    /// An `https` URL.
    fn https(&mut self, field: Field, clause: &'static str) -> Option<String> {
        let path = field.path.clone();
        let url = self.text(field, MAX_TEXT, clause)?;
        if authority(&url).is_none() || url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            self.fault(&path, format!("{url:?} is no https URL with the name of a host"), clause);
        }
        Some(url)
    }

    fn file(&mut self, value: Value) -> MudFile {
        let mut file = MudFile::default();
        let Some(mut root) = self.object(Field { path: String::new(), value }, "RFC 8520, section 2") else {
            return file;
        };
        let acls = match (root.take(ACLS), root.take(OLD_ACLS)) {
            (Some(_), Some(old)) => {
                self.fault(
                    &old.path,
                    format!("there is {ACLS} too; one of them must go"),
                    "RFC 8519, section 4.1",
                );
                return file;
            }
            (Some(acls), None) => Some(acls),
            (None, Some(old)) => {
                self.warn(
                    &old.path,
                    format!("drafts had this name; it was taken as {ACLS}"),
                    "RFC 8519, section 4.1",
                );
                Some(old)
            }
            (None, None) => None,
        };
        let mud = root.take(MUD);
        root.keep("", &mut file.unknown);
        match mud {
            Some(mud) => self.mud(mud, &mut file),
            None => self.fault("", format!("{MUD} is missing"), "RFC 8520, section 2"),
        }
        match acls {
            Some(acls) => self.acls(acls, &mut file),
            None => self.fault("", format!("{ACLS} is missing"), "RFC 8520, section 2"),
        }
        self.references(&file);
        file
    }

    fn mud(&mut self, field: Field, file: &mut MudFile) {
        let Some(mut mud) = self.object(field, "RFC 8520, section 2.1") else { return };
        let path = mud.path.clone();
        let missing = |reader: &mut Self, name: &str, clause| {
            reader.fault(&path, format!("{name} is missing"), clause);
        };
        match mud.take("mud-version") {
            Some(version) => _ = self.number(&version, (1, 1), "RFC 8520, section 3.1"),
            None => missing(self, "mud-version", "RFC 8520, section 3.1"),
        }
        match mud.take("mud-url") {
            Some(url) => file.url = self.https(url, "RFC 8520, section 3.2").unwrap_or_default(),
            None => missing(self, "mud-url", "RFC 8520, section 3.2"),
        }
        match mud.take("last-update") {
            Some(at) => {
                let path = at.path.clone();
                file.last_update = self.text(at, MAX_NAME, "RFC 8520, section 3.4").unwrap_or_default();
                if moment(&file.last_update).is_none() {
                    let what = format!("{:?} is no date and time of RFC 3339 since 1970", file.last_update);
                    self.fault(&path, what, "RFC 8520, section 3.4");
                }
            }
            None => missing(self, "last-update", "RFC 8520, section 3.4"),
        }
        match mud.take("is-supported") {
            Some(value) => {
                file.is_supported = self.boolean(value, "RFC 8520, section 3.6").unwrap_or_default();
            }
            None => missing(self, "is-supported", "RFC 8520, section 3.6"),
        }
        file.signature = mud.take("mud-signature").and_then(|field| {
            let path = field.path.clone();
            let url = self.text(field, MAX_TEXT, "RFC 8520, section 13.1")?;
            if url.is_empty() {
                self.warn(&path, "an empty text was taken as no signature", "RFC 8520, section 13.1");
                return None;
            }
            Some(url)
        });
        file.cache_validity = mud
            .take("cache-validity")
            .and_then(|hours| self.number(&hours, (1, 168), "RFC 8520, section 3.5"))
            .and_then(|hours| u8::try_from(hours).ok());
        for (name, clause, to) in [
            ("systeminfo", "RFC 8520, section 3.7", &mut file.systeminfo),
            ("mfg-name", "RFC 8520, section 3.8", &mut file.mfg_name),
            ("model-name", "RFC 8520, section 3.8", &mut file.model_name),
            ("firmware-rev", "RFC 8520, section 3.8", &mut file.firmware_rev),
            ("software-rev", "RFC 8520, section 3.8", &mut file.software_rev),
            ("documentation", "RFC 8520, section 4.3", &mut file.documentation),
        ] {
            *to = mud.take(name).and_then(|field| self.text(field, MAX_TEXT, clause));
        }
        if file.systeminfo.as_ref().is_some_and(|text| text.chars().count() > 60) {
            self.warn(&below(&path, "systeminfo"), "it has more than 60 characters", "RFC 8520, section 3.7");
        }
        if let Some(extensions) = mud.take("extensions") {
            for field in self.list(extensions, MAX_EXTENSIONS, "RFC 8520, section 3.9") {
                file.extensions.extend(self.text(field, MAX_NAME, "RFC 8520, section 3.9"));
            }
        }
        for (name, to) in
            [("from-device-policy", &mut file.from_device), ("to-device-policy", &mut file.to_device)]
        {
            match mud.take(name) {
                Some(policy) => *to = self.policy(policy, &mut file.unknown),
                None => self.warn(
                    &path,
                    format!("{name} is missing: nothing but DNS and NTP is allowed that way"),
                    "RFC 8520, section 5",
                ),
            }
        }
        mud.keep("/", &mut file.unknown);
    }

    /// The names of access lists in a policy (RFC 8520, section 3.3).
    fn policy(&mut self, field: Field, unknown: &mut Unknown) -> Vec<String> {
        const CLAUSE: &str = "RFC 8520, section 3.3";
        let mut names = Vec::new();
        let Some(mut policy) = self.object(field, CLAUSE) else { return names };
        if let Some(lists) = policy.take("access-lists")
            && let Some(mut lists) = self.object(lists, CLAUSE)
        {
            if let Some(list) = lists.take("access-list") {
                for entry in self.list(list, MAX_ACLS, CLAUSE) {
                    let Some(mut entry) = self.object(entry, CLAUSE) else { continue };
                    let path = entry.path.clone();
                    match entry.take("name") {
                        Some(name) => {
                            if let Some(name) = self.text(name, MAX_NAME, CLAUSE) {
                                if names.contains(&name) {
                                    self.warn(
                                        &path,
                                        format!("{name:?} is listed twice; once was taken"),
                                        CLAUSE,
                                    );
                                } else {
                                    names.push(name);
                                }
                            }
                        }
                        None => self.fault(&path, "name is missing", CLAUSE),
                    }
                    // Entries that were left out would move the others: what they say besides is not kept.
                    for name in entry.fields.keys() {
                        self.warn(&below(&path, name), "it is not understood and was left out", CLAUSE);
                    }
                }
            }
            lists.keep("/", unknown);
        }
        policy.keep("/", unknown);
        names
    }

    fn acls(&mut self, field: Field, file: &mut MudFile) {
        const CLAUSE: &str = "RFC 8519, section 4.1";
        // Whatever the container was called, what is not understood in it is kept under the name of RFC 8519.
        let field = Field { path: below("", ACLS), ..field };
        let Some(mut acls) = self.object(field, CLAUSE) else { return };
        if let Some(list) = acls.take("acl") {
            for acl in self.list(list, MAX_ACLS, CLAUSE) {
                let path = acl.path.clone();
                let Some(acl) = self.acl(acl) else { continue };
                if file.acl(&acl.name).is_some() {
                    let what = format!(
                        "there are two lists of the name {:?}: which is meant cannot be told",
                        acl.name
                    );
                    self.fault(&path, what, CLAUSE);
                }
                file.acls.push(acl);
            }
        }
        acls.keep("/", &mut file.unknown);
    }

    fn acl(&mut self, field: Field) -> Option<Acl> {
        const CLAUSE: &str = "RFC 8519, section 4.1";
        let mut object = self.object(field, CLAUSE)?;
        let base = object.path.clone();
        let Some(name) = object.take("name") else {
            self.fault(&base, "name is missing", CLAUSE);
            return None;
        };
        let name = self.text(name, MAX_NAME, CLAUSE)?;
        if name.is_empty() {
            self.warn(&base, "its name is empty", CLAUSE);
        }
        let kind = object.take("type").and_then(|field| {
            let path = field.path.clone();
            let text = self.text(field, MAX_NAME, CLAUSE)?;
            let plain = identity(&text, "ietf-access-control-list");
            let found = AclKind::ALL.into_iter().find(|kind| kind.name() == plain);
            if found.is_none() && plain == "ethernet-acl-type" {
                self.warn(&path, "drafts had this name; it was taken as eth-acl-type", CLAUSE);
                return Some(AclKind::Eth);
            }
            if found.is_none() {
                self.fault(&path, format!("{text:?} is no kind of access list"), CLAUSE);
            }
            found
        });
        let mut acl = Acl { name, kind, aces: Vec::new(), unknown: Unknown::new() };
        if let Some(aces) = object.take("aces")
            && let Some(mut aces) = self.object(aces, CLAUSE)
        {
            if let Some(list) = aces.take("ace") {
                for entry in self.list(list, MAX_ACES, CLAUSE) {
                    self.aces += 1;
                    if self.aces > MAX_ACES {
                        self.fault(
                            &entry.path,
                            format!("at most {MAX_ACES} rules of a file are read"),
                            CLAUSE,
                        );
                        break;
                    }
                    let path = entry.path.clone();
                    if let Some(ace) = self.ace(entry, acl.kind) {
                        self.add(&path, ace, &mut acl.aces);
                    }
                }
            }
            aces.keep(&base, &mut acl.unknown);
        }
        object.keep(&base, &mut acl.unknown);
        Some(acl)
    }

    /// Adds a rule. A name is a rule's own in its list; it decides nothing, so another one can be given.
    fn add(&mut self, path: &str, mut ace: Ace, aces: &mut Vec<Ace>) {
        const CLAUSE: &str = "RFC 8519, section 4.1";
        if let Some(same) = aces.iter().find(|other| other.name == ace.name) {
            if *same == ace {
                self.warn(path, format!("the rule {:?} is there twice; once was taken", ace.name), CLAUSE);
                return;
            }
        } else if !ace.name.is_empty() {
            aces.push(ace);
            return;
        }
        let old = std::mem::take(&mut ace.name);
        let stem = if old.is_empty() { "ace" } else { &old };
        let taken: BTreeSet<&str> = aces.iter().map(|other| other.name.as_str()).collect();
        let mut number = aces.len() + 1;
        let mut name = format!("{stem}-{number}");
        while taken.contains(name.as_str()) {
            number += 1;
            name = format!("{stem}-{number}");
        }
        self.warn(
            path,
            format!("the name {old:?} is empty or another rule's; it was named {name:?}"),
            CLAUSE,
        );
        ace.name = name;
        aces.push(ace);
    }

    fn ace(&mut self, field: Field, acl: Option<AclKind>) -> Option<Ace> {
        const CLAUSE: &str = "RFC 8519, section 4.1";
        let mut object = self.object(field, CLAUSE)?;
        let base = object.path.clone();
        let name = match object.take("name") {
            Some(name) => self.text(name, MAX_NAME, CLAUSE)?,
            None => String::new(),
        };
        let mut unknown = Unknown::new();
        let matches = match object.take("matches") {
            Some(matches) => self.matches(matches, &base, &mut unknown, acl),
            None => {
                self.warn(&base, "without matches it holds for every packet", CLAUSE);
                Matches::default()
            }
        };
        let Some(actions) = object.take("actions") else {
            self.fault(&base, "actions is missing", CLAUSE);
            return None;
        };
        let mut actions = self.object(actions, CLAUSE)?;
        let Some(forwarding) = actions.take("forwarding") else {
            self.fault(&actions.path, "forwarding is missing", CLAUSE);
            return None;
        };
        let path = forwarding.path.clone();
        let text = self.text(forwarding, MAX_NAME, CLAUSE)?;
        let forwarding = match identity(&text, "ietf-access-control-list") {
            "accept" => Forwarding::Accept,
            "drop" => Forwarding::Drop,
            "reject" => Forwarding::Reject,
            word @ ("permit" | "deny") => {
                self.warn(&path, format!("{word:?} was taken as accept or drop"), CLAUSE);
                if word == "permit" { Forwarding::Accept } else { Forwarding::Drop }
            }
            _ => {
                self.fault(&path, format!("accept, drop or reject is expected, not {text:?}"), CLAUSE);
                return None;
            }
        };
        actions.keep(&base, &mut unknown);
        object.keep(&base, &mut unknown);
        Some(Ace { name, matches, forwarding, unknown })
    }

    fn matches(&mut self, field: Field, base: &str, unknown: &mut Unknown, acl: Option<AclKind>) -> Matches {
        let mut matches = Matches::default();
        let Some(mut object) = self.object(field, "RFC 8519, section 4.1") else { return matches };
        let path = object.path.clone();
        if let Some(mud) = object.take(MUD) {
            matches.mud = self.mud_match(mud, base, unknown);
        }
        if let Some(eth) = object.take("eth") {
            matches.eth = self.eth(eth, base, unknown);
        }
        let (v4, v6) = (object.take("ipv4"), object.take("ipv6"));
        if let (Some(_), Some(six)) = (&v4, &v6) {
            self.fault(&six.path, "a rule is about ipv4 or about ipv6", "RFC 8519, section 4.1");
        }
        for (field, version) in [(v4, IpVersion::V4), (v6, IpVersion::V6)] {
            if let Some(field) = field {
                matches.ip = self.ip(field, version, base, unknown);
            }
        }
        for (name, number) in [("tcp", 6), ("udp", 17), ("icmp", 1)] {
            let Some(field) = object.take(name) else { continue };
            let path = field.path.clone();
            if matches.l4.is_some() {
                self.fault(&path, "a rule is about one of tcp, udp and icmp", "RFC 8519, section 4.1");
                continue;
            }
            matches.l4 = self.l4(field, number, base, unknown);
            let protocol = matches.ip.as_ref().and_then(|ip| ip.protocol);
            if protocol.is_some_and(|protocol| protocol != number && (protocol, number) != (58, 1)) {
                let what = "the protocol of the IP header is another: the rule can never hold";
                self.fault(&path, what, "RFC 8519, section 4.2");
            }
        }
        if let (Some(kind), Some(ip)) = (acl, &matches.ip)
            && !kind.name().contains(ip.version.name())
        {
            let what = format!(
                "{} stands in a list of {}; it was taken as it stands",
                ip.version.name(),
                kind.name()
            );
            self.warn(&path, what, "RFC 8519, section 4.1");
        }
        for name in object.fields.keys() {
            self.not_understood(&below(&path, name));
        }
        object.keep(base, unknown);
        matches
    }

    fn not_understood(&mut self, path: &str) {
        let what = "this condition is not understood: the rule allows nothing";
        self.warn(path, what, "RFC 8520, section 3.9");
    }

    /// Keeps conditions that are not understood.
    fn leave(&mut self, object: Object, base: &str, unknown: &mut Unknown) {
        for name in object.fields.keys() {
            self.not_understood(&below(&object.path, name));
        }
        object.keep(base, unknown);
    }

    fn mud_match(&mut self, field: Field, base: &str, unknown: &mut Unknown) -> MudMatch {
        let mut found = MudMatch::default();
        let Some(mut object) = self.object(field, "RFC 8520, section 4") else { return found };
        found.manufacturer = object.take("manufacturer").and_then(|field| {
            let path = field.path.clone();
            let text = self.text(field, MAX_NAME, "RFC 8520, section 4.1")?;
            if authority(&format!("https://{text}")).is_none() || text.contains('/') {
                self.fault(&path, format!("{text:?} is no authority of a URL"), "RFC 8520, section 4.1");
            }
            Some(text.to_ascii_lowercase())
        });
        found.same_manufacturer = self.empty(object.take("same-manufacturer"));
        found.model = object.take("model").and_then(|field| self.https(field, "RFC 8520, section 4.4"));
        found.local_networks = self.empty(object.take("local-networks"));
        found.controller = object.take("controller").and_then(|field| {
            let path = field.path.clone();
            let uri = self.text(field, MAX_TEXT, "RFC 8520, section 4.6")?;
            if !is_uri(&uri) {
                self.fault(&path, format!("{uri:?} is no URI"), "RFC 8520, section 4.6");
            }
            Some(uri)
        });
        found.my_controller = self.empty(object.take("my-controller"));
        // direction-initiated stands beside the ports of tcp (RFC 8520, section 7), not here.
        self.leave(object, base, unknown);
        found
    }

    fn eth(&mut self, field: Field, base: &str, unknown: &mut Unknown) -> Option<Eth> {
        const CLAUSE: &str = "RFC 8519, section 4.2";
        let mut object = self.object(field, CLAUSE)?;
        let mut eth = Eth::default();
        if let Some(field) = object.take("ethertype") {
            let hexadecimal = field.value.as_str().and_then(|text| text.strip_prefix("0x"));
            eth.ethertype = match hexadecimal {
                Some(digits) => u16::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 4),
                None => {
                    self.number(&field, (0, 0xffff), CLAUSE).and_then(|number| u16::try_from(number).ok())
                }
            };
            if eth.ethertype.is_none() {
                self.fault(&field.path, "an EtherType such as 2048 or \"0x0800\" is expected", CLAUSE);
            }
        }
        for (name, to) in
            [("source-mac-address", &mut eth.source), ("destination-mac-address", &mut eth.destination)]
        {
            let Some(field) = object.take(name) else { continue };
            match field.value.as_str().and_then(|text| text.parse::<MacAddr>().ok()) {
                Some(mac) => *to = Some(mac),
                None => {
                    self.fault(&field.path, "a MAC address such as 00:1b:1b:4f:00:01 is expected", CLAUSE);
                }
            }
        }
        self.leave(object, base, unknown);
        Some(eth)
    }

    fn ip(&mut self, field: Field, version: IpVersion, base: &str, unknown: &mut Unknown) -> Option<Ip> {
        let mut object = self.object(field, "RFC 8519, section 4.2")?;
        let mut ip = Ip::any(version);
        if let Some(mut protocol) = object.take("protocol") {
            let number = protocol.value.as_str().and_then(|text| match text.to_ascii_lowercase().as_str() {
                "icmp" => Some(1),
                "igmp" => Some(2),
                "tcp" => Some(6),
                "udp" => Some(17),
                "icmpv6" => Some(58),
                _ => None,
            });
            if let Some(number) = number {
                let what = format!("the name was taken as the number {number}");
                self.warn(&protocol.path, what, "RFC 8519, section 4.2");
                protocol.value = number.into();
            }
            ip.protocol = self.byte(Some(protocol), "RFC 8519, section 4.2");
        }
        let family = version.name();
        for (side, network, name) in [
            ("source", &mut ip.source, &mut ip.source_name),
            ("destination", &mut ip.destination, &mut ip.destination_name),
        ] {
            let leaf = format!("{side}-{family}-network");
            if let Some(field) = object.take(&leaf) {
                self.network(field, version, network, &leaf, &mut object);
            }
            let plain = if side == "source" { "src-dnsname" } else { "dst-dnsname" };
            let right = object.take(&format!("ietf-acldns:{plain}"));
            let Some(field) = right.or_else(|| {
                let field = object.take(plain)?;
                self.warn(&field.path, format!("it was taken as ietf-acldns:{plain}"), "RFC 8520, section 8");
                Some(field)
            }) else {
                continue;
            };
            let path = field.path.clone();
            let Some(text) = self.text(field, MAX_NAME, "RFC 8520, section 8") else { continue };
            if let Ok(address) = text.parse::<IpAddr>() {
                if network.is_some() || IpVersion::of(&address) != version {
                    self.fault(
                        &path,
                        format!("{text:?} is an address of another kind"),
                        "RFC 8520, section 8",
                    );
                } else {
                    self.warn(&path, "the address was taken as a network of one", "RFC 8520, section 8");
                    *network = Some(Network::host(address));
                }
            } else if let Some(host) = host_name(&text) {
                *name = Some(host);
            } else {
                let what = format!("{text:?} is no name of a host; there are no patterns, list the names");
                self.fault(&path, what, "RFC 8520, section 8");
            }
        }
        self.leave(object, base, unknown);
        Some(ip)
    }

    fn network(
        &mut self,
        field: Field,
        version: IpVersion,
        to: &mut Option<Network>,
        leaf: &str,
        object: &mut Object,
    ) {
        const CLAUSE: &str = "RFC 8519, section 4.2";
        let text = field.value.as_str().unwrap_or_default();
        let Ok(network) = text.parse::<Network>() else {
            self.fault(
                &field.path,
                format!("a network such as 192.0.2.0/24 is expected, not {}", kind(&field.value)),
                CLAUSE,
            );
            return;
        };
        if IpVersion::of(&network.address()) != version {
            // No packet has such an address: the rule is kept as it is, and never holds.
            object.fields.insert(leaf.to_owned(), field.value);
            return;
        }
        let written = text.split('/').next().and_then(|address| address.parse::<IpAddr>().ok());
        if !text.contains('/') {
            self.warn(&field.path, format!("without a prefix it was taken as {network}"), CLAUSE);
        } else if written != Some(network.address()) {
            self.warn(
                &field.path,
                format!("bits beyond the prefix are set; it was taken as {network}"),
                CLAUSE,
            );
        }
        *to = Some(network);
    }

    fn l4(&mut self, field: Field, number: u8, base: &str, unknown: &mut Unknown) -> Option<L4> {
        const CLAUSE: &str = "RFC 8519, section 4.2";
        let mut object = self.object(field, CLAUSE)?;
        let l4 = if number == 1 {
            L4::Icmp {
                kind: self.byte(object.take("type"), CLAUSE),
                code: self.byte(object.take("code"), CLAUSE),
            }
        } else {
            let mut ports = |reader: &mut Self, name| {
                object.take(name).and_then(|field| reader.ports(field, base, unknown))
            };
            let (source, destination) = (ports(self, "source-port"), ports(self, "destination-port"));
            if number == 17 {
                L4::Udp { source, destination }
            } else {
                L4::Tcp { source, destination, initiated: self.initiated(&mut object) }
            }
        };
        self.leave(object, base, unknown);
        Some(l4)
    }

    fn initiated(&mut self, object: &mut Object) -> Option<Initiator> {
        const CLAUSE: &str = "RFC 8520, section 4.8";
        let field = object.take("ietf-mud:direction-initiated").or_else(|| {
            let field = object.take("direction-initiated")?;
            self.warn(&field.path, "it was taken as ietf-mud:direction-initiated", CLAUSE);
            Some(field)
        })?;
        let found = [Initiator::Device, Initiator::Peer]
            .into_iter()
            .find(|side| field.value.as_str() == Some(side.name()));
        if found.is_none() {
            self.fault(&field.path, "from-device or to-device is expected", CLAUSE);
        }
        found
    }

    /// A run of ports, or an operator and a port (RFC 8519, section 4.2: `port-range-or-operator`).
    fn ports(&mut self, field: Field, base: &str, unknown: &mut Unknown) -> Option<Ports> {
        const CLAUSE: &str = "RFC 8519, section 4.2";
        if matches!(field.value, Value::Number(_) | Value::String(_)) {
            let port = u16::try_from(self.number(&field, (0, 65_535), CLAUSE)?).ok()?;
            self.warn(&field.path, "a port alone was taken as one that must be equal", CLAUSE);
            return Some(Ports::Eq(port));
        }
        let mut object = self.object(field, CLAUSE)?;
        let path = object.path.clone();
        let mut port = |reader: &mut Self, name| {
            let number = reader.number(&object.take(name)?, (0, 65_535), CLAUSE)?;
            u16::try_from(number).ok()
        };
        let (lower, upper, one) = (port(self, "lower-port"), port(self, "upper-port"), port(self, "port"));
        let operator = object.take("operator").and_then(|field| self.text(field, MAX_NAME, CLAUSE));
        let ports = match (lower, upper, one, operator.as_deref()) {
            (Some(lower), Some(upper), None, operator) if lower <= upper => {
                if let Some(operator) = operator {
                    let what =
                        format!("the operator {operator:?} has no place beside a range; it was left out");
                    self.warn(&path, what, CLAUSE);
                }
                Some(Ports::Range(lower, upper))
            }
            (None, None, Some(port), None | Some("eq")) => Some(Ports::Eq(port)),
            (None, None, Some(port), Some("neq")) => Some(Ports::Neq(port)),
            (None, None, Some(port), Some("lte")) => Some(Ports::Lte(port)),
            (None, None, Some(port), Some("gte")) => Some(Ports::Gte(port)),
            _ => {
                let what = "expected are lower-port and upper-port, the first not above the second, or a port and \
                            one of the operators eq, lte, gte, neq";
                self.fault(&path, what, CLAUSE);
                None
            }
        };
        self.leave(object, base, unknown);
        ports
    }

    /// Policies name lists that exist (RFC 8520, section 3.3).
    fn references(&mut self, file: &MudFile) {
        for (policy, names) in
            [("from-device-policy", &file.from_device), ("to-device-policy", &file.to_device)]
        {
            for name in names.iter().filter(|name| file.acl(name).is_none()) {
                let what = format!("there is no access list {name:?}");
                self.fault(&format!("/{MUD}/{policy}"), what, "RFC 8520, section 3.3");
            }
        }
        for (number, acl) in file.acls.iter().enumerate() {
            if !file.from_device.contains(&acl.name) && !file.to_device.contains(&acl.name) {
                let what = format!("no policy names the access list {:?}: it decides nothing", acl.name);
                self.warn(&format!("/{ACLS}/acl/{number}"), what, "RFC 8520, section 3.3");
            }
        }
    }

    /// Extensions that the file names or uses (RFC 8520, section 3.9).
    fn used_extensions(&mut self, file: &MudFile) -> Vec<(String, Option<&'static str>)> {
        let known = |name: &str| EXTENSIONS.iter().find(|(known, _)| *known == name);
        let paths =
            file.unknown.keys().chain(file.acls.iter().flat_map(|acl| {
                acl.unknown.keys().chain(acl.aces.iter().flat_map(|ace| ace.unknown.keys()))
            }));
        // The module stands before the colon; extensions of a module are named like it or like its last part.
        let modules: BTreeSet<String> = paths
            .filter_map(|path| path.rsplit('/').next()?.split_once(':'))
            .map(|(module, _)| module.strip_suffix("-extension").unwrap_or(module).to_owned())
            .filter(|module| module != "ietf-mud" && module != "ietf-access-control-list")
            .collect();
        for module in &modules {
            if !file.extensions.iter().any(|declared| module.ends_with(declared.as_str())) {
                let what = format!("the extension {module:?} is used and not named in extensions");
                self.warn(&format!("/{MUD}"), what, "RFC 8520, section 3.9");
            }
        }
        let mut all: BTreeSet<&str> = modules.iter().map(String::as_str).collect();
        all.extend(file.extensions.iter().map(String::as_str));
        all.into_iter()
            .map(|name| {
                (
                    name.to_owned(),
                    known(name).or_else(|| known(&format!("ietf-{name}"))).map(|(_, what)| *what),
                )
            })
            .collect()
    }
}

/// A date and time of RFC 3339.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

/// The name of an identity without the module that it is of (RFC 7951, section 6.8).
fn identity<'a>(text: &'a str, module: &str) -> &'a str {
    text.split_once(':').filter(|(before, _)| *before == module).map_or(text, |(_, name)| name)
}

/// The name of a host in lower case without the last dot (RFC 1123, section 2.1; underscores are in use).
pub(crate) fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (name.len() <= 253 && name.split('.').all(is_label)).then(|| name.to_ascii_lowercase())
}

/// Whether a text is a URI as far as its scheme and characters tell (RFC 3986, sections 2 and 3.1).
fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a value is, in words that are never long.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
