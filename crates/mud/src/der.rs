//! The distinguished encoding rules (ITU-T X.690, section 10), as far as signatures need them.

/// Universal and context tags that are used here.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTETS: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    pub(crate) const IA5: u8 = 0x16;
    /// `[0]` constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[1]` constructed.
    pub(crate) const CONTEXT_1: u8 = 0xa1;
    /// `[0]` primitive.
    pub(crate) const IMPLICIT_0: u8 = 0x80;
}

/// Why bytes are not what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerError {
    /// They end too early, or their length is not written as short as can be.
    Malformed,
    /// Their length is not given at the beginning, as BER allows and DER does not.
    Indefinite,
    /// Something else stands there.
    Unexpected,
}

/// A value with its tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// Values that follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next value (X.690, sections 8.1 and 10.1). Tags of more than one byte are not used here.
    pub(crate) fn any(&mut self) -> Result<Tlv<'a>, DerError> {
        let (&tag, rest) = self.rest.split_first().ok_or(DerError::Malformed)?;
        let (&first, rest) = rest.split_first().ok_or(DerError::Malformed)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::Unexpected);
        }
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            0x80 => return Err(DerError::Indefinite),
            0x81..=0x84 => {
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(first & 0x7f)).ok_or(DerError::Malformed)?;
                let length = bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                let is_shortest = length >= 0x80 && bytes.first().is_some_and(|byte| *byte != 0);
                (if is_shortest { length } else { return Err(DerError::Malformed) }, rest)
            }
            _ => return Err(DerError::Malformed),
        };
        let (content, after) = rest.split_at_checked(length).ok_or(DerError::Malformed)?;
        let whole = self.rest.get(..self.rest.len() - after.len()).ok_or(DerError::Malformed)?;
        self.rest = after;
        Ok(Tlv { tag, whole, content })
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, DerError> {
        let value = self.any()?;
        if value.tag == tag { Ok(value) } else { Err(DerError::Unexpected) }
    }

    /// The next value's content, to be read on.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, DerError> {
        Ok(Self::new(self.expect(tag)?.content))
    }

    /// The next value if it has that tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, DerError> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Nothing must follow.
    pub(crate) const fn end(&self) -> Result<(), DerError> {
        if self.is_done() { Ok(()) } else { Err(DerError::Unexpected) }
    }
}

/// A value.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..0x80 => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let skip = bytes.iter().take_while(|byte| **byte == 0).count();
            out.push(0x80 | (bytes.len() - skip) as u8);
            out.extend_from_slice(&bytes[skip..]);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Values in a set in their order (X.690, section 11.6).
pub(crate) fn set(tag: u8, mut values: Vec<Vec<u8>>) -> Vec<u8> {
    values.sort();
    value(tag, &values.concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_come_back(tag in 0_u8..0x1f, length in prop_oneof![0_usize..300, 65_000_usize..66_000]) {
            let content = vec![7; length];
            let bytes = value(tag, &content);
            let mut reader = Reader::new(&bytes);
            let found = reader.expect(tag).unwrap();
            prop_assert_eq!((found.content, found.whole), (&content[..], &bytes[..]));
            prop_assert!(reader.is_done());
            prop_assert_eq!(Reader::new(&bytes[..bytes.len() - 1]).any().is_err(), true);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while !reader.is_done() && reader.any().is_ok() {}
        }
    }

    #[test]
    fn lengths_must_be_short_and_definite() {
        for (bytes, expected) in [
            (&[0x30, 0x80, 0, 0][..], DerError::Indefinite),
            (&[0x04, 0x81, 0x01, 0x00], DerError::Malformed),
            (&[0x04, 0x82, 0x00, 0x80], DerError::Malformed),
            (&[0x04, 0x85, 0, 0, 0, 0, 1, 0], DerError::Malformed),
            (&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], DerError::Malformed),
            (&[0x04], DerError::Malformed),
            (&[0x1f, 0x01, 0x00], DerError::Unexpected),
        ] {
            assert_eq!(Reader::new(bytes).any().map(|value| value.content), Err(expected), "{bytes:?}");
        }
    }
}
