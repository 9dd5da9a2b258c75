//! Text to policies, line by line. A line that cannot be read is told of, and the next one is read.

use model::{MacAddr, OperationKind, Transport};
use query::{DEVICE, Expr, Network, nearest};

use super::print::{has_ports, is_bare};
use super::{
    Conduit, Criticality, Group, Guard, Invariant, Level, OPERATIONS, Operation, Policy, Rule, Service,
    ServiceDefinition, Term, Verdict, Zone, is_name, operation_name,
};
use crate::{Place, Problem};

/// A policy is at most so long, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// A list holds at most so many items.
pub const MAX_LIST: usize = 65_536;
/// So many problems of one text are told; then reading ends.
pub const MAX_PROBLEMS: usize = 64;

/// So much of what was found is repeated in a problem, in characters.
const MAX_SHOWN: usize = 32;

/// The words that begin a statement.
const STATEMENTS: [&str; 10] =
    ["site", "service", "group", "zone", "conduit", "allow", "deny", "never", "guard", "expect"];

/// Reads a policy. What is known only together with the devices, such as whether a name means anything, is not looked
/// at here.
///
/// # Errors
///
/// All lines that cannot be read, at most [`MAX_PROBLEMS`] of them.
pub fn parse(text: &str) -> Result<Policy, Vec<Problem>> {
    if text.len() > MAX_BYTES {
        let place = Place { line: 1, column: 1, width: 1 };
        let what = format!("the policy has {} bytes, and at most {MAX_BYTES} are read", text.len());
        return Err(vec![Problem::error(place, what, "split it by site")]);
    }
    let mut parser = Parser { text, at: 0, line: 1, line_start: 0 };
    let (mut policy, mut problems) = (Policy::default(), Vec::new());
    while parser.skip_empty() {
        if let Err(problem) = parser.statement(&mut policy) {
            problems.push(problem);
            if problems.len() >= MAX_PROBLEMS {
                break;
            }
            parser.skip_statement();
        }
    }
    if problems.is_empty() { Ok(policy) } else { Err(problems) }
}

/// Somewhere in the text.
#[derive(Clone, Copy)]
struct Mark {
    at: usize,
    line: u32,
    line_start: usize,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    /// Where the line begins.
    line_start: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    const fn mark(&self) -> Mark {
        Mark { at: self.at, line: self.line, line_start: self.line_start }
    }

    /// From there to here, as far as it is on the line.
    fn since(&self, mark: Mark) -> Place {
        let count = |from: usize, to: usize| {
            let text = self.text.get(from..to).unwrap_or_default();
            u32::try_from(text.lines().next().unwrap_or_default().chars().count()).unwrap_or(u32::MAX)
        };
        let column = count(mark.line_start, mark.at).saturating_add(1);
        Place { line: mark.line, column, width: count(mark.at, self.at).max(1) }
    }

    /// Blanks, and comments, which begin at the beginning of a line or behind a blank.
    fn skip_blanks(&mut self) {
        let before = self.at;
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t', '\r']).len();
        if self.rest().starts_with('#') && (self.at > before || self.at == self.line_start) {
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    /// Takes the end of a line, if it is next.
    fn newline(&mut self) -> bool {
        self.skip_blanks();
        let is = self.rest().starts_with('\n');
        if is {
            self.at += 1;
            self.line = self.line.saturating_add(1);
            self.line_start = self.at;
        }
        is
    }

    /// Goes on to what is not empty; whether there is more.
    fn skip_empty(&mut self) -> bool {
        while self.newline() {}
        !self.rest().is_empty()
    }

    /// Goes on behind a statement that could not be read: to the next line that begins without a blank and does not end
    /// a block, or with the word of a statement.
    fn skip_statement(&mut self) {
        loop {
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            if !self.newline() {
                return;
            }
            let indented = self.peek().is_none_or(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '}'));
            if !indented || STATEMENTS.contains(&self.peek_word()) {
                return;
            }
        }
    }

    /// What stands here, for a problem.
    fn found(&self) -> String {
        let line = self.rest().split('\n').next().unwrap_or_default().trim_end();
        let end = line
            .find([' ', '\t', ','])
            .unwrap_or(line.len())
            .max(line.chars().next().map_or(0, char::len_utf8));
        let word = line.get(..end).unwrap_or_default();
        match word {
            "" => "the end of the line".into(),
            word => format!("`{}`", word.chars().take(MAX_SHOWN).collect::<String>()),
        }
    }

    /// What stands here is not what could stand here.
    fn unexpected(&self, expected: &str) -> Problem {
        self.problem(self.mark(), format!("found {}, expected {expected}", self.found()), "")
    }

    fn problem(&self, mark: Mark, what: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem::error(self.since(mark), what, help)
    }

    /// Takes a sign, if it is next.
    fn sign(&mut self, sign: &str) -> bool {
        self.skip_blanks();
        let is = self.rest().starts_with(sign);
        if is {
            self.at += sign.len();
        }
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), Problem> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    /// The letters, digits, `-`, `_` and `.` that are next; an arrow is none of them.
    fn peek_word(&mut self) -> &'a str {
        self.skip_blanks();
        let rest = self.rest();
        let inside = |(at, c): &(usize, char)| {
            (c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
                && !rest.get(*at..).unwrap_or_default().starts_with("->")
        };
        let end = rest.char_indices().find(|one| !inside(one)).map_or(rest.len(), |(at, _)| at);
        rest.get(..end).unwrap_or_default()
    }

    fn keyword(&mut self, word: &str) -> bool {
        let is = self.peek_word() == word;
        if is {
            self.at += word.len();
        }
        is
    }

    /// A name of something that the policy defines.
    fn name(&mut self, of: &str) -> Result<Box<str>, Problem> {
        let word = self.peek_word();
        let mark = self.mark();
        if word.is_empty() {
            return Err(self.unexpected(&format!("the name of a {of}")));
        }
        self.at += word.len();
        if is_name(word) {
            return Ok(word.into());
        }
        Err(self.problem(
            mark,
            format!("`{word}` cannot be the name of a {of}"),
            "a name is a letter, then letters, digits, `-`, `_` and `.`; words of the language, ids and ports are none",
        ))
    }

    /// Text in quotation marks, if it is next.
    fn quoted(&mut self) -> Result<Option<Box<str>>, Problem> {
        self.skip_blanks();
        let mark = self.mark();
        if !self.rest().starts_with('"') {
            return Ok(None);
        }
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(Some(text.into()));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => break,
                },
                '\n' => break,
                c => text.push(c),
            }
        }
        self.at += 1;
        Err(self.problem(
            mark,
            "the text that begins here does not end on its line",
            "close it with a quotation mark; `\\\"` and `\\\\` stand for a quotation mark and a backslash in it",
        ))
    }

    fn statement(&mut self, policy: &mut Policy) -> Result<(), Problem> {
        let mark = self.mark();
        let word = self.peek_word();
        self.at += word.len();
        let place = self.since(mark);
        match word {
            "site" => {
                let site =
                    self.quoted()?.ok_or_else(|| self.unexpected("the site's name in quotation marks"))?;
                if policy.site.replace(site).is_some() {
                    return Err(Problem::error(place, "the site is named twice", "leave one out"));
                }
            }
            "service" => {
                let name = self.name("service")?;
                self.expect("=")?;
                policy.services.push(ServiceDefinition { name, services: self.services()?, place });
            }
            "group" => {
                let name = self.name("group")?;
                self.expect("=")?;
                policy.groups.push(Group { name, members: self.members()?, place });
            }
            "zone" => {
                let zone = self.zone(place)?;
                policy.zones.push(zone);
            }
            "conduit" => {
                let from = self.name("zone")?;
                self.expect("->")?;
                let to = self.name("zone")?;
                self.expect("{")?;
                self.skip_empty();
                let services = if self.sign("}") {
                    Vec::new()
                } else {
                    let services = self.services()?;
                    self.skip_empty();
                    self.expect("}")?;
                    services
                };
                policy.conduits.push(Conduit { from, to, services, place });
            }
            "allow" => policy.rules.push(self.rule(Verdict::Allow, place)?),
            "deny" => policy.rules.push(self.rule(Verdict::Deny, place)?),
            "expect" => {
                let verdict = match self.peek_word() {
                    "allow" => Verdict::Allow,
                    "deny" => Verdict::Deny,
                    _ => return Err(self.unexpected("`allow` or `deny`")),
                };
                self.at += verdict.name().len();
                policy.expectations.push(self.rule(verdict, place)?);
            }
            "never" => {
                let label = self.quoted()?;
                let from = self.terms()?;
                askers(&from, place)?;
                if !self.keyword("reach") {
                    return Err(self.unexpected("`reach` or `,`"));
                }
                policy.invariants.push(Invariant { label, from, to: self.terms()?, place });
            }
            "guard" => policy.guards.push(Guard { members: self.members()?, place }),
            word => {
                self.at = mark.at;
                let help = nearest(word, STATEMENTS).map_or_else(
                    || format!("a line begins with {}", STATEMENTS.join(", ")),
                    |meant| format!("did you mean `{meant}`?"),
                );
                let found = self.found();
                self.at += word.len();
                return Err(self.problem(mark, format!("found {found}, expected a statement"), help));
            }
        }
        self.skip_blanks();
        if self.rest().is_empty() || self.rest().starts_with('\n') {
            return Ok(());
        }
        Err(self.unexpected("`,` or the end of the line"))
    }

    fn zone(&mut self, place: Place) -> Result<Zone, Problem> {
        let mut zone = Zone { name: self.name("zone")?, place, ..Zone::default() };
        self.expect("{")?;
        loop {
            self.skip_empty();
            if self.sign("}") {
                return Ok(zone);
            }
            let word = self.peek_word();
            let mark = self.mark();
            match word {
                "level" if zone.level.is_none() => {
                    self.at += word.len();
                    let number = self.peek_word();
                    zone.level = level(number);
                    if zone.level.is_none() {
                        return Err(self.unexpected("a level of the Purdue model from 0 to 5, such as 3.5"));
                    }
                    self.at += number.len();
                }
                "criticality" if zone.criticality.is_none() => {
                    self.at += word.len();
                    let word = self.peek_word();
                    zone.criticality = Criticality::ALL.into_iter().find(|known| known.name() == word);
                    if zone.criticality.is_none() {
                        return Err(self.unexpected("`low`, `medium`, `high` or `critical`"));
                    }
                    self.at += word.len();
                }
                "members" => {
                    self.at += word.len();
                    zone.members.extend(self.members()?);
                    self.in_bounds(mark, zone.members.len())?;
                }
                "level" | "criticality" => {
                    self.at += word.len();
                    return Err(self.problem(mark, format!("`{word}` is said twice"), "leave one out"));
                }
                _ => return Err(self.unexpected("`level`, `criticality`, `members` or `}`")),
            }
        }
    }

    fn rule(&mut self, verdict: Verdict, place: Place) -> Result<Rule, Problem> {
        let label = self.quoted()?;
        let from = self.terms()?;
        askers(&from, place)?;
        if !self.sign("->") {
            return Err(self.unexpected("`->` or `,`"));
        }
        let to = self.terms()?;
        self.skip_blanks();
        let ends = self.rest().is_empty() || self.rest().starts_with('\n');
        let services = if ends && verdict == Verdict::Deny { Vec::new() } else { self.services()? };
        let operations = match operation(self.peek_word()) {
            Some(_) => self.operations()?,
            None => Vec::new(),
        };
        Ok(Rule { verdict, label, from, to, services, operations, place })
    }

    /// Whether another item follows: behind a comma, which may end the line.
    fn another(&mut self) -> bool {
        let comma = self.sign(",");
        if comma {
            self.skip_empty();
        }
        comma
    }

    fn in_bounds(&self, mark: Mark, length: usize) -> Result<(), Problem> {
        if length <= MAX_LIST {
            return Ok(());
        }
        Err(self.problem(
            mark,
            format!("the list has more than {MAX_LIST} items"),
            "select them by a property",
        ))
    }

    fn services(&mut self) -> Result<Vec<Service>, Problem> {
        let start = self.mark();
        let mut services = Vec::new();
        loop {
            self.skip_blanks();
            let mark = self.mark();
            let word = self.peek_word();
            if word.is_empty() || operation(word).is_some() {
                return Err(self.unexpected("a service such as modbus, tcp/502 or any"));
            }
            self.at += word.len();
            // A range of ports follows its transport.
            if self.rest().starts_with('/') {
                self.at += 1;
                self.at +=
                    self.rest().find(|c: char| !c.is_alphanumeric() && c != '-').unwrap_or(self.rest().len());
            }
            let text = self.text.get(mark.at..self.at).unwrap_or_default();
            services.push(match (text, carrier(text)) {
                ("any", _) => Service::Any,
                (_, Some(carrier)) => carrier,
                _ if is_name(text) => Service::Named(text.into()),
                _ => {
                    let help = "a service is a protocol such as modbus, ports such as tcp/502 or udp/1000-2000, or `any`";
                    return Err(self.problem(mark, format!("`{text}` is no service"), help));
                }
            });
            self.in_bounds(start, services.len())?;
            if !self.another() {
                return Ok(services);
            }
        }
    }

    fn operations(&mut self) -> Result<Vec<Operation>, Problem> {
        let start = self.mark();
        let mut operations = Vec::new();
        loop {
            let word = self.peek_word();
            let Some(kind) = operation(word) else {
                let names = OPERATIONS.map(operation_name);
                let mut problem = self.unexpected("an operation such as read or write");
                problem.help = nearest(word, names).map_or_else(
                    || format!("operations: {}", names.join(", ")),
                    |meant| format!("did you mean `{meant}`?"),
                );
                return Err(problem);
            };
            self.at += word.len();
            let mark = self.mark();
            let target = match self.quoted()? {
                Some(text) => Some(text),
                None => self.bare(),
            };
            if let Some(target) = &target {
                crate::Target::parse(target)
                    .map_err(|what| self.problem(mark, what, "see the chapter on operations"))?;
            }
            operations.push(Operation { kind, target });
            self.in_bounds(start, operations.len())?;
            if !self.another() {
                return Ok(operations);
            }
        }
    }

    /// Words up to a comma or the end of the line, with one blank between them.
    fn bare(&mut self) -> Option<Box<str>> {
        let mut words: Vec<&str> = Vec::new();
        loop {
            self.skip_blanks();
            let rest = self.rest();
            let word = rest.get(..rest.find(|c| !is_bare(c)).unwrap_or(rest.len())).unwrap_or_default();
            if word.is_empty() {
                break;
            }
            self.at += word.len();
            words.push(word);
        }
        (!words.is_empty()).then(|| words.join(" ").into())
    }

    /// Terms of which each ends at a blank: expressions stand in parentheses.
    fn terms(&mut self) -> Result<Vec<Term>, Problem> {
        self.list(false)
    }

    /// Terms of which each ends at a comma, a brace or the end of the line.
    fn members(&mut self) -> Result<Vec<Term>, Problem> {
        self.list(true)
    }

    fn list(&mut self, long: bool) -> Result<Vec<Term>, Problem> {
        let start = self.mark();
        let mut terms = Vec::new();
        loop {
            self.skip_blanks();
            let mark = self.mark();
            let end = self.term_end(long)?;
            let text = self.text.get(mark.at..end).unwrap_or_default().trim_end_matches([' ', '\t', '\r']);
            if text.is_empty() {
                return Err(self.unexpected(
                    "somebody: a zone, a group, a device, a network or an expression such as role:plc",
                ));
            }
            self.at = mark.at + text.len();
            terms.push(self.term(mark, text)?);
            self.in_bounds(start, terms.len())?;
            if !self.another() {
                return Ok(terms);
            }
        }
    }

    /// Where the term that begins here ends.
    fn term_end(&self, long: bool) -> Result<usize, Problem> {
        let (mut open, mut before) = (0_u32, ' ');
        let mut chars = self.rest().char_indices();
        while let Some((at, c)) = chars.next() {
            let outside = open == 0;
            let arrow = !long && self.rest().get(at..).unwrap_or_default().starts_with("->");
            match c {
                '\n' => return Ok(self.at + at),
                ',' | '{' | '}' if outside => return Ok(self.at + at),
                '#' if before.is_whitespace() => return Ok(self.at + at),
                ' ' | '\t' | '\r' if outside && !long => return Ok(self.at + at),
                '-' if outside && arrow => return Ok(self.at + at),
                '(' => open += 1,
                ')' => open = open.saturating_sub(1),
                '"' => loop {
                    match chars.next() {
                        Some((_, '"')) => break,
                        Some((_, '\\')) => _ = chars.next(),
                        Some((_, '\n')) | None => {
                            let mark = Mark { at: self.at + at, ..self.mark() };
                            return Err(self.problem(
                                mark,
                                "the text that begins here does not end on its line",
                                "close it with a quotation mark",
                            ));
                        }
                        Some(_) => {}
                    }
                },
                _ => {}
            }
            before = c;
        }
        Ok(self.text.len())
    }

    fn term(&mut self, mark: Mark, text: &'a str) -> Result<Term, Problem> {
        if text.starts_with('"') {
            self.at = mark.at;
            let name = self.quoted()?.unwrap_or_default();
            let lower = name.to_lowercase();
            if self.at - mark.at == text.len() && is_domain(&lower) {
                return Ok(Term::Domain(lower.into()));
            }
            self.at = mark.at + text.len();
            let help = "a DNS name is written as \"time.example.com\" or \"*.example.com\", a host's own name as hostname:plc-1";
            return Err(self.problem(mark, format!("`{text}` is no DNS name"), help));
        }
        let named = |prefix: &str| text.strip_prefix(prefix).filter(|name| is_name(name));
        if let Some(name) = named("group:").or_else(|| named("zone:")) {
            return Ok(Term::Name(name.into()));
        }
        match text {
            "anyone" => return Ok(Term::Anyone),
            "internet" => return Ok(Term::Internet),
            "local" => return Ok(Term::Local),
            "multicast" => return Ok(Term::Multicast),
            "broadcast" => return Ok(Term::Broadcast),
            _ => {}
        }
        if let Ok(id) = text.parse() {
            return Ok(Term::Device(id));
        }
        if let Ok(mac) = text.parse::<MacAddr>() {
            return Ok(Term::Mac(mac));
        }
        if let Ok(network) = text.parse::<Network>() {
            return Ok(Term::Network(network));
        }
        if is_name(text) {
            return Ok(Term::Name(text.into()));
        }
        let expr = query::parse(text, DEVICE).map_err(|error| {
            let mark = Mark { at: mark.at + error.span.start, ..mark };
            let help = error.help.unwrap_or_default();
            self.problem(mark, format!("found {}, expected {}", error.found, error.expected), help)
        })?;
        let mut word = None;
        expr.terms(&mut |term| {
            if term.field.is_none() {
                word.get_or_insert(term.span.start);
            }
        });
        let Some(start) = word else { return Ok(simple(expr)) };
        let mark = Mark { at: mark.at + start, ..mark };
        Err(self.problem(
            mark,
            "a word alone selects no devices in a policy",
            "say which field holds it, such as name:*pump*; groups are joined by commas",
        ))
    }
}

/// Refuses those who never open a conversation.
fn askers(terms: &[Term], place: Place) -> Result<(), Problem> {
    let only_asked = |term: &&Term| matches!(term, Term::Domain(_) | Term::Multicast | Term::Broadcast);
    terms.iter().find(only_asked).map_or(Ok(()), |term| {
        let help = "DNS names, multicast and broadcast are only ever asked: put them on the other side";
        Err(Problem::error(place, format!("{term} cannot be the one who asks"), help))
    })
}

/// An expression that is the id or an address of a device is that device or address.
fn simple(expr: Expr) -> Term {
    if let Expr::Term(term) = &expr
        && matches!(term.op, query::Op::Matches | query::Op::Is)
    {
        let field = term.field.map(|field| field.name);
        let text = if let query::Value::Text(pattern) = &term.value { pattern.as_literal() } else { None };
        match (field, text, &term.value) {
            (Some("id"), Some(text), _) => {
                if let Ok(id) = text.to_lowercase().parse() {
                    return Term::Device(id);
                }
            }
            (Some("mac"), Some(text), _) => {
                if let Ok(mac) = text.parse() {
                    return Term::Mac(mac);
                }
            }
            (Some("ip"), _, query::Value::Network(network)) => return Term::Network(*network),
            _ => {}
        }
    }
    Term::Query(expr)
}

/// A name of hosts (RFC 1123 section 2.1), or of all that end in one.
fn is_domain(name: &str) -> bool {
    let labels = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253
        && labels.contains('.')
        && labels.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        })
}

fn operation(word: &str) -> Option<OperationKind> {
    OPERATIONS.into_iter().find(|kind| operation_name(*kind) == word)
}

fn level(text: &str) -> Option<Level> {
    let (whole, tenths) = text.split_once('.').unwrap_or((text, "0"));
    let digit = |text: &str| text.parse::<u8>().ok().filter(|digit| *digit <= 9 && text.len() == 1);
    Level::from_tenths(digit(whole)? * 10 + digit(tenths)?)
}

/// What a transport carries: `tcp/502`, `udp/1000-2000`, `tcp`, `ip-47`, `ether-88b8`.
pub(super) fn carrier(text: &str) -> Option<Service> {
    let (name, ports) = text.split_once('/').map_or((text, None), |(name, ports)| (name, Some(ports)));
    let transport = match name {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        "sctp" => Transport::Sctp,
        "can" => Transport::Can,
        "wpan" => Transport::Wpan,
        _ => match (name.strip_prefix("ip-"), name.strip_prefix("ether-")) {
            (Some(number), _) => crate::service::normal(Transport::Ip(number.parse().ok()?)),
            (_, Some(kind)) if kind.len() == 4 => Transport::Ether(u16::from_str_radix(kind, 16).ok()?),
            _ => return None,
        },
    };
    let Some(ports) = ports else {
        return Some(Service::Carrier { transport, first: 0, last: u16::MAX });
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (has_ports(transport) && first <= last).then_some(Service::Carrier { transport, first, last })
}
