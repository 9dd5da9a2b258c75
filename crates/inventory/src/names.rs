//! Names that occur often, each kept once.

use model::Name;

use crate::address::digest;
use crate::table::Table;

/// The number of a name.
pub(crate) type NameId = u16;

/// Names by number.
pub(crate) struct Names {
    names: Vec<Name>,
    table: Table,
    limit: usize,
    /// Texts of the program itself that were asked for before: where one lies tells which it is.
    recent: [Option<(&'static str, NameId)>; RECENT],
}

/// So many texts are known by where they lie; a power of two.
const RECENT: usize = 64;

/// The place in [`Names::recent`] of a text.
fn recent(text: &'static str) -> usize {
    (text.as_ptr().addr() ^ text.len()) % RECENT
}

/// Stands for no name: number 0.
pub(crate) const UNNAMED: NameId = 0;

/// Stands for every name that came after the limit was reached: number 1.
const OTHER: NameId = 1;

impl Names {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(usize::from(NameId::MAX));
        Self {
            names: vec![Name::Borrowed(""), Name::Borrowed("other")],
            table: Table::default(),
            limit,
            recent: [None; RECENT],
        }
    }

    /// The number of a name, if it has one.
    pub(crate) fn find(&self, name: &Name) -> Option<NameId> {
        if let Name::Borrowed(text) = *name
            && let Some((known, number)) = self.recent[recent(text)]
            && std::ptr::eq(known, text)
        {
            return Some(number);
        }
        let found = self.table.find(hash(name), |number| self.names[number as usize] == *name);
        found.map(|number| number as NameId)
    }

    /// The number of a name, given now if it has none; and whether it is new or did not fit.
    pub(crate) fn number(&mut self, name: &Name) -> (NameId, Numbered) {
        if let Some(number) = self.find(name) {
            if let Name::Borrowed(text) = *name {
                self.recent[recent(text)] = Some((text, number));
            }
            return (number, Numbered::Known);
        }
        let Some(number) = NameId::try_from(self.names.len()).ok().filter(|_| self.names.len() < self.limit)
        else {
            return (OTHER, Numbered::Full);
        };
        self.names.push(name.clone());
        self.table.insert(hash(name), number.into());
        (number, Numbered::New)
    }

    /// The name of a number that was given.
    pub(crate) fn name(&self, number: NameId) -> &Name {
        &self.names[usize::from(number).min(self.names.len() - 1)]
    }
}

/// What became of a name that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbered {
    Known,
    New,
    Full,
}

/// Whether a host name is one that a device made up of numbers: a link-layer address, a UUID, what Android
/// tells instead of a name. It says less than any other.
pub(crate) fn is_made_up(name: &str) -> bool {
    let name = name.split('.').next().unwrap_or_default();
    let bare = || name.bytes().filter(|byte| !matches!(byte, b'-' | b'_' | b':'));
    let number = bare().all(|byte| byte.is_ascii_hexdigit())
        && bare().count() >= 8
        && bare().any(|byte| byte.is_ascii_digit());
    let android = name.get(..8).is_some_and(|start| {
        start.eq_ignore_ascii_case("android_") || start.eq_ignore_ascii_case("android-")
    });
    number || android
}

fn hash(name: &str) -> u64 {
    name.as_bytes().chunks(8).fold(name.len() as u64, |sum, chunk| {
        digest(sum, chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_no_names() {
        for name in ["ecb5faa1b2c3.local", "Android_Q7RX1B", "2f402f80-da50-11e1-9b23-001788a1b2c3"] {
            assert!(is_made_up(name), "{name}");
        }
        for name in ["plc-1", "decade", "NPI8A1F42", "shellyplug-s-610F7E", "android", "", "é-é-é-é-é"] {
            assert!(!is_made_up(name), "{name}");
        }
    }

    #[test]
    fn a_name_has_one_number_and_those_beyond_the_limit_share_one() {
        let mut names = Names::new(4);
        let (modbus, state) = names.number(&Name::Borrowed("modbus"));
        assert_eq!(state, Numbered::New);
        for _ in 0..3 {
            assert_eq!(names.number(&Name::Owned("modbus".into())), (modbus, Numbered::Known));
            assert_eq!(names.number(&Name::Borrowed("modbus")), (modbus, Numbered::Known));
        }
        assert_eq!(names.number(&Name::Borrowed("dnp3")).1, Numbered::New);
        let (late, state) = names.number(&Name::Borrowed("late"));
        assert_eq!((names.name(late).as_ref(), state), ("other", Numbered::Full));
        assert_eq!(names.name(modbus), "modbus");
        assert_eq!(names.name(UNNAMED), "");
    }
}
