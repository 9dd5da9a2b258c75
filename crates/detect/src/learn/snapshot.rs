//! What was learnt, as bytes that survive a restart.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the form: bytes of another are not read.
const VERSION: u8 = 2;
/// More bytes are not read.
const MAX_BYTES: usize = 256 << 20;

/// The version, then JSON. Nothing if something in it has no form, such as an infinite number.
pub(crate) fn to_bytes<T: Serialize>(learnt: &T) -> Option<Vec<u8>> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, learnt).ok()?;
    Some(bytes)
}

/// What was written by [`to_bytes`], or nothing if it is not that.
pub(crate) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match bytes {
        [VERSION, text @ ..] if text.len() <= MAX_BYTES => serde_json::from_slice(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let bytes = to_bytes(&vec![(1_u64, 0.5_f64)]).unwrap();
        assert_eq!(from_bytes(&bytes), Some(vec![(1_u64, 0.5_f64)]));
        assert_eq!(from_bytes::<Vec<(u64, f64)>>(&[]), None);
        assert_eq!(from_bytes::<Vec<(u64, f64)>>(&bytes[..bytes.len() - 1]), None);
        assert_eq!(from_bytes::<Vec<(u64, f64)>>(&[&[VERSION + 1], &bytes[1..]].concat()), None);
    }
}
