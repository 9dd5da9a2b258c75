//! The Basic Encoding Rules (ITU-T X.690) as far as SNMP needs them: definite lengths, no recursion.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

use crate::proto::Reader;

/// Tags of the types that SNMP uses (RFC 2578, RFC 3416).
pub(super) mod tag {
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const OCTET_STRING: u8 = 0x04;
    pub(in super::super) const NULL: u8 = 0x05;
    pub(in super::super) const OBJECT_IDENTIFIER: u8 = 0x06;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const IP_ADDRESS: u8 = 0x40;
    pub(in super::super) const COUNTER_32: u8 = 0x41;
    pub(in super::super) const GAUGE_32: u8 = 0x42;
    pub(in super::super) const TIME_TICKS: u8 = 0x43;
    pub(in super::super) const COUNTER_64: u8 = 0x46;
    pub(in super::super) const NO_SUCH_OBJECT: u8 = 0x80;
    pub(in super::super) const NO_SUCH_INSTANCE: u8 = 0x81;
    pub(in super::super) const END_OF_MIB_VIEW: u8 = 0x82;
}

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A value is longer than what holds it.
    Length,
    /// A value has another type than the place demands.
    Type,
    /// A number or identifier has more bytes than its type can hold.
    Range,
}

impl Fault {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Length => "ber-length",
            Self::Type => "ber-type",
            Self::Range => "ber-range",
        }
    }
}

/// Values one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ber<'a>(Reader<'a>);

impl<'a> Ber<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes were read.
    pub(super) const fn position(&self) -> usize {
        self.0.position()
    }

    /// The next value: its tag and content (X.690 clauses 8.1.2, 8.1.3). Tags of more than one byte and
    /// indefinite lengths do not occur in SNMP (RFC 3417 clause 8).
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8]), Fault> {
        let short = |_| Fault::Length;
        let tag = self.0.u8().map_err(short)?;
        let first = self.0.u8().map_err(short)?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let bytes = self.0.take(usize::from(first & 0x7f)).map_err(short)?;
                bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            _ => return Err(Fault::Length),
        };
        Ok((tag, self.0.take(length).map_err(short)?))
    }

    /// The content of the next value, which must have the tag `wanted`.
    pub(super) fn expect(&mut self, wanted: u8) -> Result<&'a [u8], Fault> {
        match self.next()? {
            (tag, content) if tag == wanted => Ok(content),
            _ => Err(Fault::Type),
        }
    }

    /// The next value, which must be a constructed one.
    pub(super) fn inside(&mut self, wanted: u8) -> Result<Self, Fault> {
        self.expect(wanted).map(Self::new)
    }

    /// The next value, which must be an integer.
    pub(super) fn integer(&mut self) -> Result<i64, Fault> {
        signed(self.expect(tag::INTEGER)?)
    }
}

/// A two's complement number of up to eight bytes (X.690 clause 8.3).
pub(super) fn signed(content: &[u8]) -> Result<i64, Fault> {
    if content.is_empty() || content.len() > 8 {
        return Err(Fault::Range);
    }
    let start = if content[0] & 0x80 != 0 { -1 } else { 0 };
    Ok(content.iter().fold(start, |number, byte| number << 8 | i64::from(*byte)))
}

/// A number that is never negative: up to eight bytes, and a zero before them.
pub(super) fn unsigned(content: &[u8]) -> Result<u64, Fault> {
    let content = content.strip_prefix(&[0]).unwrap_or(content);
    if content.len() > 8 {
        return Err(Fault::Range);
    }
    Ok(content.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Most numbers of an object identifier (RFC 2578 clause 3.5).
const MAX_ARCS: usize = 128;

/// An object identifier, as it is encoded (X.690 clause 8.19).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Oid<'a>(pub(super) &'a [u8]);

impl<'a> Oid<'a> {
    /// The numbers, until the end or one that is too large.
    pub(super) fn arcs(self) -> impl Iterator<Item = u32> + use<'a> {
        let mut bytes = self.0.iter();
        let mut second = None;
        let mut first = true;
        std::iter::from_fn(move || {
            if let Some(arc) = second.take() {
                return Some(arc);
            }
            let mut arc = 0_u32;
            loop {
                let byte = *bytes.next()?;
                arc = arc.checked_mul(128)?.checked_add(u32::from(byte & 0x7f))?;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            if first {
                // The first two numbers share one: 40 times the first, which is at most 2.
                first = false;
                let root = (arc / 40).min(2);
                second = Some(arc - root * 40);
                return Some(root);
            }
            Some(arc)
        })
        .take(MAX_ARCS)
    }

    /// The numbers after `prefix`, if it begins so.
    pub(super) fn after(self, prefix: &[u32]) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let mut arcs = self.arcs();
        for wanted in prefix {
            if arcs.next() != Some(*wanted) {
                return None;
            }
        }
        Some(arcs)
    }
}

impl fmt::Display for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, arc) in self.arcs().enumerate() {
            if number > 0 {
                f.write_char('.')?;
            }
            // Nearly all are one digit, and every request is told by its identifier.
            match char::from_digit(arc, 10) {
                Some(digit) => f.write_char(digit)?,
                None => write!(f, "{arc}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Oid<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_in_x_690() {
        assert_eq!(signed(&[0x7f]), Ok(127));
        assert_eq!(signed(&[0x00, 0x80]), Ok(128));
        assert_eq!(signed(&[0xff, 0x7f]), Ok(-129));
        assert_eq!(signed(&[]), Err(Fault::Range));
        assert_eq!(signed(&[1; 9]), Err(Fault::Range));
        assert_eq!(unsigned(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Ok(u64::MAX));
        assert_eq!(unsigned(&[0xff, 0xff]), Ok(65_535));
    }

    #[test]
    fn identifiers_are_shown_with_dots() {
        // X.690 clause 8.19.5 has {joint-iso-itu-t 100 3} as 0x8134 03.
        assert_eq!(Oid(&[0x81, 0x34, 0x03]).to_string(), "2.100.3");
        let sys_descr = Oid(&[0x2b, 6, 1, 2, 1, 1, 1, 0]);
        assert_eq!(sys_descr.to_string(), "1.3.6.1.2.1.1.1.0");
        assert_eq!(sys_descr.after(&[1, 3, 6, 1, 2, 1, 1]).unwrap().collect::<Vec<_>>(), [1, 0]);
        assert!(sys_descr.after(&[1, 3, 6, 1, 4]).is_none());
        assert_eq!(Oid(&[0x2b, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).to_string(), "1.3");
    }

    #[test]
    fn lengths_are_checked_against_what_is_there() {
        assert_eq!(Ber::new(&[0x04, 0x81, 0x02, b'h', b'i']).next(), Ok((4, b"hi".as_slice())));
        assert_eq!(Ber::new(&[0x04, 0x03, b'h', b'i']).next(), Err(Fault::Length));
        assert_eq!(Ber::new(&[0x30, 0x80, 0, 0]).next(), Err(Fault::Length), "indefinite");
        assert_eq!(Ber::new(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff]).next(), Err(Fault::Length));
    }
}
