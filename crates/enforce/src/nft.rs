//! The firewall of Linux, through the `nft` program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Seek, Write};
use std::num::NonZero;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Family;
use crate::firewall::{
    Counter, Depth, Elements, Firewall, FirewallError, ListedElement, ListedRule, ListedSet, Listing,
};
use crate::table::Transaction;

/// How long the program may take for one transaction or listing.
pub const TIME_MAX: Duration = Duration::from_secs(60);
/// Most bytes that are read of what the program says.
pub const OUTPUT_MAX: usize = 512 << 20;
/// How many programs run at most at the same time: the kernel carries out one transaction after another.
const PROGRAMS_MAX: usize = 4;
/// Most bytes of an error that are told on.
const ERROR_MAX: usize = 2_000;

/// The `nft` program. It is started without a shell for each transaction, which it reads from its standard input and hands to
/// the kernel as one batch. The input is a file that is written before the program starts: of a pipe, a part would be taken for
/// all of it if Pavise were killed while it writes.
#[derive(Clone, Debug)]
pub struct Nft {
    program: OsString,
    arguments: Vec<OsString>,
    time_max: Duration,
    output_max: usize,
}

impl Default for Nft {
    fn default() -> Self {
        Self::new("nft")
    }
}

impl Nft {
    /// The program of this name or path.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), time_max: TIME_MAX, output_max: OUTPUT_MAX }
    }

    /// Arguments that come before those that are given here, such as those of `ip netns exec`.
    #[must_use]
    pub fn with_arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Other limits than [`TIME_MAX`] and [`OUTPUT_MAX`].
    #[must_use]
    pub fn with_limits(mut self, time_max: Duration, output_max: usize) -> Self {
        (self.time_max, self.output_max) = (time_max, output_max);
        self
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, FirewallError> {
        let not_started = |error: std::io::Error| FirewallError::NotStarted {
            program: self.name(),
            reason: error.to_string(),
        };
        let mut file = tempfile::tempfile().map_err(not_started)?;
        file.write_all(input.as_bytes()).and_then(|()| file.rewind()).map_err(not_started)?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .args(arguments)
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Messages are told on as they are.
            .env("LC_ALL", "C.UTF-8")
            .spawn()
            .map_err(not_started)?;
        let result = self.heard(&mut child);
        if result.is_err() {
            // It may have ended by itself.
            let _ = child.kill();
        }
        let status = child.wait();
        let (output, errors) = result?;
        match status {
            Ok(status) if status.success() => Ok(output),
            Ok(status) => {
                let text = String::from_utf8_lossy(&errors);
                let text: String = text.trim().chars().take(ERROR_MAX).collect();
                Err(FirewallError::Refused(if text.is_empty() { status.to_string() } else { text }))
            }
            Err(error) => Err(not_started(error)),
        }
    }

    /// What the program says on its two streams. Each has a thread of its own, as a pipe holds little.
    fn heard(&self, child: &mut Child) -> Result<(Vec<u8>, Vec<u8>), FirewallError> {
        let deadline = Instant::now() + self.time_max;
        let (sender, receiver) = channel();
        let most = self.output_max;
        if let Some(stdout) = child.stdout.take() {
            listen(stdout, most, false, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            listen(stderr, most, true, sender.clone());
        }
        drop(sender);
        let mut said = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let left = deadline.saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left) {
                Ok((_, bytes)) if bytes.len() > most => {
                    return Err(FirewallError::TooMuch { program: self.name(), limit: most });
                }
                Ok((true, bytes)) => said.1 = bytes,
                Ok((false, bytes)) => said.0 = bytes,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let limit_ms = self.time_max.as_millis();
                    return Err(FirewallError::TimedOut { program: self.name(), limit_ms });
                }
            }
        }
        Ok(said)
    }
}

fn listen(stream: impl Read + Send + 'static, most: usize, errors: bool, to: Sender<(bool, Vec<u8>)>) {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A stream that breaks off ends there: the exit status says whether that matters.
        let _ = stream.take(most as u64 + 1).read_to_end(&mut bytes);
        // Nobody listens any more once the time is over.
        let _ = to.send((errors, bytes));
    });
}

impl Firewall for Nft {
    fn check(&mut self, transaction: &Transaction) -> Result<(), FirewallError> {
        self.run(&["-c", "-f", "-"], &transaction.text()).map(drop)
    }

    fn apply(&mut self, transaction: &Transaction) -> Result<(), FirewallError> {
        self.run(&["-f", "-"], &transaction.text()).map(drop)
    }

    /// While the kernel takes in what one program has read, another one reads.
    fn apply_each(&mut self, transactions: &[Transaction]) -> Result<(), FirewallError> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let next = AtomicUsize::new(0);
        let work = || loop {
            let Some(transaction) = transactions.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return Ok(());
            };
            if let Err(error) = self.run(&["-f", "-"], &transaction.text()) {
                // Nobody begins another one.
                next.store(transactions.len(), Ordering::Relaxed);
                return Err(error);
            }
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..processors.min(PROGRAMS_MAX)).map(|_| scope.spawn(work)).collect();
            let ours = work();
            let theirs = others
                .into_iter()
                .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            theirs.fold(ours, Result::and)
        })
    }

    fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Elements, FirewallError> {
        let output = self.run(&["-nn", "-j", "list", "set", family.word(), table, set], "")?;
        Ok(listing(parse(&output)?)?.sets.remove(set).unwrap_or_default().elements)
    }

    fn list(&mut self, family: Family, table: &str, depth: Depth) -> Result<Option<Listing>, FirewallError> {
        // Numbers rather than names, which differ from host to host. Of the listings without elements, only that of all tables
        // does without reading the elements (nftables 1.0.6): 10 ms instead of 20 s for a million.
        let all = parse(&self.run(&["-t", "-nn", "-j", "list", "ruleset", family.word()], "")?)?;
        let is_ours = |object: &Value| {
            object["table"]["name"] == table
                || object.as_object().is_some_and(|object| object.values().any(|body| body["table"] == table))
        };
        let ours: Vec<Value> = all.into_iter().filter(is_ours).collect();
        if ours.is_empty() {
            return Ok(None);
        }
        if depth == Depth::Structure {
            return listing(ours).map(Some);
        }
        let output = self.run(&["-nn", "-j", "list", "table", family.word(), table], "")?;
        listing(parse(&output)?).map(Some)
    }
}

fn parse(output: &[u8]) -> Result<Vec<Value>, FirewallError> {
    let mut document: Value =
        serde_json::from_slice(output).map_err(|error| FirewallError::Unreadable(error.to_string()))?;
    match take(&mut document, "nftables") {
        Value::Array(objects) => Ok(objects),
        _ => Err(FirewallError::Unreadable("it has no list \"nftables\"".into())),
    }
}

/// Takes a field out of an object; nothing out of anything else.
fn take(object: &mut Value, field: &str) -> Value {
    object.get_mut(field).map(Value::take).unwrap_or_default()
}

fn listing(objects: Vec<Value>) -> Result<Listing, FirewallError> {
    let mut out = Listing::default();
    for mut object in objects {
        let Some((kind, body)) = object.as_object_mut().and_then(|object| object.iter_mut().next()) else {
            continue;
        };
        let [name, chain] =
            ["name", "chain"].map(|field| body[field].as_str().unwrap_or_default().to_owned());
        match kind.as_str() {
            "set" | "map" => {
                let elements = match take(body, "elem") {
                    Value::Array(elements) => elements.iter().map(element).collect::<Result<_, _>>()?,
                    _ => BTreeMap::new(),
                };
                out.sets.insert(name, ListedSet { definition: definition(body, &["elem"]), elements });
            }
            "chain" => {
                out.chains.entry(name).or_default().definition = definition(body, &[]);
            }
            "rule" => {
                let mut counter = None;
                let mut expressions = take(body, "expr");
                for expression in expressions.as_array_mut().into_iter().flatten() {
                    if let Some(found) = expression.get_mut("counter") {
                        counter = Some(counted(found));
                        *found = Value::Null;
                    }
                }
                let text = expressions.to_string();
                let comment = body["comment"].as_str().map(Into::into);
                out.chains.entry(chain).or_default().rules.push(ListedRule { text, comment, counter });
            }
            _ => {}
        }
    }
    Ok(out)
}

/// What an object is, without the number that the kernel gave it.
fn definition(body: &Value, without: &[&str]) -> String {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| name != "handle" && !without.contains(&name.as_str()));
    }
    body.to_string()
}

fn counted(counter: &Value) -> Counter {
    let of = |field: &str| counter[field].as_u64().unwrap_or(0);
    Counter { packets: of("packets"), bytes: of("bytes") }
}

fn element(element: &Value) -> Result<(Box<str>, ListedElement), FirewallError> {
    let (key, verdict) = match element {
        Value::Array(pair) => match pair.as_slice() {
            [key, verdict] => (key, Some(verdict)),
            _ => return Err(FirewallError::Unreadable(format!("the element {element}"))),
        },
        key => (key, None),
    };
    let (key, about) = match key.get("elem") {
        Some(about) => (&about["val"], about),
        None => (key, &Value::Null),
    };
    let verdict = verdict.map(|verdict| {
        ["goto", "jump"]
            .into_iter()
            .find_map(|word| Some(format!("{word} {}", verdict.get(word)?["target"].as_str()?)))
            .unwrap_or_else(|| verdict.to_string())
    });
    let left_s = about["expires"].as_u64().or_else(|| about["timeout"].as_u64());
    Ok((
        text_of(key).ok_or_else(|| FirewallError::Unreadable(format!("the element {element}")))?.into(),
        ListedElement {
            verdict,
            left_s: left_s.map(|left| u32::try_from(left).unwrap_or(u32::MAX)),
            counter: about.get("counter").map(counted),
        },
    ))
}

/// A key as it is written in a transaction.
fn text_of(key: &Value) -> Option<String> {
    let joined = |parts: &Value, with: &str| -> Option<String> {
        Some(parts.as_array()?.iter().map(text_of).collect::<Option<Vec<_>>>()?.join(with))
    };
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(fields) => match fields.iter().next()? {
            (name, parts) if name == "concat" => joined(parts, " . "),
            (name, ends) if name == "range" => joined(ends, "-"),
            (name, prefix) if name == "prefix" => {
                Some(format!("{}/{}", prefix["addr"].as_str()?, prefix["len"]))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_is_none_is_told_or_empty() {
        for none in ["", "[]", "3", "{}", r#"{"nftables": {}}"#] {
            assert!(matches!(parse(none.as_bytes()), Err(FirewallError::Unreadable(_))), "{none}");
        }
        let odd = r#"{"nftables": [1, [], {}, {"set": 3}, {"rule": []}, {"rule": {"expr": [3, {"counter": 1}]}}, {"chain": null}]}"#;
        assert!(listing(parse(odd.as_bytes()).unwrap()).is_ok());
        for element in ["{}", "[1]", "[1, 2, 3]", r#"{"range": 3}"#, r#"{"elem": {}}"#] {
            let set = format!(r#"{{"nftables": [{{"set": {{"name": "s", "elem": [{element}]}}}}]}}"#);
            let read = listing(parse(set.as_bytes()).unwrap());
            assert!(matches!(read, Err(FirewallError::Unreadable(_))), "{element}: {read:?}");
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        for (json, text) in [
            (r#""10.0.0.1""#, "10.0.0.1"),
            (r#"{"prefix": {"addr": "10.0.0.0", "len": 8}}"#, "10.0.0.0/8"),
            (r#"{"concat": ["fd00::1", {"range": [1, 9]}, 6]}"#, "fd00::1 . 1-9 . 6"),
        ] {
            assert_eq!(text_of(&serde_json::from_str(json).unwrap()).as_deref(), Some(text));
        }
    }
}
