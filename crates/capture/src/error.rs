//! Why a source could not be opened or read on, and what was lost of one that could.

use std::fmt;
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::format::Unrecognised;

/// Why a source cannot be opened, or cannot be read any further. As text, one sentence: what happened, to
/// what, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// There is neither a file nor an interface of that name.
    #[error("there is no file, folder or network interface called {name}; the interfaces here are {known}")]
    NotFound {
        /// The name.
        name: String,
        /// The interfaces that there are.
        known: String,
    },
    /// There is no interface of that name.
    #[error("there is no network interface called {name}; the interfaces here are {known}")]
    NoInterface {
        /// The name.
        name: String,
        /// The interfaces that there are.
        known: String,
    },
    /// The file or folder may not be read.
    #[error("{path} may not be read by this user; give yourself read permission or run as another user")]
    FilePermission {
        /// The file or folder.
        path: String,
    },
    /// The process may not capture packets.
    #[error(
        "capturing on {interface} needs the capability CAP_NET_RAW; run as root, or give it to the program \
         once with: sudo setcap cap_net_raw,cap_net_admin+ep {program}"
    )]
    CapturePermission {
        /// The interface.
        interface: String,
        /// The program that should have the capability.
        program: String,
    },
    /// The file has no content.
    #[error("{path} is empty; check that the capture was written before it was read")]
    Empty {
        /// The file.
        path: String,
    },
    /// The file is text.
    #[error("{path} is text, not a packet capture; give a pcap or pcapng file")]
    Text {
        /// The file.
        path: String,
    },
    /// The file is in a format that is known but not read.
    #[error("{path} is {format}, which is not read; {remedy}")]
    UnsupportedFormat {
        /// The file.
        path: String,
        /// What it is.
        format: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The file is a capture of a version that does not exist yet.
    #[error(
        "{path} is a {format} file of version {major}.{minor}, which is not read; convert it with editcap"
    )]
    UnsupportedVersion {
        /// The file.
        path: String,
        /// pcap or pcapng.
        format: &'static str,
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The file is nothing that is known.
    #[error(
        "{path} is not a packet capture in a known format; give a pcap or pcapng file, plain, gzip or zstd"
    )]
    UnknownFormat {
        /// The file.
        path: String,
    },
    /// The file begins like a capture and ends before its first header does.
    #[error("{path} is cut short within its file header, after {length} bytes; capture or copy it again")]
    CutHeader {
        /// The file.
        path: String,
        /// How many bytes there are.
        length: usize,
    },
    /// The compressed content cannot be unpacked at all.
    #[error("{path} cannot be unpacked: {reason}; compress or copy it again")]
    Compression {
        /// The file.
        path: String,
        /// What the decoder says.
        reason: String,
    },
    /// The folder has no captures.
    #[error(
        "{path} holds no packet captures, only {skipped} other files; give a folder with pcap or pcapng files"
    )]
    NoCaptures {
        /// The folder.
        path: String,
        /// How many other files there are.
        skipped: u64,
    },
    /// The folder has more files than are looked at.
    #[error("{path} holds more than {limit} files; give smaller folders one by one")]
    TooManyFiles {
        /// The folder.
        path: String,
        /// How many are looked at.
        limit: usize,
    },
    /// Standard input is a terminal.
    #[error("standard input is a terminal; pipe a capture into it, for example from tcpdump -w -")]
    Terminal,
    /// The interface's frames are of a kind that cannot be captured.
    #[error(
        "{interface} is of a kind (ARPHRD {kind}) whose frames are not understood; capture on another interface"
    )]
    UnsupportedInterface {
        /// The interface.
        interface: String,
        /// Its hardware type, as the kernel numbers it.
        kind: u16,
    },
    /// The interface went away while it was watched.
    #[error("{interface} is gone; start again when it is back")]
    InterfaceGone {
        /// The interface.
        interface: String,
    },
    /// The operating system refused something else.
    #[error("{action} failed on {name}: {error}")]
    Io {
        /// The file, folder or interface.
        name: String,
        /// What was attempted.
        action: &'static str,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
}

/// The error that an operation on a file ended with.
pub(crate) fn from_file(path: &Path, action: &'static str, error: io::Error) -> CaptureError {
    let name = path.display().to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied => CaptureError::FilePermission { path: name },
        _ => CaptureError::Io { name, action, error },
    }
}

/// The error for a file that begins with something else than a capture.
pub(crate) fn from_content(path: &str, length: usize, found: Unrecognised) -> CaptureError {
    let path = path.to_owned();
    match found {
        Unrecognised::Empty => CaptureError::Empty { path },
        Unrecognised::CutHeader => CaptureError::CutHeader { path, length },
        Unrecognised::Version { format, major, minor } => {
            CaptureError::UnsupportedVersion { path, format, major, minor }
        }
        Unrecognised::Known { format, remedy } => CaptureError::UnsupportedFormat { path, format, remedy },
        Unrecognised::Text => CaptureError::Text { path },
        Unrecognised::Unknown => CaptureError::UnknownFormat { path },
    }
}

/// What was lost of a source that could otherwise be read, and where. As text, one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, as the user would name it.
    pub file: Box<str>,
    /// Where the first thing that was lost begins, in bytes from the start of the (uncompressed) capture.
    pub offset: u64,
    /// The number of the first packet that was lost, counted from 1 in its file. All packets before it
    /// were read.
    pub packet: u64,
    /// How many bytes follow that were not read, where it is known.
    pub unread: Option<u64>,
    /// Why.
    pub reason: Reason,
}

/// Why something was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The file ends in the middle of a packet or block.
    Cut,
    /// The file was made shorter while it was read.
    Shortened,
    /// What stands there cannot be: the text says what.
    Corrupt(Box<str>),
    /// The compressed content cannot be unpacked any further: the text says why.
    Compression(Box<str>),
    /// The file, or what is left of it, could not be read: the text says why.
    Unreadable(Box<str>),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, packet, unread, reason } = self;
        match reason {
            Reason::Cut => write!(f, "{file} is cut short in packet {packet}, at byte {offset}")?,
            Reason::Shortened => {
                write!(f, "{file} was made shorter while it was read, in packet {packet}, at byte {offset}")?;
            }
            Reason::Corrupt(what) => {
                write!(f, "{file} is corrupt at byte {offset}, before packet {packet}: {what}")?;
            }
            Reason::Compression(why) => {
                write!(f, "{file} cannot be unpacked beyond byte {offset}, before packet {packet}: {why}")?;
            }
            Reason::Unreadable(why) if *packet <= 1 => return write!(f, "{file} was left out: {why}"),
            Reason::Unreadable(why) => {
                write!(f, "{file} could not be read beyond byte {offset}, before packet {packet}: {why}")?;
            }
        }
        match packet.saturating_sub(1) {
            0 => f.write_str("; no packet could be read")?,
            1 => f.write_str("; the packet before it was read")?,
            before => write!(f, "; the {before} packets before it were read")?,
        }
        match unread {
            Some(1) => f.write_str(", 1 byte was not"),
            Some(bytes) => write!(f, ", {bytes} bytes were not"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_says_in_one_sentence_where_and_what() {
        let damage = |packet, unread, reason| {
            Damage { file: "a.pcap".into(), offset: 24, packet, unread, reason }.to_string()
        };
        assert_eq!(
            damage(3, Some(40), Reason::Cut),
            "a.pcap is cut short in packet 3, at byte 24; the 2 packets before it were read, \
             40 bytes were not"
        );
        assert_eq!(
            damage(1, None, Reason::Corrupt("a length of 9".into())),
            "a.pcap is corrupt at byte 24, before packet 1: a length of 9; no packet could be read"
        );
        assert_eq!(
            damage(1, None, Reason::Unreadable("it is gone".into())),
            "a.pcap was left out: it is gone"
        );
    }
}
