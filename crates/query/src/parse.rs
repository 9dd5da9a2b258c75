//! Text to expressions.

use std::time::Duration;

use model::MacAddr;

use crate::error::{Error, Span, nearest};
use crate::expr::{Expr, Field, Kind, Op, Term, Value};
use crate::{Network, Pattern};

/// An expression is at most so long, in bytes.
pub const MAX_LENGTH: usize = 4_096;
/// Parentheses and `not` are nested at most so deep.
pub const MAX_DEPTH: usize = 32;

/// So much of what was found is repeated in an error, in characters.
const MAX_SHOWN: usize = 24;
/// Operators, the longer ones first.
const OPS: [Op; 7] = [Op::AtMost, Op::AtLeast, Op::IsNot, Op::Matches, Op::Is, Op::Less, Op::Greater];

/// Whether a character may stand in a value without quotation marks.
pub fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "-_.:/*@+~$%&?'".contains(c)
}

pub(crate) fn is_keyword(word: &str) -> bool {
    ["and", "or", "not"].iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether a text without wildcards that stands alone is read as itself, and as nothing more.
pub(crate) fn is_word(text: &str) -> bool {
    !text.contains(':') && !text.contains('/') || text.parse::<MacAddr>().is_ok()
}

/// Reads an expression about something that has these fields.
pub fn parse(text: &str, fields: &'static [Field]) -> Result<Expr, Error> {
    let mut parser = Parser { text, at: 0, depth: 0, fields };
    if text.len() > MAX_LENGTH {
        let span = Span { start: 0, end: text.len() };
        let expected = format!("an expression of at most {MAX_LENGTH} bytes");
        return Err(parser.error(span, format!("{} bytes", text.len()), &expected, None));
    }
    let expr = parser.either()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected("`and`, `or` or the end", None)),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    fields: &'static [Field],
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The next character that is not blank.
    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.rest().chars().next()
    }

    /// The word that begins here, of characters that need no quotation marks.
    fn word(&self) -> &'a str {
        let rest = self.rest();
        rest.get(..rest.find(|c| !is_plain(c)).unwrap_or(rest.len())).unwrap_or_default()
    }

    fn error(&self, span: Span, found: String, expected: &str, help: Option<String>) -> Error {
        let column = self.text.get(..span.start).unwrap_or_default().chars().count() + 1;
        Error { span, column, found, expected: expected.into(), help }
    }

    /// What stands here is not what could stand here.
    fn unexpected(&self, expected: &str, help: Option<String>) -> Error {
        let rest = self.rest();
        let word = match self.word() {
            "" => rest.chars().next().map_or("", |c| rest.get(..c.len_utf8()).unwrap_or_default()),
            word => word,
        };
        let span = Span { start: self.at, end: self.at + word.len() };
        let found = if word.is_empty() { "the end".into() } else { shown(word) };
        self.error(span, found, expected, help)
    }

    /// Takes a keyword, if it is next.
    fn keyword(&mut self, keyword: &str) -> bool {
        self.skip_blanks();
        let word = self.word();
        let is = word.eq_ignore_ascii_case(keyword);
        if is {
            self.at += word.len();
        }
        is
    }

    fn either(&mut self) -> Result<Expr, Error> {
        let mut parts = vec![self.both()?];
        while self.keyword("or") {
            parts.push(self.both()?);
        }
        Expr::one_of(parts).ok_or_else(|| self.unexpected("a term", None))
    }

    fn both(&mut self) -> Result<Expr, Error> {
        let mut parts = vec![self.one()?];
        loop {
            self.skip_blanks();
            let or = self.word().eq_ignore_ascii_case("or");
            if !self.keyword("and") && (or || matches!(self.peek(), None | Some(')'))) {
                break;
            }
            parts.push(self.one()?);
        }
        Expr::all(parts).ok_or_else(|| self.unexpected("a term", None))
    }

    fn one(&mut self) -> Result<Expr, Error> {
        if self.keyword("not") {
            return Ok(Expr::Not(Box::new(self.deeper(Self::one)?)));
        }
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let inner = self.deeper(Self::either)?;
                match self.peek() {
                    Some(')') => self.at += 1,
                    _ => return Err(self.unexpected("`)`, `and` or `or`", None)),
                }
                Ok(inner)
            }
            Some('"') => self.term(None, Op::Matches, self.at),
            Some(c) if is_plain(c) => self.named(),
            _ => Err(self.unexpected("a term such as role:plc, a word, `not` or `(`", None)),
        }
    }

    fn deeper(&mut self, inner: fn(&mut Self) -> Result<Expr, Error>) -> Result<Expr, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(
                self.unexpected(&format!("at most {MAX_DEPTH} parentheses and `not` in each other"), None)
            );
        }
        let expr = inner(self);
        self.depth -= 1;
        expr
    }

    /// A field with what is asked of it, or a word alone.
    fn named(&mut self) -> Result<Expr, Error> {
        let start = self.at;
        let word = self.word();
        if is_keyword(word) {
            return Err(self.unexpected("a term such as role:plc, a word, `not` or `(`", None));
        }
        // Addresses hold colons themselves.
        if word.parse::<MacAddr>().is_ok() || word.parse::<Network>().is_ok() {
            return self.term(None, Op::Matches, start);
        }
        let name = word.split(':').next().unwrap_or_default();
        let after = self.text.get(start + name.len()..).unwrap_or_default();
        let next = if after.starts_with(':') { after } else { after.trim_start() };
        let Some(op) = OPS.into_iter().find(|op| next.starts_with(op.sign())) else {
            return self.term(None, Op::Matches, start);
        };
        let Some(field) = self.fields.iter().find(|field| {
            [field.name].iter().chain(field.aliases).any(|known| known.eq_ignore_ascii_case(name))
        }) else {
            let span = Span { start, end: start + name.len() };
            return Err(self.error(span, shown(name), "a field", Some(self.known(name))));
        };
        self.at = self.text.len() - next.len() + op.sign().len();
        if op != Op::Matches {
            self.skip_blanks();
        }
        self.term(Some(field), op, start)
    }

    /// Which fields there are, and which was probably meant.
    fn known(&self, name: &str) -> String {
        let names = self.fields.iter().map(|field| field.name);
        let all: Vec<_> = names.clone().collect();
        let meant = nearest(name, names).map_or_else(String::new, |meant| format!("did you mean {meant}? "));
        format!("{meant}known fields: {}; text that holds a colon stands in quotation marks", all.join(", "))
    }

    /// What is asked of a field, or without one; the value is next.
    fn term(&mut self, field: Option<&'static Field>, op: Op, start: usize) -> Result<Expr, Error> {
        let begun = self.at;
        let quoted = self.rest().starts_with('"');
        let pattern = if quoted {
            self.quoted()?
        } else {
            let word = self.word();
            self.at += word.len();
            if op == Op::Matches { Pattern::wild(word) } else { Pattern::literal(word) }
        };
        let word = self.text.get(begun..self.at).unwrap_or_default();
        let refused = |this: &Self, expected: &str, help: Option<&str>| {
            let span = Span { start: begun, end: this.at };
            let found = if word.is_empty() { this.unexpected("", None).found } else { shown(word) };
            Err(this.error(span, found, expected, help.map(str::to_owned)))
        };
        if word.is_empty() {
            return refused(
                self,
                "a value",
                Some("text with blanks or other signs stands in quotation marks"),
            );
        }
        // A value ends at a blank, a parenthesis or the end.
        if let Some(next) = self.rest().chars().next()
            && !next.is_whitespace()
            && !matches!(next, '(' | ')')
        {
            return Err(self.unexpected(
                "a blank, a parenthesis or the end",
                Some("text with blanks or other signs stands in quotation marks".into()),
            ));
        }
        let kind = field.map(|field| field.kind);
        let value = match kind {
            None if quoted => Value::Text(pattern),
            None => match word.parse() {
                Ok(network) if word.contains('/') || word.contains(':') => Value::Network(network),
                _ => Value::Text(pattern),
            },
            Some(Kind::Text) if op.is_order() && !word.contains(|c: char| c.is_ascii_digit()) => {
                return refused(self, "a version such as 2.4", None);
            }
            Some(Kind::Text) => Value::Text(pattern),
            Some(Kind::Number) => match word.parse() {
                Ok(number) => Value::Number(number),
                Err(_) => return refused(self, "a whole number", None),
            },
            Some(Kind::Size) => match size(word) {
                Some(bytes) => Value::Number(bytes),
                None => return refused(self, "a size such as 500, 10kB, 4MiB or 2GB", None),
            },
            Some(Kind::Age) if !op.is_order() => {
                let help = "ages are never exactly the same: ask with < or >";
                return refused(self, "an age to be older or younger than", Some(help));
            }
            Some(Kind::Age) => match age(word) {
                Some(age) => Value::Age(age),
                None => return refused(self, "an age such as 90s, 15m, 24h, 7d or 2w", None),
            },
            Some(Kind::Level(words)) => {
                match words.iter().zip(0..).find(|(known, _)| known.eq_ignore_ascii_case(word)) {
                    Some((_, place)) => Value::Level(place, words),
                    None => return refused(self, &format!("one of {}", words.join(", ")), None),
                }
            }
            Some(Kind::Address) if op.is_order() => {
                let help = "addresses have no order: ask with : and a network such as 10.1.0.0/16";
                return refused(self, "an address", Some(help));
            }
            Some(Kind::Address) => match (word.parse(), op) {
                (Ok(network), _) => Value::Network(network),
                (Err(_), Op::Matches) if !quoted && word.contains('*') => Value::Text(pattern),
                _ => {
                    return refused(
                        self,
                        "an address such as 10.0.0.5 or a network such as 10.1.0.0/16",
                        None,
                    );
                }
            },
        };
        let span = Span { start, end: self.at };
        Ok(Expr::Term(Term { field, op, value, span }))
    }

    fn quoted(&mut self) -> Result<Pattern, Error> {
        let start = self.at;
        let (mut pieces, mut piece) = (Vec::new(), String::new());
        let mut chars = self.rest().char_indices().skip(1);
        loop {
            match chars.next() {
                Some((at, '"')) => {
                    self.at = start + at + 1;
                    pieces.push(piece.into());
                    return Ok(Pattern::new(pieces));
                }
                Some((_, '\\')) => match chars.next() {
                    Some((_, c @ ('"' | '\\' | '*'))) => piece.push(c),
                    other => {
                        self.at = start + other.map_or(self.rest().len(), |(at, _)| at);
                        return Err(self.unexpected("`\"`, `\\` or `*` after `\\`", None));
                    }
                },
                Some((_, '*')) => pieces.push(std::mem::take(&mut piece).into()),
                Some((_, c)) => piece.push(c),
                None => {
                    self.at = self.text.len();
                    return Err(self.unexpected("`\"` at the end of the text in quotation marks", None));
                }
            }
        }
    }
}

fn shown(word: &str) -> String {
    let more = if word.chars().count() > MAX_SHOWN { "…" } else { "" };
    format!("`{}{more}`", word.chars().take(MAX_SHOWN).collect::<String>())
}

fn number_and_unit(word: &str) -> Option<(u64, &str)> {
    let (digits, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
    Some((digits.parse().ok()?, unit))
}

/// Units as IEC 80000-13 has them.
fn size(word: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(word)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn age(word: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(word)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(unit).map(Duration::from_secs)
}
