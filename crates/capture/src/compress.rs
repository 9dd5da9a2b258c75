//! Compressed captures, unpacked as they are read.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Zstandard content that needs a larger window than this, in bytes, is refused: 128 MiB, what the zstd
/// program itself allows unless it is told otherwise.
pub const MAX_ZSTD_WINDOW: u64 = 128 << 20;

/// How content is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// gzip (RFC 1952), of one or many members.
    Gzip,
    /// Zstandard (RFC 8878), of one or many frames.
    Zstd,
}

impl Compression {
    /// Recognises compressed content by its first bytes.
    pub(crate) fn recognise(start: &[u8]) -> Option<Self> {
        match *start.first_chunk::<4>()? {
            [0x1f, 0x8b, 8, _] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Self::Zstd),
            // RFC 8878, clause 3.1.2: skippable frames, which may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Unpacks `packed`.
    pub(crate) fn unpack<'a>(self, packed: impl Read + Send + 'a) -> Box<dyn Read + Send + 'a> {
        let packed = BufReader::with_capacity(PACKED_BUFFER, packed);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(Zstd::new(packed)),
        }
    }
}

/// How much compressed content is read at once, in bytes.
const PACKED_BUFFER: usize = 64 << 10;

/// Unpacks a sequence of Zstandard frames and compares their checksums.
struct Zstd<R> {
    packed: BufReader<R>,
    decoder: Box<FrameDecoder>,
    within_frame: bool,
    /// Why it cannot be unpacked any further. What the decoder still holds is given before that is said.
    failed: Option<String>,
}

/// Ends a frame: an empty block that is the last (RFC 8878, clause 3.1.1.2) and room for a checksum.
const LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

impl<R: Read> Zstd<R> {
    fn new(packed: BufReader<R>) -> Self {
        let mut decoder = Box::new(FrameDecoder::new());
        decoder.set_max_window_size(MAX_ZSTD_WINDOW);
        Self { packed, decoder, within_frame: false, failed: None }
    }

    /// Begins the next frame, passing over those that hold no content. False at the end.
    fn begin_frame(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => {
                    self.within_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut (&mut self.packed).take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.within_frame && !self.begin_frame()? {
                return Ok(0);
            }
            while self.failed.is_none() && self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                if let Err(error) = self.decoder.decode_blocks(&mut self.packed, one) {
                    let is_cut = self.packed.fill_buf()?.is_empty();
                    self.failed =
                        Some(if is_cut { "it ends within a block".into() } else { error.to_string() });
                    // The decoder keeps a window of what it has unpacked until the frame ends.
                    let _ = self.decoder.decode_blocks(&LAST_BLOCK[..], BlockDecodingStrategy::All);
                }
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            if let Some(reason) = &self.failed {
                return Err(io::Error::other(reason.clone()));
            }
            self.within_frame = false;
            let (stored, actual) =
                (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            if stored.is_some() && stored != actual {
                return Err(io::Error::other("the checksum of its content does not agree"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn unpacked(compression: Compression, packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        compression.unpack(packed).read_to_end(&mut content).map(|_| content)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_members_are_unpacked_one_after_the_other() {
        let packed = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(Compression::recognise(&packed), Some(Compression::Gzip));
        assert_eq!(unpacked(Compression::Gzip, &packed).unwrap(), b"one two");
        assert!(unpacked(Compression::Gzip, &packed[..packed.len() - 9]).is_err());
    }

    #[test]
    fn zstd_frames_are_unpacked_one_after_the_other_and_their_checksums_compared() {
        let Some(program) = testkit::peer("zstd_frames_are_unpacked", "zstd") else { return };
        let zstd = |content: &[u8]| {
            let mut child = Command::new(&program)
                .args(["-q", "-c", "--check"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(content).unwrap();
            child.wait_with_output().unwrap().stdout
        };
        let skippable = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3].to_vec();
        let mut packed = [skippable.clone(), zstd(b"one "), skippable, zstd(b""), zstd(b"two")].concat();
        assert_eq!(Compression::recognise(&packed), Some(Compression::Zstd));
        assert_eq!(unpacked(Compression::Zstd, &packed).unwrap(), b"one two");
        *packed.last_mut().unwrap() ^= 1;
        assert!(unpacked(Compression::Zstd, &packed).unwrap_err().to_string().contains("checksum"));

        // Content that is cut is given up to the last whole block, though it is far less than a window.
        let content: Vec<u8> =
            (0..200_000_u32).flat_map(|number| number.wrapping_mul(number).to_be_bytes()).collect();
        let packed = zstd(&content);
        let mut got = Vec::new();
        let cut = &packed[..packed.len() - 100];
        let error = Compression::Zstd.unpack(cut).read_to_end(&mut got).unwrap_err();
        assert_eq!(error.to_string(), "it ends within a block");
        assert!(got.len() > content.len() / 2 && content.starts_with(&got), "{} bytes", got.len());
    }
}
