//! A key in a file: 32 random bytes in base64 on one line, for its owner only.

use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{beside, folder_of};
use crate::secret::{KEY_BYTES, Secret, SecretText};
use crate::vault::{Disk, Files, VaultError, file_error};

/// The most bytes of a file that holds a key, passphrase or PIN.
const MAX_SECRET_FILE: usize = 4096;

/// Reads a passphrase or PIN from a file that nobody but its owner may use. Line ends at its end do not count.
///
/// # Errors
/// If the file is missing, longer than 4096 bytes, no UTF-8 text, or open to group or world.
pub fn read_secret_file(path: &Path) -> Result<SecretText, VaultError> {
    let bytes = read_private(&Disk, path)?.ok_or_else(|| VaultError::Missing(path.into()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| VaultError::File {
        what: "read",
        path: path.into(),
        cause: io::Error::new(io::ErrorKind::InvalidData, "the secret is not UTF-8 text"),
    })?;
    Ok(SecretText::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The key in the file, which is made if there is none.
pub(super) fn make(files: &dyn Files, path: &Path) -> Result<Secret, VaultError> {
    // Written beside and then linked: the name never stands for a part of a key, and is never taken from another.
    let (part, folder) = (beside(path, ".new"), folder_of(path));
    files.remove(&part).map_err(file_error("remove", &part))?;
    let key = match read_private(files, path)? {
        Some(bytes) => parse(&bytes, path)?,
        None => {
            let key = Secret::random()?;
            let mut text = Zeroizing::new(STANDARD.encode(key.expose()));
            text.push('\n');
            files.create(&part, text.as_bytes()).map_err(file_error("make", &part))?;
            files.link(&part, path).map_err(file_error("make", path))?;
            files.remove(&part).map_err(file_error("remove", &part))?;
            key
        }
    };
    // Also for a file that was there: whoever made it may have been killed before this.
    files.sync_folder(folder).map_err(file_error("write", folder))?;
    Ok(key)
}

/// The key in the file, which must be there.
pub(super) fn open(files: &dyn Files, path: &Path) -> Result<Secret, VaultError> {
    let bytes = read_private(files, path)?.ok_or_else(|| VaultError::Missing(path.into()))?;
    parse(&bytes, path)
}

fn read_private(files: &dyn Files, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    match files.read(path, MAX_SECRET_FILE).map_err(file_error("read", path))? {
        Some(content) if content.exposed => Err(VaultError::Exposed(path.into())),
        content => Ok(content.map(|content| content.bytes)),
    }
}

fn parse(text: &[u8], path: &Path) -> Result<Secret, VaultError> {
    // The estimate of the decoder is a little more than the key; `Secret` takes exactly its bytes.
    let mut bytes = Zeroizing::new([0; KEY_BYTES + 3]);
    let length = STANDARD
        .decode_slice(text.trim_ascii_end(), &mut bytes[..])
        .map_err(|_| VaultError::BadKeyFile(path.into()))?;
    Secret::from_slice(&bytes[..length]).ok_or_else(|| VaultError::BadKeyFile(path.into()))
}
