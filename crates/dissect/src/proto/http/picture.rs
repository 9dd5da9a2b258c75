//! Whether a picture says where it was taken.

use crate::proto::reader::{Reader, Short};

/// Bytes of a picture within which its position is looked for: the first directory of Exif data stands before all
/// that is long, and has a few dozen entries of twelve bytes.
pub(super) const MAX_EXIF: usize = 1024;

/// The word for such a picture.
pub(super) const LOCATED: &str = "located-picture";

/// Segments before the Exif data: there is one at most (JFIF clause 10.1), and perhaps a comment.
const MAX_SEGMENTS: usize = 4;

/// Whether the beginning of a JPEG file (ITU-T T.81 annex B) has Exif data with a position: the tag 0x8825 in the first
/// directory points to it (Exif 2.32 clause 4.6.3).
pub(super) fn is_located(body: &[u8]) -> bool {
    exif(body).and_then(|tiff| has_position(tiff).ok()).unwrap_or(false)
}

/// The TIFF structure within the Exif segment, as much of it as there is.
fn exif(body: &[u8]) -> Option<&[u8]> {
    const START_OF_IMAGE: u16 = 0xffd8;
    const APP1: u16 = 0xffe1;
    let mut reader = Reader::new(body);
    if reader.be16() != Ok(START_OF_IMAGE) {
        return None;
    }
    for _ in 0..MAX_SEGMENTS {
        let (marker, length) = (reader.be16().ok()?, usize::from(reader.be16().ok()?).checked_sub(2)?);
        if marker == APP1
            && let Some(tiff) = reader.rest().strip_prefix(b"Exif\0\0")
        {
            return Some(tiff);
        }
        reader.skip(length).ok()?;
    }
    None
}

/// Whether the first directory of a TIFF structure (TIFF 6.0 section 2) points to a position.
fn has_position(tiff: &[u8]) -> Result<bool, Short> {
    const POSITION: u16 = 0x8825;
    let mut reader = Reader::new(tiff);
    let is_big = match reader.array::<4>()? {
        [b'M', b'M', 0, 42] => true,
        [b'I', b'I', 42, 0] => false,
        _ => return Ok(false),
    };
    let short = |reader: &mut Reader<'_>| if is_big { reader.be16() } else { reader.le16() };
    let at = if is_big { reader.be32() } else { reader.le32() }?;
    reader.skip((at as usize).checked_sub(reader.position()).ok_or(Short)?)?;
    for _ in 0..short(&mut reader)? {
        if short(&mut reader)? == POSITION {
            return Ok(true);
        }
        reader.skip(10)?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture whose first directory has these tags, after a JFIF header.
    fn picture(is_big: bool, tags: &[u16]) -> Vec<u8> {
        let short = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut tiff = b"Exif\0\0".to_vec();
        tiff.extend(if is_big { *b"MM\0*\0\0\0\x08" } else { *b"II*\0\x08\0\0\0" });
        tiff.extend(short(tags.len() as u16));
        for tag in tags {
            tiff.extend(short(*tag));
            tiff.extend([0; 10]);
        }
        let mut all = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x02\0\0\x01\0\x01\0\0\xff\xe1".to_vec();
        all.extend((tiff.len() as u16 + 2).to_be_bytes());
        all.extend(tiff);
        all
    }

    #[test]
    fn a_position_is_found_in_either_order_of_bytes_and_nothing_else_is_one() {
        for is_big in [true, false] {
            assert!(is_located(&picture(is_big, &[0x010f, 0x0110, 0x8769, 0x8825])));
            assert!(!is_located(&picture(is_big, &[0x010f, 0x0110, 0x8769])));
        }
        let whole = picture(true, &[0x010f, 0x8825]);
        assert!((0..whole.len() - 12).all(|length| !is_located(&whole[..length])), "cut off before the tag");
        assert!(!is_located(b"\x89PNG\r\n\x1a\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..256), real in any::<bool>()) {
            if real {
                let begin = picture(true, &[]);
                bytes.splice(0..0, begin[..begin.len() - 2].iter().copied());
            }
            is_located(&bytes);
        }
    }
}
