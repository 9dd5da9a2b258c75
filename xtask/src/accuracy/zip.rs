//! The one file within a ZIP archive (PKWARE APPNOTE 6.3): labels and captures are often packed so.

use std::io::Read;

/// The end-of-central-directory record, clause 4.3.16: at least 22 bytes, with a comment after it.
const END: &[u8; 4] = b"PK\x05\x06";
/// A header of the central directory, clause 4.3.12.
const ENTRY: &[u8; 4] = b"PK\x01\x02";
/// A file may not be larger than this when it is unpacked.
const SIZE_MAX: u64 = 4 << 30;

/// The first file of an archive.
pub(crate) fn first_file(archive: &[u8]) -> Result<Vec<u8>, String> {
    let end = archive.windows(4).rposition(|bytes| bytes == END).ok_or("no ZIP archive")?;
    let length = end + 22 + u16_at(archive, end + 20)?;
    if length > archive.len() {
        return Err("the archive is cut off".into());
    }
    let count = u16_at(archive, end + 10)?;
    let mut at = u32_at(archive, end + 16)?;
    for _ in 0..count {
        if archive.get(at..at + 4) != Some(ENTRY) {
            return Err("the directory of the archive is damaged".into());
        }
        let method = u16_at(archive, at + 10)?;
        let (packed, name) = (u32_at(archive, at + 20)?, u16_at(archive, at + 28)?);
        let local = u32_at(archive, at + 42)?;
        let is_folder = archive.get((at + 46 + name).saturating_sub(1)) == Some(&b'/');
        if !is_folder {
            // Clause 4.3.7: the local header's name and extra field have lengths of their own.
            let start = local + 30 + u16_at(archive, local + 26)? + u16_at(archive, local + 28)?;
            let data = archive.get(start..start + packed).ok_or("the archive is cut off")?;
            return unpack(method, data);
        }
        at += 46 + name + u16_at(archive, at + 30)? + u16_at(archive, at + 32)?;
    }
    Err("no file in the archive".into())
}

fn unpack(method: usize, data: &[u8]) -> Result<Vec<u8>, String> {
    match method {
        0 => Ok(data.to_vec()),
        8 => {
            let mut content = Vec::new();
            flate2::read::DeflateDecoder::new(data)
                .take(SIZE_MAX)
                .read_to_end(&mut content)
                .map_err(|error| error.to_string())?;
            Ok(content)
        }
        other => Err(format!("compression method {other} is not supported")),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<usize, String> {
    match bytes.get(at..at + 2) {
        Some(&[low, high]) => Ok(u16::from_le_bytes([low, high]).into()),
        _ => Err("the archive is cut off".into()),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize, String> {
    Ok(u16_at(bytes, at)? | u16_at(bytes, at + 2)? << 16)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of a folder and one file, as clause 4.3.6 orders its parts.
    fn archive(method: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut directory = Vec::new();
        for (name, data, method) in [("a/", &[][..], 0), ("a/b.txt", data, method)] {
            let offset = u32::try_from(bytes.len()).unwrap();
            let (size, length) = (u32::try_from(data.len()).unwrap(), u16::try_from(name.len()).unwrap());
            bytes.extend(b"PK\x03\x04\x14\0\0\0");
            bytes.extend(method.to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(size.to_le_bytes());
            bytes.extend(0_u32.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(4_u16.to_le_bytes());
            bytes.extend(name.bytes());
            bytes.extend([9; 4]);
            bytes.extend(data);
            directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0");
            directory.extend(method.to_le_bytes());
            directory.extend([0; 8]);
            directory.extend(size.to_le_bytes());
            directory.extend(0_u32.to_le_bytes());
            directory.extend(length.to_le_bytes());
            directory.extend([0; 12]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.bytes());
        }
        let start = u32::try_from(bytes.len()).unwrap();
        let size = u32::try_from(directory.len()).unwrap();
        bytes.extend(directory);
        bytes.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
        bytes.extend(size.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn the_first_file_is_unpacked_whether_stored_or_deflated() {
        assert_eq!(first_file(&archive(0, b"labels")).unwrap(), b"labels");
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(b"labels labels labels").unwrap();
        assert_eq!(first_file(&archive(8, &packer.finish().unwrap())).unwrap(), b"labels labels labels");
    }

    #[test]
    fn what_is_no_archive_is_an_error_at_every_length() {
        let whole = archive(0, b"labels");
        for length in 0..whole.len() {
            assert!(first_file(&whole[..length]).is_err(), "{length}");
        }
        assert!(first_file(&archive(9, b"x")).unwrap_err().contains("method 9"));
    }
}
