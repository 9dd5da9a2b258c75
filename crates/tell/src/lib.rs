//! What is told to others: people, collectors of logs, brokers, other machines.
//!
//! What is to be told becomes a [`Notice`]; each receiver's words for it are put into the [`Outbox`], a file of its own, before
//! anybody tries to deliver them. [`Delivery`] takes them from there, in their order, until the receiver has them: whoever is
//! down is tried again after growing pauses and holds up nobody else. After a kill at any moment nothing is lost; what was sent
//! and was not yet known to be taken is sent again with the same id. [`Follower`] makes notices of what has changed in the store.
//!
//! Only the ways to receivers and the [`Teller`]'s threads do input and output beside the outbox; time is given as an argument
//! to all else.

mod delay;
mod deliver;
mod eve;
mod file;
mod follow;
mod mail;
pub mod metrics;
mod mqtt;
mod notice;
mod otlp;
mod outbox;
#[cfg(test)]
mod peers;
mod secret;
mod settings;
mod syslog;
mod teller;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod webhook;

use std::path::{Path, PathBuf};

pub use delay::{DELAY_MAX, DELAY_MIN, delay};
pub use deliver::{Carrier, Delivery, Most, Step};
pub use follow::{Follower, LOOK_AT, Listener};
pub use mail::{MAILS_PER_HOUR, MAX_GATHERED};
pub use notice::{About, Catalogue, Notice, Packer, Reason};
pub use outbox::{
    AGE_MAX, BATCH_BYTES, BODY_MAX, BYTES_MAX, FILE, Followed, Letter, Limits, MESSAGES_MAX, Next, Outbox,
    Put, REMEMBERED, STANDS_MAX, Stand, Status, Waiting,
};
pub use secret::{SECRET_MAX, Secret};
pub use settings::{Receiver, Tell, Text};
pub use teller::{PENDING_MAX, Shared, Teller, Ways};
pub use tls::explain;
pub use webhook::{Endpoint, Poster, id};

/// Why something could not be told or kept.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// The outbox's file cannot be used.
    #[error(
        "cannot use the outbox {path}: {source}; see that this user may write it, or choose another folder with --state"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("the disk that holds the outbox {0} is full: what lies in it is kept; make room")]
    Full(PathBuf),
    /// The file is no outbox any more.
    #[error("the outbox {path} is damaged: {source}; move it away, what waits in it cannot be told")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The database reports an error.
    #[error(
        "the outbox {path} cannot be used: {source}; see that this user may write it and that no other process holds it"
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// It was written by a later version.
    #[error(
        "the outbox {path} was written by a later version of Pavise (format {found}, this one knows up to {known}): update Pavise"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The last format that this version knows.
        known: u32,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

impl TellError {
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(path),
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, source }
            }
            _ => Self::Database { path, source },
        }
    }
}
