//! The two hello messages, as views of their bytes (RFC 8446 clause 4.1, RFC 5246 clause 7.4.1).

use super::names::{self, is_grease};
use crate::proto::{Reader, Short};

/// Extensions (IANA registry "TLS ExtensionType Values") whose content is looked into.
pub(crate) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const SUPPORTED_GROUPS: u16 = 10;
    pub(crate) const EC_POINT_FORMATS: u16 = 11;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(crate) const ALPN: u16 = 16;
    pub(crate) const SESSION_TICKET: u16 = 35;
    pub(crate) const PRE_SHARED_KEY: u16 = 41;
    pub(crate) const EARLY_DATA: u16 = 42;
    pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
    pub(crate) const KEY_SHARE: u16 = 51;
    pub(crate) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// The random value that makes a ServerHello a HelloRetryRequest (RFC 8446 clause 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A list of 16-bit values; an odd byte at the end is left out.
pub(crate) fn codes(bytes: &[u8]) -> impl Iterator<Item = u16> + Clone + '_ {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// The items of a list whose lengths stand in one byte each; ends at the first that is cut.
pub(crate) fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let length = reader.u8().ok()?;
        reader.take(usize::from(length)).ok()
    })
}

/// The extensions of a hello message: types and contents, checked to fill the block exactly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Short> {
        // Before extensions were invented a hello ended here (RFC 5246 clause 7.4.1.2).
        if reader.is_empty() {
            return Ok(Self(&[]));
        }
        let length = reader.be16()?;
        let block = reader.take(usize::from(length))?;
        let mut check = Reader::new(block);
        while !check.is_empty() {
            check.be16()?;
            let length = check.be16()?;
            check.skip(usize::from(length))?;
        }
        Ok(Self(block))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let kind = reader.be16().ok()?;
            let length = reader.be16().ok()?;
            Some((kind, reader.take(usize::from(length)).ok()?))
        })
    }
}

/// A ClientHello.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientHello<'a> {
    /// `legacy_version`.
    pub(crate) legacy_version: u16,
    /// Cipher suites in order of preference, as bytes.
    pub(crate) ciphers: &'a [u8],
    /// All extensions in order.
    pub(crate) extensions: Extensions<'a>,
    /// The name that the client means to reach (RFC 6066 clause 3).
    pub(crate) server_name: Option<&'a [u8]>,
    /// Application protocols (RFC 7301), each after its length.
    pub(crate) alpn: &'a [u8],
    /// Key exchange groups, as bytes.
    pub(crate) groups: &'a [u8],
    /// Elliptic curve point formats.
    pub(crate) point_formats: &'a [u8],
    /// Signature schemes, as bytes.
    pub(crate) signatures: &'a [u8],
    /// The `supported_versions` extension, as bytes.
    pub(crate) versions: &'a [u8],
    /// Whether a session ticket or pre-shared key is offered.
    pub(crate) resumes: bool,
    /// Whether the client sends data before the server has answered (RFC 8446 clause 4.2.10).
    pub(crate) early_data: bool,
    /// Whether the inner hello is encrypted, or the client pretends so (RFC 9849).
    pub(crate) encrypted_hello: bool,
    /// An extension whose content does not fit its type.
    pub(crate) odd_extension: Option<u16>,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of a ClientHello. In DTLS a cookie follows the session id (RFC 6347 clause 4.2.1).
    pub(crate) fn read(body: &'a [u8], datagrams: bool) -> Result<Self, Short> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.be16()?;
        reader.skip(32)?;
        vector8(&mut reader)?; // session id
        if datagrams {
            vector8(&mut reader)?; // cookie
        }
        let ciphers = vector16(&mut reader)?;
        vector8(&mut reader)?; // compression methods
        let extensions = Extensions::read(&mut reader)?;
        let mut hello = Self { legacy_version, ciphers, extensions, ..Self::default() };
        for (kind, content) in extensions.iter() {
            if hello.extension(kind, content).is_err() {
                hello.odd_extension = Some(kind);
            }
        }
        Ok(hello)
    }

    fn extension(&mut self, kind: u16, content: &'a [u8]) -> Result<(), Short> {
        let mut reader = Reader::new(content);
        match kind {
            extension::SERVER_NAME => {
                let mut list = Reader::new(vector16(&mut reader)?);
                if list.u8()? == 0 {
                    self.server_name = Some(vector16(&mut list)?);
                }
            }
            extension::SUPPORTED_GROUPS => self.groups = vector16(&mut reader)?,
            extension::EC_POINT_FORMATS => self.point_formats = vector8(&mut reader)?,
            extension::SIGNATURE_ALGORITHMS => self.signatures = vector16(&mut reader)?,
            extension::ALPN => self.alpn = vector16(&mut reader)?,
            extension::SUPPORTED_VERSIONS => self.versions = vector8(&mut reader)?,
            extension::SESSION_TICKET => self.resumes |= !content.is_empty(),
            extension::PRE_SHARED_KEY => self.resumes = true,
            extension::EARLY_DATA => self.early_data = true,
            extension::ENCRYPTED_CLIENT_HELLO => self.encrypted_hello = true,
            _ => {}
        }
        Ok(())
    }

    /// The newest version that the client offers: of `supported_versions` where it is there (RFC 8446
    /// clause 4.2.1), else the legacy field.
    pub(crate) fn version(&self) -> u16 {
        codes(self.versions)
            .filter(|code| !is_grease(*code) && names::version(*code).is_some())
            .max_by_key(|code| age(*code))
            .unwrap_or(self.legacy_version)
    }
}

/// Orders versions by age; those of DTLS count downwards (RFC 6347 clause 4.1).
const fn age(version: u16) -> u16 {
    if version >> 8 == 0xfe { 0xffff - version } else { version }
}

/// A ServerHello or HelloRetryRequest.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerHello<'a> {
    /// `legacy_version`.
    pub(crate) legacy_version: u16,
    /// The version that the server chose.
    pub(crate) version: u16,
    /// Whether this asks the client for another hello.
    pub(crate) retry: bool,
    /// The cipher suite that the server chose.
    pub(crate) cipher: u16,
    /// All extensions in order.
    pub(crate) extensions: Extensions<'a>,
    /// The application protocol that the server chose, where it says so in the clear.
    pub(crate) alpn: Option<&'a [u8]>,
    /// The key exchange group that the server chose (TLS 1.3).
    pub(crate) group: Option<u16>,
    /// Whether the offered pre-shared key was taken (TLS 1.3).
    pub(crate) pre_shared_key: bool,
}

impl<'a> ServerHello<'a> {
    /// Reads the body of a ServerHello.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.be16()?;
        let retry = reader.array::<32>()? == RETRY_RANDOM;
        // The drafts of TLS 1.3 up to 21 had a shorter message.
        let is_draft = names::is_13(legacy_version);
        if !is_draft {
            vector8(&mut reader)?; // session id
        }
        let cipher = reader.be16()?;
        if !is_draft {
            reader.u8()?; // compression method
        }
        let extensions = Extensions::read(&mut reader)?;
        let mut hello =
            Self { legacy_version, version: legacy_version, retry, cipher, extensions, ..Self::default() };
        for (kind, content) in extensions.iter() {
            let mut reader = Reader::new(content);
            match kind {
                extension::SUPPORTED_VERSIONS => hello.version = reader.be16().unwrap_or(legacy_version),
                extension::KEY_SHARE => hello.group = reader.be16().ok(),
                extension::PRE_SHARED_KEY => hello.pre_shared_key = true,
                extension::ALPN => {
                    hello.alpn = vector16(&mut reader).ok().and_then(|list| strings(list).next());
                }
                _ => {}
            }
        }
        Ok(hello)
    }
}

fn vector8<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.u8()?;
    reader.take(usize::from(length))
}

fn vector16<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Short> {
    let length = reader.be16()?;
    reader.take(usize::from(length))
}
