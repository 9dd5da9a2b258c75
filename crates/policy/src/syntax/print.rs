//! Policies as text: what is printed reads back as the same.

use std::fmt::{self, Display, Formatter, Write};

use model::Transport;

use super::{
    Conduit, Group, Guard, Invariant, Level, Operation, Policy, Rule, Service, ServiceDefinition, Term,
    Verdict, Zone, operation_name,
};

/// A list that makes its line longer than this goes on in the next one, in characters.
const WIDTH: usize = 100;

/// Text in quotation marks.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Items with commas between them, which begin in a column; too long a line is broken behind a comma.
fn list<T: Display>(f: &mut Formatter<'_>, mut column: usize, items: &[T]) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        let item = item.to_string();
        let width = item.chars().count();
        if place > 0 {
            if column + width + 3 > WIDTH {
                f.write_str(",\n    ")?;
                column = 4;
            } else {
                f.write_str(", ")?;
                column += 2;
            }
        }
        column += width;
        f.write_str(&item)?;
    }
    Ok(())
}

/// What stands at the beginning of a line; gives the column where it ends.
fn begin(f: &mut Formatter<'_>, text: &str) -> Result<usize, fmt::Error> {
    f.write_str(text)?;
    Ok(text.chars().count())
}

fn label(label: Option<&str>) -> String {
    label.map_or_else(String::new, |label| format!("{} ", Quoted(label)))
}

impl Display for Level {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (level, 0) => level.fmt(f),
            (level, tenths) => write!(f, "{level}.{tenths}"),
        }
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Internet => f.write_str("internet"),
            Self::Local => f.write_str("local"),
            Self::Multicast => f.write_str("multicast"),
            Self::Broadcast => f.write_str("broadcast"),
            Self::Name(name) => f.write_str(name),
            Self::Device(id) => id.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Domain(name) => Quoted(name).fmt(f),
            Self::Query(expr @ query::Expr::Term(_)) => expr.fmt(f),
            Self::Query(expr) => write!(f, "({expr})"),
        }
    }
}

impl Display for Service {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Named(name) => f.write_str(name),
            // `icmp` alone means both forms of it.
            Self::Carrier { transport: Transport::Icmp, .. } => f.write_str("ip-1"),
            Self::Carrier { transport: Transport::Icmpv6, .. } => f.write_str("ip-58"),
            Self::Carrier { transport, first: 0, last: u16::MAX } => transport.fmt(f),
            Self::Carrier { transport, first, last } if first == last => write!(f, "{transport}/{first}"),
            Self::Carrier { transport, first, last } => write!(f, "{transport}/{first}-{last}"),
        }
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(operation_name(self.kind))?;
        let Some(target) = &self.target else { return Ok(()) };
        // Words with single blanks between them need no quotation marks.
        let plain = |word: &str| !word.is_empty() && !word.starts_with('#') && word.chars().all(is_bare);
        match target.split(' ').all(plain) {
            true => write!(f, " {target}"),
            false => write!(f, " {}", Quoted(target)),
        }
    }
}

/// Whether a character of an operation's target may stand without quotation marks.
pub(super) fn is_bare(c: char) -> bool {
    query::is_plain(c) || matches!(c, '#' | '[' | ']' | '=' | ';')
}

impl Display for Zone {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "zone {} {{", self.name)?;
        if let Some(level) = self.level {
            writeln!(f, "    level {level}")?;
        }
        if let Some(criticality) = self.criticality {
            writeln!(f, "    criticality {}", criticality.name())?;
        }
        if !self.members.is_empty() {
            let column = begin(f, "    members ")?;
            list(f, column, &self.members)?;
            f.write_str("\n")?;
        }
        f.write_str("}")
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let column = begin(f, &format!("group {} = ", self.name))?;
        list(f, column, &self.members)
    }
}

impl Display for ServiceDefinition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let column = begin(f, &format!("service {} = ", self.name))?;
        list(f, column, &self.services)
    }
}

impl Display for Conduit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let column = begin(f, &format!("conduit {} -> {} {{ ", self.from, self.to))?;
        list(f, column, &self.services)?;
        f.write_str(if self.services.is_empty() { "}" } else { " }" })
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let column = begin(f, &format!("{} {}", self.verdict, label(self.label.as_deref())))?;
        list(f, column, &self.from)?;
        f.write_str(" -> ")?;
        list(f, WIDTH / 3, &self.to)?;
        if !self.services.is_empty() {
            f.write_str(" ")?;
            list(f, WIDTH / 2, &self.services)?;
        }
        if !self.operations.is_empty() {
            f.write_str(" ")?;
            list(f, WIDTH / 2, &self.operations)?;
        }
        Ok(())
    }
}

impl Display for Invariant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let column = begin(f, &format!("never {}", label(self.label.as_deref())))?;
        list(f, column, &self.from)?;
        f.write_str(" reach ")?;
        list(f, WIDTH / 2, &self.to)
    }
}

impl Display for Guard {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let column = begin(f, "guard ")?;
        list(f, column, &self.members)
    }
}

impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fn block(
            f: &mut Formatter<'_>,
            begun: &mut bool,
            lines: &[impl Display],
            prefix: &str,
        ) -> fmt::Result {
            if !lines.is_empty() && std::mem::replace(begun, true) {
                f.write_str("\n")?;
            }
            lines.iter().try_for_each(|line| writeln!(f, "{prefix}{line}"))
        }
        let mut begun = false;
        if let Some(site) = &self.site {
            block(f, &mut begun, &[Quoted(site)], "site ")?;
        }
        block(f, &mut begun, &self.services, "")?;
        block(f, &mut begun, &self.groups, "")?;
        for zone in &self.zones {
            block(f, &mut begun, std::slice::from_ref(zone), "")?;
        }
        block(f, &mut begun, &self.conduits, "")?;
        block(f, &mut begun, &self.rules, "")?;
        block(f, &mut begun, &self.invariants, "")?;
        block(f, &mut begun, &self.guards, "")?;
        block(f, &mut begun, &self.expectations, "expect ")
    }
}

/// A transport that has ports.
pub(crate) const fn has_ports(transport: Transport) -> bool {
    matches!(transport, Transport::Tcp | Transport::Udp | Transport::Sctp)
}
