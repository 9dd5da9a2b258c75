//! What is wrong with a policy, where, and what to do.

use std::fmt;

/// Where a statement stands in its file. It is no part of what the statement says: two that differ in nothing else are
/// equal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// The line, from 1; 0 for a policy that was not read from text.
    pub line: u32,
    /// The column, in characters from 1.
    pub column: u32,
    /// How many characters it is about.
    pub width: u32,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy does not do what it says, or cannot be used.
    Error,
    /// It can be used, but somebody should look.
    Warning,
}

impl Severity {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What to do; empty where nothing more can be said.
    pub help: String,
}

impl Problem {
    /// Something that makes the policy unusable.
    pub(crate) fn error(place: Place, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place, what: what.into(), help: help.into() }
    }

    /// Something that somebody should look at.
    pub(crate) fn warning(place: Place, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place, what: what.into(), help: help.into() }
    }

    /// For people: file, line and column, what is wrong, the line itself, and what to do. `text` is the file's content.
    pub fn show(&self, file: &str, text: &str) -> String {
        let Place { line, column, width } = self.place;
        let mut shown = format!("{file}:{line}:{column}: {}: {}", self.severity.name(), self.what);
        let number = (line as usize).saturating_sub(1);
        if let Some(content) = text.lines().nth(number).filter(|_| line > 0) {
            let before: String = content
                .chars()
                .take((column as usize).saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let rest = content.chars().count().saturating_sub(before.chars().count());
            let marks = "^".repeat((width as usize).clamp(1, rest.max(1)));
            shown.push_str(&format!("\n  | {content}\n  | {before}{marks}"));
        }
        if !self.help.is_empty() {
            shown.push_str(&format!("\n  = {}", self.help));
        }
        shown
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}: {}",
            self.place.line,
            self.place.column,
            self.severity.name(),
            self.what
        )?;
        if self.help.is_empty() { Ok(()) } else { write!(f, " ({})", self.help) }
    }
}

impl std::error::Error for Problem {}
