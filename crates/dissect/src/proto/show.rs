//! Text as protocols carry it.

use std::borrow::Cow;

/// Text from bytes that should be UTF-8 or ASCII: what is not becomes U+FFFD, and padding (zero bytes and
/// white space at the ends) is dropped.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match String::from_utf8_lossy(&bytes[..end]) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Lower-case hexadecimal digits, without separators.
#[derive(Clone, Copy)]
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether `text` begins with `prefix`, letters of either case being the same.
pub(crate) fn starts_with(text: &str, prefix: &str) -> bool {
    after(text, prefix).is_some()
}

/// What follows `prefix` in `text`, letters of either case being the same.
pub(crate) fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_and_bad_bytes_are_marked() {
        assert_eq!(text(b"  printer\0\0"), "printer");
        assert_eq!(text(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(text(b"\0\0"), "");
    }

    #[test]
    fn prefixes_ignore_case_and_respect_characters() {
        assert_eq!(after("LINUX/4.4", "linux/"), Some("4.4"));
        assert_eq!(after("\u{e9}tage", "e"), None);
        assert!(!starts_with("li", "linux"));
    }
}
